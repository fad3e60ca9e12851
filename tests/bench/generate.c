/*
 * bench_generate TRIPLES FOLDER writes attrs.json, triples.json, tx-1.json, tx-100.json and
 * tx-10000.json there.
 */
#include "generate.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const states[] = {"draft",  "review", "planned", "public",
                                     "pinned", "locked", "hidden",  "archived"};

/* ---- attrs ---- */

struct attr {
    enum gen_attr number;
    const char *etype, *label;
    const char *reverse_etype, *reverse_label; /* NULL: no link */
    const char *type;                          /* checked type, or NULL */
    bool is_many, is_unique, is_indexed;
};

static const struct attr attrs[] = {
    {GEN_TEAM_ID, "teams", "id", NULL, NULL, NULL, false, true, true},
    {GEN_TEAM_NAME, "teams", "name", NULL, NULL, NULL, false, false, false},
    {GEN_TAG_ID, "tags", "id", NULL, NULL, NULL, false, true, true},
    {GEN_TAG_NAME, "tags", "name", NULL, NULL, NULL, false, false, false},
    {GEN_USER_ID, "users", "id", NULL, NULL, NULL, false, true, true},
    {GEN_USER_HANDLE, "users", "handle", NULL, NULL, "string", false, true, true},
    {GEN_USER_NAME, "users", "name", NULL, NULL, NULL, false, false, false},
    {GEN_USER_AGE, "users", "age", NULL, NULL, NULL, false, false, false},
    {GEN_USER_TEAM, "users", "team", "teams", "users", NULL, false, false, false},
    {GEN_POST_ID, "posts", "id", NULL, NULL, NULL, false, true, true},
    {GEN_POST_TITLE, "posts", "title", NULL, NULL, NULL, false, false, false},
    {GEN_POST_VIEWS, "posts", "views", NULL, NULL, "number", false, false, true},
    {GEN_POST_STATE, "posts", "state", NULL, NULL, NULL, false, false, false},
    {GEN_POST_AUTHOR, "posts", "author", "users", "posts", NULL, false, false, false},
    {GEN_POST_TAGS, "posts", "tags", "tags", "posts", NULL, true, false, false},
    {GEN_COMMENT_ID, "comments", "id", NULL, NULL, NULL, false, true, true},
    {GEN_COMMENT_TEXT, "comments", "text", NULL, NULL, NULL, false, false, false},
    {GEN_COMMENT_POST, "comments", "post", "posts", "comments", NULL, false, false, false},
    {GEN_COMMENT_AUTHOR, "comments", "author", "users", "comments", NULL, false, false, false},
};

static void print_attr(FILE *out, const struct attr *attr) {
    char id[GEN_UUID];
    gen_attr_uuid(attr->number, id);
    fprintf(out,
            "{\"id\":\"%s\",\"value-type\":\"%s\",\"cardinality\":\"%s\",\"unique?\":%s,"
            "\"index?\":%s,\"forward-identity\":[\"1%s\",\"%s\",\"%s\"]",
            id, attr->reverse_etype ? "ref" : "blob", attr->is_many ? "many" : "one",
            attr->is_unique ? "true" : "false", attr->is_indexed ? "true" : "false", id + 1,
            attr->etype, attr->label);
    if (attr->reverse_etype) {
        fprintf(out, ",\"reverse-identity\":[\"2%s\",\"%s\",\"%s\"]", id + 1, attr->reverse_etype,
                attr->reverse_label);
    }
    if (attr->type) {
        fprintf(out, ",\"checked-data-type\":\"%s\"", attr->type);
    }
    fputc('}', out);
}

void gen_attrs(FILE *out) {
    size_t count = sizeof attrs / sizeof attrs[0];
    for (size_t i = 0; i < count; i++) {
        fputs(i ? ",\n" : "[\n", out);
        print_attr(out, &attrs[i]);
    }
    fputs("\n]\n", out);
}

/* ---- triples ---- */

/* Where triples go: as triples with a created-at, or as add-triple steps. */
struct sink {
    FILE *out;
    bool is_steps;
    uint32_t count;
    uint32_t limit;
    char e[GEN_UUID];
};

static void triple(struct sink *sink, enum gen_attr attr, const char *json) {
    if (sink->count == sink->limit) {
        return;
    }
    char a[GEN_UUID];
    gen_attr_uuid(attr, a);
    fprintf(sink->out, "%s[%s\"%s\",\"%s\",%s", sink->count ? ",\n" : "[\n",
            sink->is_steps ? "\"add-triple\"," : "", sink->e, a, json);
    if (!sink->is_steps) {
        fprintf(sink->out, ",%" PRIu64, UINT64_C(1700000000000) + sink->count);
    }
    fputc(']', sink->out);
    sink->count++;
}

static void text(struct sink *sink, enum gen_attr attr, const char *words, uint32_t number) {
    char json[64];
    snprintf(json, sizeof json, "\"%s%" PRIu32 "\"", words, number);
    triple(sink, attr, json);
}

static void number(struct sink *sink, enum gen_attr attr, uint32_t value) {
    char json[16];
    snprintf(json, sizeof json, "%" PRIu32, value);
    triple(sink, attr, json);
}

static void reference(struct sink *sink, enum gen_attr attr, enum gen_kind kind, uint32_t to) {
    char id[GEN_UUID];
    char json[GEN_UUID + 2];
    gen_uuid(kind, to, id);
    snprintf(json, sizeof json, "\"%s\"", id);
    triple(sink, attr, json);
}

/* The entity that the following triples are of, and its id triple. */
static void entity(struct sink *sink, enum gen_kind kind, uint32_t n, enum gen_attr id_attr) {
    gen_uuid(kind, n, sink->e);
    reference(sink, id_attr, kind, n);
}

static void post(struct sink *sink, struct gen_size size, uint32_t n) {
    char json[24];
    entity(sink, GEN_POST, n, GEN_POST_ID);
    text(sink, GEN_POST_TITLE, "Post ", n);
    number(sink, GEN_POST_VIEWS, gen_pick(GEN_POST_VIEWS, n, 1000));
    snprintf(json, sizeof json, "\"%s\"", states[gen_pick(GEN_POST_STATE, n, 8)]);
    triple(sink, GEN_POST_STATE, json);
    reference(sink, GEN_POST_AUTHOR, GEN_USER, gen_pick(GEN_POST_AUTHOR, n, size.users));
    reference(sink, GEN_POST_TAGS, GEN_TAG, gen_pick(GEN_POST_TAGS, n, GEN_TAGS));
}

void gen_triples(FILE *out, uint32_t triples) {
    struct gen_size size = gen_size(triples);
    struct sink sink = {.out = out, .limit = triples};
    for (uint32_t n = 0; n < GEN_TEAMS; n++) {
        entity(&sink, GEN_TEAM, n, GEN_TEAM_ID);
        text(&sink, GEN_TEAM_NAME, "Team ", n);
    }
    for (uint32_t n = 0; n < GEN_TAGS; n++) {
        entity(&sink, GEN_TAG, n, GEN_TAG_ID);
        text(&sink, GEN_TAG_NAME, "tag", n);
    }
    for (uint32_t n = 0; n < size.users; n++) {
        entity(&sink, GEN_USER, n, GEN_USER_ID);
        text(&sink, GEN_USER_HANDLE, "user", n);
        text(&sink, GEN_USER_NAME, "Person number ", n);
        number(&sink, GEN_USER_AGE, 18 + gen_pick(GEN_USER_AGE, n, 60));
        reference(&sink, GEN_USER_TEAM, GEN_TEAM, n % GEN_TEAMS);
    }
    for (uint32_t n = 0; n < size.posts; n++) {
        post(&sink, size, n);
    }
    for (uint32_t n = 0; n < size.comments; n++) {
        entity(&sink, GEN_COMMENT, n, GEN_COMMENT_ID);
        text(&sink, GEN_COMMENT_TEXT, "Comment with some words, number ", n);
        reference(&sink, GEN_COMMENT_POST, GEN_POST, gen_pick(GEN_COMMENT_POST, n, size.posts));
        reference(&sink, GEN_COMMENT_AUTHOR, GEN_USER, gen_pick(GEN_COMMENT_AUTHOR, n, size.users));
    }
    fputs("\n]\n", out);
}

void gen_steps(FILE *out, uint32_t triples, uint32_t steps) {
    struct gen_size size = gen_size(triples);
    struct sink sink = {.out = out, .is_steps = true, .limit = steps};
    for (uint32_t n = 0; sink.count < steps; n++) {
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t changed = (5 + n * 2 + i) % size.posts;
            gen_uuid(GEN_POST, changed, sink.e);
            number(&sink, GEN_POST_VIEWS, 1000 + n);
            text(&sink, GEN_POST_TITLE, "Changed post ", changed);
        }
        post(&sink, size, size.posts + n);
    }
    fputs("\n]\n", out);
}

/* ---- the program ---- */

static FILE *open_file(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    if (!file) {
        bench_die("cannot write %s", path);
    }
    return file;
}

static void close_file(FILE *file) {
    if (ferror(file) || fclose(file) != 0) {
        bench_die("cannot write the data: is the disk full?");
    }
}

int main(int argc, char **argv) {
    static const uint32_t steps[] = {1, 100, 10000};
    unsigned long triples = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    if (triples < 1000 || triples > 100000000 || triples % 100 != 0) {
        bench_die("usage: bench_generate TRIPLES FOLDER   TRIPLES: 1000 or more, in hundreds");
    }
    mkdir(argv[2], 0777);
    FILE *file = open_file(argv[2], "attrs.json");
    gen_attrs(file);
    close_file(file);
    file = open_file(argv[2], "triples.json");
    gen_triples(file, (uint32_t)triples);
    close_file(file);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        char name[32];
        snprintf(name, sizeof name, "tx-%" PRIu32 ".json", steps[i]);
        file = open_file(argv[2], name);
        gen_steps(file, (uint32_t)triples, steps[i]);
        close_file(file);
    }
    return 0;
}
