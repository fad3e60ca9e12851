/*
 * Any bytes as a view rule: as text, or (first byte odd) each choosing a part of one. Read strictly
 * as conditions (cel_where.h) it lets through every row of a small store on which the rule allows
 * or fails, and when it is exact no other, and the rule fails on none.
 */
#include "base/json.h"
#include "fuzz.h"
#include "instaql/filter.h"
#include "rules/cel_where.h"
#include "triples/mem_store.h"

#include <string.h>

#define STEPS 20000
#define ID "aaaaaaaa-0000-4000-8000-00000000000" /* and one digit */

/* JSON with ' for ", and #n for the id that ends in n. */
static const char attrs_json[] =
    "[{'id':'ti','value-type':'blob','cardinality':'one','unique?':true,"
    "'forward-identity':['1','todos','id']},"
    "{'id':'ts','value-type':'blob','cardinality':'one','index?':true,"
    "'checked-data-type':'string','forward-identity':['2','todos','s']},"
    "{'id':'tn','value-type':'blob','cardinality':'one','index?':true,"
    "'checked-data-type':'number','forward-identity':['3','todos','n']},"
    "{'id':'td','value-type':'blob','cardinality':'one','index?':true,"
    "'checked-data-type':'date','forward-identity':['4','todos','d']},"
    "{'id':'tb','value-type':'blob','cardinality':'one',"
    "'checked-data-type':'boolean','forward-identity':['5','todos','b']},"
    "{'id':'tx','value-type':'blob','cardinality':'one','forward-identity':['6','todos','x']},"
    "{'id':'tu','value-type':'blob','cardinality':'one','forward-identity':['7','todos','uid']},"
    "{'id':'tt','value-type':'ref','cardinality':'one','forward-identity':['8','todos','team'],"
    "'reverse-identity':['9','teams','todos']},"
    "{'id':'tk','value-type':'ref','cardinality':'many','forward-identity':['10','todos','kin'],"
    "'reverse-identity':['11','todos','nik']},"
    "{'id':'mi','value-type':'blob','cardinality':'one','unique?':true,"
    "'forward-identity':['12','teams','id']},"
    "{'id':'mn','value-type':'blob','cardinality':'one','forward-identity':['13','teams','name']}]";

/* Values of cardinality one; indexed attrs have null rows. */
static const char *const rows[] = {
    "{'id':'#1','s':'a','n':1,'d':'2020-01-01','b':true,'x':1,'uid':'#9','team':'#7'}",
    "{'id':'#2','s':'ab','n':1.5,'d':null,'b':false,'x':'a','team':'#8'}",
    "{'id':'#3','s':null,'n':null,'d':5,'b':null,'x':null,'uid':null}",
    "{'id':'#4','s':'','n':0,'d':null,'x':[1,2],'uid':'#9'}",
    "{'id':'#5','s':'b%_','n':-1,'d':'nonsense','x':{'k':1},'uid':'x'}",
    "{'id':'#6','s':null,'n':2,'d':null,'b':true,'x':true,'team':'#7'}",
};
enum { ROWS = sizeof rows / sizeof *rows };

/* #7 is a team, #8 a team without an id. */
static const char other_triples[] =
    "[['#7','mi','#7',1],['#7','mn','red',1],['#8','mn',null,1],['#1','tk','#2',1],"
    "['#1','tk','#1',1],['#5','tk','#8',1]]";

static const char auth_json[] = "{'id':'#9','email':'a','n':1,'z':null}";
static const char params_json[] = "{'id':'#2','n':1.5,'l':[1,'a',true,null],'s':'a','b':true}";

struct world {
    struct inst_arena arena;
    struct inst_attrs *attrs;
    struct inst_mem_store *store;
    struct inst_value data[ROWS], auth, params;
};

static struct inst_value parse(struct inst_arena *arena, const char *text) {
    struct inst_value v;
    struct inst_buf b;
    inst_buf_init(&b);
    for (; *text; text++) {
        if (*text == '#')
            inst_buf_add_str(&b, ID);
        else
            inst_buf_add_char(&b, *text == '\'' ? '"' : *text);
    }
    FUZZ_REQUIRE(inst_json_parse(arena, b.data, b.len, &v, NULL) == INST_OK);
    inst_buf_free(&b);
    return v;
}

static void open_world(struct world *w) {
    struct inst_array_builder b;
    struct inst_value triples;
    inst_arena_init(&w->arena);
    struct inst_value list = parse(&w->arena, attrs_json), more = parse(&w->arena, other_triples);
    FUZZ_REQUIRE(inst_attrs_new(&list, &w->attrs, NULL) == INST_OK);
    inst_array_begin(&b, &w->arena);
    for (int i = 0; i < ROWS; i++) {
        w->data[i] = parse(&w->arena, rows[i]);
        for (uint32_t k = 0; k < w->data[i].len; k++) {
            const struct inst_member *m = &w->data[i].u.members[k];
            struct inst_value *t = inst_arena_alloc(&w->arena, 4 * sizeof *t);
            t[0] = w->data[i].u.members[0].value;
            t[1] = inst_attrs_forward(w->attrs, "todos", 5, m->key, m->key_len)->id;
            t[2] = m->value;
            t[3] = inst_number(1);
            inst_array_add(&b, inst_array(t, 4));
        }
    }
    for (uint32_t i = 0; i < more.len; i++)
        inst_array_add(&b, more.u.items[i]);
    FUZZ_REQUIRE(inst_array_end(&b, &triples));
    FUZZ_REQUIRE(inst_mem_store_new(w->attrs, (struct inst_mem_options){0}, &w->store, NULL) ==
                 INST_OK);
    FUZZ_REQUIRE(inst_mem_store_load(w->store, &triples, NULL) == INST_OK);
    w->auth = parse(&w->arena, auth_json);
    w->params = parse(&w->arena, params_json);
}

static void close_world(struct world *w) {
    inst_mem_store_free(w->store);
    inst_attrs_unref(w->attrs);
    inst_arena_free(&w->arena);
}

/* ---- refs, one value after the other ---- */

/* Adds what is at the end of path from e, an entity of etype. */
static void follow(struct world *w, struct inst_value etype, uint32_t e, const char *path,
                   size_t len, struct inst_array_builder *out) {
    struct inst_store *store = inst_mem_store_as_store(w->store);
    const char *dot = memchr(path, '.', len);
    size_t label = dot ? (size_t)(dot - path) : len;
    bool is_forward = true;
    const struct inst_attr *attr =
        inst_attrs_forward(w->attrs, etype.u.str, etype.len, path, label);
    if (attr == NULL) {
        attr = inst_attrs_reverse(w->attrs, etype.u.str, etype.len, path, label);
        is_forward = false;
    }
    if (attr == NULL || (dot != NULL && !attr->is_ref))
        return;
    struct inst_scan scan = {.attr = attr};
    struct inst_cursor cursor;
    struct inst_triple t;
    *(is_forward ? &scan.e : &scan.ref) = e;
    FUZZ_REQUIRE(store->ops->scan(store, &scan, &cursor, NULL) == INST_OK);
    while (store->ops->next(&cursor, &t, NULL) == 1) {
        uint32_t next = is_forward ? t.ref : t.e;
        if (dot != NULL)
            follow(w, is_forward ? attr->reverse.etype : attr->forward.etype, next, dot + 1,
                   len - label - 1, out);
        else if (attr->is_ref)
            inst_array_add(out, store->ops->entity_id(store, next));
        else if (t.v.tag != INST_NULL)
            inst_array_add(out, t.v);
    }
    store->ops->close(&cursor);
}

static enum inst_status give_ref(void *ctx, enum inst_cel_object object,
                                 const struct inst_value *entity, const char *path, size_t path_len,
                                 struct inst_arena *arena, struct inst_value *out,
                                 struct inst_err *err) {
    struct world *w = ctx;
    struct inst_array_builder b;
    struct inst_store *store = inst_mem_store_as_store(w->store);
    inst_array_begin(&b, arena);
    const struct inst_value *id = entity != NULL ? inst_getz(entity, "id") : NULL;
    if (object == INST_CEL_DATA && id != NULL && id->tag == INST_STRING)
        follow(w, inst_cstring("todos"), store->ops->entity(store, id->u.str, id->len), path,
               path_len, &b);
    else if (object == INST_CEL_AUTH)
        inst_array_add(&b, inst_cstring(ID "7"));
    return inst_array_end(&b, out) ? INST_OK : inst_err_nomem(err);
}

/* ---- rules ---- */

/* Each byte a part, in order. */
static size_t write_rule(const uint8_t *data, size_t size, char *out, size_t cap) {
    static const char *const parts[] = {
        "data.x",
        "data.s",
        "data.n",
        "data.b",
        "data.uid",
        "data.team",
        "data.id",
        "data.d",
        "data.nope",
        "auth.id",
        "ruleParams.n",
        "ruleParams.l",
        "ruleParams.no",
        "null",
        "true",
        "false",
        "1",
        "1.5",
        "'a'",
        "['a',1,true]",
        "[]",
        "'" ID "1"
        "'",
        " == ",
        " != ",
        " in ",
        " && ",
        " || ",
        "!",
        "(",
        ")",
        " < ",
        " >= ",
        " ? ",
        " : ",
        "size(",
        "has(data.x)",
        ".startsWith('a')",
        "timestamp(",
        "auth.ref('$user.teams.id')",
        "data.ref('team.name')",
        "data.ref('team.id')",
        "data.ref('kin.x')",
        "data.ref('kin.id')",
        "data.ref('nik.kin.s')",
        "data.ref('kin.team.id')",
        "0",
        "data['s']",
        "cel.bind(v, ",
        ", ",
        "v",
        "'red'",
        "type(",
        " + ",
        "[1, 2].exists(i, i == ",
    };
    size_t len = 0;
    for (size_t i = 0; i < size; i++) {
        const char *part = parts[data[i] % (sizeof parts / sizeof *parts)];
        size_t n = strlen(part);
        if (len + n >= cap)
            break;
        memcpy(out + len, part, n);
        len += n;
    }
    return len;
}

/* What the rule says of a row: 1 allows, 0 denies, -1 fails, -2: nothing that counts. */
static int ask(struct world *w, const struct inst_cel_program *program,
               const struct inst_cel_bindings *shared, const struct inst_cel_host *host, int row) {
    struct inst_cel_bindings bindings = *shared;
    struct inst_arena arena;
    struct inst_cel_value value;
    struct inst_cel_error error = {0};
    bindings.objects[INST_CEL_DATA] = &w->data[row];
    inst_arena_init(&arena);
    int said = -1;
    if (inst_cel_program_run(program, &bindings, host, &arena, STEPS, &value, &error))
        said = inst_cel_allows(&value);
    else if (error.code >= INST_CEL_RATE_LIMITED)
        said = -2;
    inst_arena_free(&arena);
    return said;
}

static void compare(struct world *w, const struct inst_cel_program *program,
                    const struct inst_cel_bindings *bindings, const struct inst_cel_host *host,
                    const struct inst_cel_where *where) {
    struct inst_store *store = inst_mem_store_as_store(w->store);
    struct inst_value etype = inst_cstring("todos");
    struct inst_filter *filter = NULL;
    struct inst_err err = {0};
    if (where->kind == INST_CEL_WHERE_SOME &&
        inst_filter_new(&etype, &where->where, store, &filter, &err) != INST_OK) {
        inst_err_clear(&err); /* what a query may not ask, the rule is asked about */
        return;
    }
    for (int i = 0; i < ROWS; i++) {
        const struct inst_value *id = inst_getz(&w->data[i], "id");
        int said = ask(w, program, bindings, host, i);
        int fits = where->kind == INST_CEL_WHERE_ALWAYS;
        if (filter != NULL)
            fits = inst_filter_fits(filter, store->ops->entity(store, id->u.str, id->len), &err);
        FUZZ_REQUIRE(fits >= 0);
        FUZZ_REQUIRE(said == -2 || said == 0 || fits == 1);
        FUZZ_REQUIRE(said == -2 || !where->is_exact || said == fits);
    }
    inst_filter_free(filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct inst_cel_program *program;
    struct inst_arena arena;
    char text[4096];
    if (size == 0)
        return 0;
    size_t len = data[0] % 2 ? write_rule(data + 1, size - 1, text, sizeof text) : size - 1;
    FUZZ_REQUIRE(inst_cel_compile(data[0] % 2 ? text : (const char *)data + 1, len,
                                  INST_CEL_SCOPE_READ, &program, NULL) == INST_OK);
    if (!program->issues) {
        struct world w;
        open_world(&w);
        inst_arena_init(&arena);
        struct inst_cel_host host = {.ctx = &w, .ref = give_ref};
        struct inst_cel_bindings bindings = {
            .objects = {[INST_CEL_AUTH] = &w.auth, [INST_CEL_RULE_PARAMS] = &w.params},
            .request = {.time_seconds = 1700000000}};
        for (int is_strict = 0; is_strict < 2; is_strict++) {
            struct inst_cel_where_of of = {w.attrs, inst_cstring("todos"), is_strict};
            struct inst_cel_where where;
            FUZZ_REQUIRE(inst_cel_program_where(program, &bindings, &host, &of, &arena, &where));
            FUZZ_REQUIRE(where.kind != INST_CEL_WHERE_NONE || where.why);
            if (is_strict && where.kind != INST_CEL_WHERE_NONE)
                compare(&w, program, &bindings, &host, &where);
        }
        inst_arena_free(&arena);
        close_world(&w);
    }
    inst_cel_program_free(program);
    return 0;
}
