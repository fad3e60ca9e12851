/* JSON documents of other servers (later.h). */
#include "base/json.h"
#include "server/later.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

struct inst_document {
    struct inst_document *next; /* of the server, the one that was asked for last first */
    struct inst_server *server;
    char *url;
    struct inst_arena arena;
    struct inst_value value; /* UNDEFINED: it never came */
    int64_t came_ms, fresh_until_ms;
    int64_t window_ms; /* since when refreshes are counted */
    unsigned refreshes;
    bool is_coming;
    struct inst_later *waiters;
};

static int64_t now_of(const struct inst_server *server) {
    return server->env->now_ms(server->env->ctx);
}

static void free_document(struct inst_document *document) {
    inst_arena_free(&document->arena);
    free(document->url);
    free(document);
}

void inst_documents_free(struct inst_server *server) {
    while (server->documents != NULL) {
        struct inst_document *document = server->documents;
        server->documents = document->next;
        free_document(document);
    }
}

/* ---- finding ---- */

/* Moves it to the front; NULL when there is none. */
static struct inst_document *find(struct inst_server *server, const char *url) {
    for (struct inst_document **at = &server->documents; *at != NULL; at = &(*at)->next) {
        struct inst_document *document = *at;
        if (strcmp(document->url, url) != 0)
            continue;
        *at = document->next;
        document->next = server->documents;
        server->documents = document;
        return document;
    }
    return NULL;
}

/* Those that nobody asked for in a while make room; those on their way cannot. */
static void drop_old(struct inst_server *server) {
    size_t count = 0;
    for (struct inst_document **at = &server->documents; *at != NULL;) {
        struct inst_document *document = *at;
        if (++count < INST_DOCUMENTS_MAX || document->is_coming) {
            at = &document->next;
            continue;
        }
        *at = document->next;
        free_document(document);
    }
}

static struct inst_document *make(struct inst_server *server, const char *url) {
    struct inst_document *document = calloc(1, sizeof *document);
    if (document == NULL)
        return NULL;
    inst_arena_init(&document->arena);
    document->server = server;
    document->url = strdup(url);
    if (document->url == NULL) {
        free_document(document);
        return NULL;
    }
    drop_old(server);
    document->next = server->documents;
    server->documents = document;
    return document;
}

/* ---- asking ---- */

static const char *field(const struct inst_outgoing_response *response, const char *name) {
    for (size_t i = 0; i < response->field_count; i++)
        if (strcmp(response->fields[i].name, name) == 0)
            return response->fields[i].value;
    return NULL;
}

/* `max-age` in seconds. Expires is not read: servers that send it send both. */
static int64_t fresh_ms(const struct inst_outgoing_response *response) {
    const char *control = field(response, "cache-control");
    const char *age = control != NULL ? strcasestr(control, "max-age=") : NULL;
    if (age == NULL)
        return INST_DOCUMENT_FRESH_MS;
    int64_t ms = 0;
    for (const char *c = age + 8; *c >= '0' && *c <= '9' && ms < INST_DOCUMENT_MAX_FRESH_MS; c++)
        ms = ms * 10 + (*c - '0') * 1000;
    return ms < INST_DOCUMENT_MIN_FRESH_MS   ? INST_DOCUMENT_MIN_FRESH_MS
           : ms > INST_DOCUMENT_MAX_FRESH_MS ? INST_DOCUMENT_MAX_FRESH_MS
                                             : ms;
}

static bool take(struct inst_document *document, const struct inst_outgoing_response *response) {
    struct inst_arena arena;
    struct inst_value value;
    inst_arena_init(&arena);
    bool is_good =
        response->status == 200 &&
        inst_json_parse(&arena, response->body, response->body_len, &value, NULL) == INST_OK &&
        value.tag == INST_OBJECT;
    if (!is_good) {
        inst_arena_free(&arena);
        return false;
    }
    inst_arena_free(&document->arena);
    document->arena = arena;
    document->value = value;
    document->came_ms = now_of(document->server);
    document->fresh_until_ms = document->came_ms + fresh_ms(response);
    return true;
}

static void tell(struct inst_document *document, const struct inst_outgoing_response *response,
                 const struct inst_err *err) {
    const struct inst_env *env = document->server->env;
    char line[512];
    if (env->log == NULL)
        return;
    if (err != NULL)
        snprintf(line, sizeof line, "a sign-in provider's document did not come: %s", err->message);
    else
        snprintf(line, sizeof line,
                 "a sign-in provider's document did not come: status %d, or no JSON object",
                 response->status);
    env->log(env->ctx, INST_LOG_WARN, line);
}

static void on_came(void *ctx, const struct inst_outgoing_response *response,
                    const struct inst_err *err) {
    struct inst_document *document = ctx;
    int64_t now = now_of(document->server);
    bool is_there = err == NULL && take(document, response);
    if (!is_there)
        tell(document, response, err);
    if (!is_there && document->value.tag == INST_OBJECT &&
        now - document->came_ms < INST_DOCUMENT_STALE_MS) {
        document->fresh_until_ms = now + INST_DOCUMENT_MIN_FRESH_MS;
        is_there = true;
    }
    document->is_coming = false;
    struct inst_later *waiter = document->waiters, *next;
    document->waiters = NULL;
    for (; waiter != NULL; waiter = next) { /* a step may ask for this document again, or drop it */
        next = waiter->next_waiter;
        waiter->missing = is_there ? NULL : document;
        inst_later_resume(waiter);
    }
}

static enum inst_status ask(struct inst_document *document, struct inst_err *err) {
    /* Apple's server answers browsers only. */
    static const struct inst_http_field fields[] = {{"accept", "application/json"},
                                                    {"user-agent", "Mozilla/5.0 (Instant)"}};
    const struct inst_server_host *host = &document->server->host;
    struct inst_outgoing_request request = {
        .url = document->url, .fields = fields, .field_count = 2};
    if (host->outgoing == NULL)
        return inst_err_set(err, "oauth-error", 400, "This backend asks no other servers.");
    enum inst_status st =
        host->outgoing->http(host->outgoing_ctx, &request, on_came, document, err);
    document->is_coming = st == INST_OK;
    return st;
}

enum inst_status inst_document_get(struct inst_later *later, const char *url, const char *failure,
                                   const struct inst_value **out, struct inst_err *err) {
    struct inst_server *server = later->server;
    enum inst_status st = INST_OK;
    *out = NULL;
    struct inst_document *document = find(server, url);
    if (document != NULL && document == later->missing) {
        later->missing = NULL;
        return inst_err_set(err, "oauth-error", 400, "%s", failure);
    }
    if (document != NULL && document->value.tag == INST_OBJECT && !document->is_coming &&
        now_of(server) < document->fresh_until_ms) {
        *out = &document->value;
        return INST_OK;
    }
    if (document == NULL && (document = make(server, url)) == NULL)
        return inst_err_nomem(err);
    if ((st = inst_later_wait(later, err)) == INST_OK && !document->is_coming)
        st = ask(document, err);
    if (st == INST_OK) {
        later->next_waiter = document->waiters;
        document->waiters = later;
        return INST_OK;
    }
    later->is_waiting = false;
    /* An address that is none, say. */
    return st == INST_NOMEM ? st : inst_err_set(err, "oauth-error", 400, "%s", failure);
}

bool inst_document_refresh(struct inst_later *later, const char *url) {
    int64_t now = now_of(later->server);
    struct inst_document *document = find(later->server, url);
    if (document == NULL)
        return true;
    if (now - document->window_ms > INST_DOCUMENT_REFRESH_WINDOW_MS) {
        document->window_ms = now;
        document->refreshes = 0;
    }
    if (document->refreshes == INST_DOCUMENT_REFRESHES)
        return false;
    document->refreshes++;
    document->fresh_until_ms = now;
    return true;
}
