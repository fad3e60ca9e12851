#include "io/http_client.h"

#include "base/buf.h"
#include "io/curl_api.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <uv.h>

/* One socket that libcurl watches. */
struct watch {
    uv_poll_t poll; /* first: the handle is the watch */
    struct inst_http_client *client;
    curl_socket_t fd;
    struct watch *next;
    struct watch *prev;
};

enum state {
    QUEUED,   /* to be given to libcurl */
    RUNNING,  /* libcurl has it */
    FINISHED, /* its result is there, done was not called yet */
};

struct inst_http_call {
    struct inst_http_client *client;
    struct inst_http_call *next;
    struct inst_http_call *prev;
    struct inst_http_call *work_next; /* in the client's queue of calls to look at */
    bool is_listed;                   /* there */
    bool is_cancelled;
    enum state state;
    CURL *easy;
    CURLcode code; /* FINISHED */
    struct curl_slist *lines;
    struct curl_slist *to;            /* of a mail */
    struct inst_http_options options; /* its texts are not kept, but for body */
    char *body;                       /* owned */
    size_t body_done;
    char *target;               /* scheme and host, for messages; owned */
    struct inst_timer *silence; /* NULL: any silence is fine */
    char why[CURL_ERROR_SIZE];
    struct inst_err failure; /* ours, in place of libcurl's */
    int status;
    struct inst_buf head; /* name, NUL, value, NUL ... */
    size_t field_count;
    struct inst_http_field *fields; /* into head; owned */
    bool has_head;                  /* fields are made, options.head was called */
    struct inst_buf kept;           /* the body, when nobody takes it as it comes */
};

struct inst_http_client {
    struct inst_loop *loop;
    const char *const *libraries;
    struct inst_curl curl;
    CURLM *multi; /* NULL: nothing was loaded yet */
    struct inst_timer *timer;
    struct inst_http_call *calls;
    struct inst_http_call *work, *work_last;
    struct inst_deferred working;
    struct watch *watches;
};

/* ---- the queue of calls to look at ---- */

/* libcurl must not be entered from its own callbacks, so everything waits for the turn's end. */
static void look_at(struct inst_http_call *call) {
    struct inst_http_client *client = call->client;
    inst_loop_defer(client->loop, &client->working);
    if (call->is_listed)
        return;
    call->is_listed = true;
    call->work_next = NULL;
    if (client->work_last)
        client->work_last->work_next = call;
    else
        client->work = call;
    client->work_last = call;
}

static struct inst_http_call *next_call(struct inst_http_client *client) {
    struct inst_http_call *call = client->work;
    if (!call)
        return NULL;
    client->work = call->work_next;
    if (!client->work)
        client->work_last = NULL;
    call->is_listed = false;
    return call;
}

static void free_call(struct inst_http_call *call) {
    struct inst_http_client *client = call->client;
    if (call->prev)
        call->prev->next = call->next;
    else
        client->calls = call->next;
    if (call->next)
        call->next->prev = call->prev;
    if (call->state == RUNNING)
        client->curl.multi_remove_handle(client->multi, call->easy);
    if (call->easy)
        client->curl.easy_cleanup(call->easy);
    if (call->lines)
        client->curl.slist_free_all(call->lines);
    if (call->to)
        client->curl.slist_free_all(call->to);
    inst_timer_free(call->silence);
    inst_err_clear(&call->failure);
    inst_buf_free(&call->head);
    inst_buf_free(&call->kept);
    free(call->fields);
    free(call->body);
    free(call->target);
    free(call);
}

/* ---- what comes back ---- */

static struct inst_http_result result_of(const struct inst_http_call *call) {
    return (struct inst_http_result){.status = call->status,
                                     .fields = call->fields,
                                     .field_count = call->field_count,
                                     .body = call->kept.data ? call->kept.data : "",
                                     .body_len = call->kept.len};
}

static void heard(struct inst_http_call *call) {
    if (call->silence)
        inst_timer_start(call->silence, call->options.silence_ms, 0);
}

/* The head is whole: makes its fields and shows them. */
static bool give_head(struct inst_http_call *call) {
    if (call->has_head)
        return true;
    call->has_head = true;
    call->fields = calloc(call->field_count + 1, sizeof *call->fields);
    if (!call->fields || call->head.failed) {
        inst_err_nomem(&call->failure);
        return false;
    }
    const char *at = call->head.data;
    for (size_t i = 0; i < call->field_count; i++) {
        call->fields[i].name = at;
        at += strlen(at) + 1;
        call->fields[i].value = at;
        at += strlen(at) + 1;
    }
    struct inst_http_result head = result_of(call);
    if (call->options.head)
        call->options.head(call->options.ctx, &head);
    return !call->is_cancelled;
}

static bool add_field(struct inst_http_call *call, const char *line, size_t len) {
    const char *colon = memchr(line, ':', len);
    if (!colon)
        return true; /* the empty line, or what libcurl let pass */
    if (call->head.len + len > INST_HTTP_MAX_RESPONSE_HEAD ||
        call->field_count == INST_HTTP_MAX_RESPONSE_FIELDS) {
        inst_err_set(&call->failure, "response-too-large", 0, "%s sends too many header fields.",
                     call->target);
        return false;
    }
    const char *from = colon + 1, *to = line + len;
    while (from < to && (unsigned char)*from <= ' ')
        from++;
    while (to > from && (unsigned char)to[-1] <= ' ')
        to--;
    for (const char *c = line; c < colon; c++)
        inst_buf_add_char(&call->head, *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c);
    inst_buf_add_char(&call->head, '\0');
    for (; from < to; from++)
        inst_buf_add_char(&call->head, *from ? *from : ' ');
    inst_buf_add_char(&call->head, '\0');
    call->field_count++;
    return !call->head.failed;
}

static size_t on_header(char *line, size_t size, size_t count, void *ctx) {
    struct inst_http_call *call = ctx;
    size_t len = size * count;
    heard(call);
    if (call->is_cancelled)
        return 0;
    if (call->has_head)
        return len; /* trailers */
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        /* The one before was a 100 or a redirect. */
        inst_buf_clear(&call->head);
        call->field_count = 0;
        return len;
    }
    return add_field(call, line, len) ? len : 0;
}

static bool keep(struct inst_http_call *call, const char *bytes, size_t len) {
    if (call->kept.len + len > call->options.max_response) {
        inst_err_set(&call->failure, "response-too-large", 0,
                     "The answer of %s is larger than %zu bytes.", call->target,
                     call->options.max_response);
        return false;
    }
    inst_buf_add(&call->kept, bytes, len);
    if (call->kept.failed)
        inst_err_nomem(&call->failure);
    return !call->kept.failed;
}

static void learn_status(struct inst_http_call *call) {
    long status = 0;
    call->client->curl.easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    call->status = (int)status;
}

static size_t on_data(char *bytes, size_t size, size_t count, void *ctx) {
    struct inst_http_call *call = ctx;
    size_t len = size * count;
    heard(call);
    if (call->is_cancelled)
        return 0;
    learn_status(call);
    if (!give_head(call))
        return 0;
    bool goes_on = call->options.data ? call->options.data(call->options.ctx, bytes, len)
                                      : keep(call, bytes, len);
    if (!goes_on && !call->failure.type && !call->is_cancelled)
        inst_err_set(&call->failure, "aborted", 0, "The request was given up while reading.");
    return goes_on && !call->is_cancelled ? len : 0;
}

/* ---- what goes out ---- */

/* A piece of the body from whoever makes it, who must keep to the length that was announced: a
 * server would wait for the rest, or take what is too much for the next request. */
static size_t pull(struct inst_http_call *call, char *to, size_t cap) {
    size_t left =
        call->options.body_len == SIZE_MAX ? SIZE_MAX : call->options.body_len - call->body_done;
    size_t n = call->options.read(call->options.ctx, to, cap);
    if (call->is_cancelled)
        return CURL_READFUNC_ABORT;
    if (n > cap) {
        inst_err_set(&call->failure, "aborted", 0, "The request's body could not be read.");
        return CURL_READFUNC_ABORT;
    }
    if (n > left || (n == 0 && left > 0 && left != SIZE_MAX)) {
        inst_err_set(&call->failure, "aborted", 0,
                     "The request's body is %s than the %zu bytes that were announced.",
                     n > left ? "longer" : "shorter", call->options.body_len);
        return CURL_READFUNC_ABORT;
    }
    call->body_done += n;
    return n;
}

static size_t on_read(char *to, size_t size, size_t count, void *ctx) {
    struct inst_http_call *call = ctx;
    size_t cap = size * count;
    heard(call);
    if (call->is_cancelled)
        return CURL_READFUNC_ABORT;
    if (call->options.read)
        return pull(call, to, cap);
    size_t left = call->options.body_len - call->body_done;
    size_t n = left < cap ? left : cap;
    memcpy(to, call->body + call->body_done, n);
    call->body_done += n;
    return n;
}

/* Only ever asked to begin again: when a kept connection turned out to be dead. */
static int on_seek(void *ctx, curl_off_t offset, int origin) {
    struct inst_http_call *call = ctx;
    if (offset != 0 || origin != SEEK_SET || call->is_cancelled)
        return CURL_SEEKFUNC_CANTSEEK;
    if (call->options.read && !(call->options.rewind && call->options.rewind(call->options.ctx)))
        return CURL_SEEKFUNC_CANTSEEK;
    call->body_done = 0;
    return CURL_SEEKFUNC_OK;
}

static int on_progress(void *ctx, curl_off_t receive_total, curl_off_t received,
                       curl_off_t send_total, curl_off_t sent) {
    struct inst_http_call *call = ctx;
    if (!call->is_cancelled)
        call->options.progress(call->options.ctx, (uint64_t)sent, (uint64_t)send_total,
                               (uint64_t)received, (uint64_t)receive_total);
    return call->is_cancelled ? 1 : 0;
}

static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address) {
    struct inst_http_call *call = ctx;
    (void)purpose;
    if (call->options.may_connect(call->options.ctx, &address->addr))
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    inst_err_set(&call->failure, "address-refused", 400,
                 "%s is not at a public address, and may not be asked from here.", call->target);
    return CURL_SOCKET_BAD;
}

static void on_silence(void *ctx) {
    struct inst_http_call *call = ctx;
    if (call->state == FINISHED || call->is_cancelled)
        return;
    inst_err_set(&call->failure, "timeout", 0, "Nothing was heard of %s for %lld ms.", call->target,
                 (long long)call->options.silence_ms);
    if (call->state == RUNNING)
        call->client->curl.multi_remove_handle(call->client->multi, call->easy);
    call->state = FINISHED;
    call->code = CURLE_OPERATION_TIMEDOUT;
    look_at(call);
}

/* ---- the end ---- */

static void set_failure(struct inst_http_call *call) {
    const char *why = call->why[0] ? call->why : call->client->curl.easy_strerror(call->code);
    if (call->failure.type)
        return;
    if (call->code == CURLE_OPERATION_TIMEDOUT)
        inst_err_set(&call->failure, "timeout", 0, "%s did not answer in time (%s).", call->target,
                     why);
    else if (call->code == CURLE_URL_MALFORMAT)
        inst_err_set(&call->failure, "param-malformed", 400, "%s is no address: %s.", call->target,
                     why);
    else if (call->code == CURLE_OUT_OF_MEMORY)
        inst_err_nomem(&call->failure);
    else
        inst_err_set(&call->failure, "io-error", 0, "The request to %s failed: %s.", call->target,
                     why);
}

static void finish(struct inst_http_call *call) {
    const struct inst_http_options *options = &call->options;
    if (call->code == CURLE_OK && !call->failure.type) {
        learn_status(call);
        if (give_head(call) && !call->failure.type) {
            struct inst_http_result result = result_of(call);
            options->done(options->ctx, &result, NULL);
        } else if (!call->is_cancelled) {
            options->done(options->ctx, NULL, &call->failure);
        }
    } else {
        set_failure(call);
        options->done(options->ctx, NULL, &call->failure);
    }
    if (!call->is_cancelled) /* by a callback: then it is listed again, and goes from there */
        free_call(call);
}

static void hand_over(struct inst_http_call *call) {
    struct inst_http_client *client = call->client;
    call->state = RUNNING;
    if (client->curl.multi_add_handle(client->multi, call->easy) == CURLM_OK)
        return;
    call->state = FINISHED;
    call->code = CURLE_OUT_OF_MEMORY;
    look_at(call);
}

static void work(void *ctx) {
    struct inst_http_client *client = ctx;
    struct inst_http_call *call;
    while ((call = next_call(client)) != NULL) {
        if (call->is_cancelled)
            free_call(call);
        else if (call->state == QUEUED)
            hand_over(call);
        else if (call->state == FINISHED)
            finish(call);
    }
}

/* ---- libcurl and the loop ---- */

static void collect(struct inst_http_client *client) {
    CURLMsg *message;
    int left;
    while ((message = client->curl.multi_info_read(client->multi, &left)) != NULL) {
        struct inst_http_call *call = NULL;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        client->curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        client->curl.multi_remove_handle(client->multi, call->easy);
        call->state = FINISHED;
        call->code = code;
        if (call->silence)
            inst_timer_stop(call->silence);
        look_at(call);
    }
}

static void act(struct inst_http_client *client, curl_socket_t fd, int events) {
    int running;
    client->curl.multi_socket_action(client->multi, fd, events, &running);
    collect(client);
}

static void on_time(void *ctx) { act(ctx, CURL_SOCKET_TIMEOUT, 0); }

static int want_timer(CURLM *multi, long ms, void *ctx) {
    struct inst_http_client *client = ctx;
    (void)multi;
    if (ms < 0)
        inst_timer_stop(client->timer);
    else
        inst_timer_start(client->timer, ms, 0);
    return 0;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct watch *watch = (struct watch *)poll;
    int flags = 0;
    if (status < 0)
        flags = CURL_CSELECT_ERR;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    act(watch->client, watch->fd, flags);
}

static void free_watch(uv_handle_t *handle) { free(handle); }

static void drop_watch(struct watch *watch) {
    if (watch->prev)
        watch->prev->next = watch->next;
    else
        watch->client->watches = watch->next;
    if (watch->next)
        watch->next->prev = watch->prev;
    uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, free_watch);
}

static struct watch *add_watch(struct inst_http_client *client, curl_socket_t fd) {
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    if (uv_poll_init_socket(inst_loop_uv(client->loop), &watch->poll, fd) != 0) {
        free(watch);
        return NULL;
    }
    watch->client = client;
    watch->fd = fd;
    watch->next = client->watches;
    if (watch->next)
        watch->next->prev = watch;
    client->watches = watch;
    client->curl.multi_assign(client->multi, fd, watch);
    return watch;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *mine) {
    struct inst_http_client *client = ctx;
    struct watch *watch = mine;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            drop_watch(watch);
        client->curl.multi_assign(client->multi, fd, NULL);
        return 0;
    }
    if (!watch && !(watch = add_watch(client, fd)))
        return -1;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    uv_poll_start(&watch->poll, events, on_poll);
    return 0;
}

/* ---- making a request ---- */

static bool is_token(const char *text) {
    for (const char *c = text; *c; c++) {
        bool is_alnum = (*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z');
        if (!is_alnum && !strchr("!#$%&'*+-.^_`|~", *c))
            return false;
    }
    return *text != '\0';
}

static enum inst_status check(const struct inst_http_options *options, struct inst_err *err) {
    const char *url = options->url ? options->url : "";
    bool is_mail = strncasecmp(url, "smtp://", 7) == 0 || strncasecmp(url, "smtps://", 8) == 0;
    if (options->mail && !is_mail)
        return inst_err_set(err, "param-malformed", 400, "Mail goes to smtp:// or smtps://.");
    if (!options->mail && strncasecmp(url, "http://", 7) != 0 &&
        strncasecmp(url, "https://", 8) != 0)
        return inst_err_set(err, "param-malformed", 400,
                            "`%s` is no web address (http://... or https://...).", url);
    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return inst_err_set(err, "param-malformed", 400,
                                "The address has a character that is not allowed in one.");
    if (options->method && !is_token(options->method))
        return inst_err_set(err, "param-malformed", 400, "`%s` is no HTTP method.",
                            options->method);
    for (size_t i = 0; i < options->field_count; i++) {
        const struct inst_http_field *field = &options->fields[i];
        if (!is_token(field->name))
            return inst_err_set(err, "param-malformed", 400, "`%s` is no name of a header field.",
                                field->name);
        for (const char *c = field->value; *c; c++)
            if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
                return inst_err_set(err, "param-malformed", 400,
                                    "The header field `%s` has a control character.", field->name);
    }
    return INST_OK;
}

static bool add_line(struct inst_http_call *call, const char *name, const char *value) {
    struct inst_buf line;
    inst_buf_init(&line);
    /* libcurl's way to say that a field is empty, and not to be left out. */
    if (*value)
        inst_buf_addf(&line, "%s: %s", name, value);
    else
        inst_buf_addf(&line, "%s;", name);
    struct curl_slist *lines =
        line.failed ? NULL : call->client->curl.slist_append(call->lines, line.data);
    if (lines)
        call->lines = lines;
    inst_buf_free(&line);
    return lines != NULL;
}

static bool add_lines(struct inst_http_call *call, const struct inst_http_options *options) {
    for (size_t i = 0; i < options->field_count; i++)
        if (!add_line(call, options->fields[i].name, options->fields[i].value))
            return false;
    /* Waiting for permission to send costs a second with servers that do not know of it. */
    struct curl_slist *lines = call->client->curl.slist_append(call->lines, "Expect:");
    if (lines)
        call->lines = lines;
    return lines != NULL;
}

static void set_body(struct inst_http_call *call, const struct inst_http_options *options) {
    const struct inst_curl *curl = &call->client->curl;
    const char *method = options->method ? options->method : "GET";
    bool has_body = options->body || options->read || strcmp(method, "POST") == 0 ||
                    strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
    if (strcmp(method, "HEAD") == 0) {
        curl->easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (has_body) {
        bool is_known = options->body_len != SIZE_MAX;
        curl->easy_setopt(call->easy, CURLOPT_UPLOAD, 1L);
        curl->easy_setopt(call->easy, CURLOPT_INFILESIZE_LARGE,
                          is_known ? (curl_off_t)options->body_len : (curl_off_t)-1);
        curl->easy_setopt(call->easy, CURLOPT_READFUNCTION, on_read);
        curl->easy_setopt(call->easy, CURLOPT_READDATA, call);
        curl->easy_setopt(call->easy, CURLOPT_SEEKFUNCTION, on_seek);
        curl->easy_setopt(call->easy, CURLOPT_SEEKDATA, call);
    }
    if (has_body || strcmp(method, "GET") != 0)
        curl->easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method);
}

static void set_limits(struct inst_http_call *call, const struct inst_http_options *options) {
    const struct inst_curl *curl = &call->client->curl;
    int64_t timeout = options->timeout_ms ? options->timeout_ms : INST_HTTP_TIMEOUT_MS;
    int64_t connect = options->connect_ms ? options->connect_ms : INST_HTTP_CONNECT_MS;
    curl->easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, timeout > 0 ? (long)timeout : 0L);
    curl->easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
    curl->easy_setopt(call->easy, CURLOPT_PROTOCOLS_STR,
                      options->mail ? "smtp,smtps" : "http,https");
    curl->easy_setopt(call->easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl->easy_setopt(call->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl->easy_setopt(call->easy, CURLOPT_FOLLOWLOCATION, options->max_redirects ? 1L : 0L);
    curl->easy_setopt(call->easy, CURLOPT_MAXREDIRS, (long)options->max_redirects);
    curl->easy_setopt(call->easy, CURLOPT_NOSIGNAL, 1L);
    /* Cancelling must not wait for a name that is still being resolved. */
    curl->easy_setopt(call->easy, CURLOPT_QUICK_EXIT, 1L);
    curl->easy_setopt(call->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl->easy_setopt(call->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static enum inst_status set_mail(struct inst_http_call *call, const struct inst_http_mail *mail,
                                 struct inst_err *err) {
    static const long levels[] = {[INST_HTTP_TLS_TRY] = CURLUSESSL_TRY,
                                  [INST_HTTP_TLS_NO] = CURLUSESSL_NONE,
                                  [INST_HTTP_TLS_REQUIRED] = CURLUSESSL_ALL};
    const struct inst_curl *curl = &call->client->curl;
    call->to = curl->slist_append(NULL, mail->to);
    if (!call->to || curl->easy_setopt(call->easy, CURLOPT_MAIL_FROM, mail->from) != CURLE_OK)
        return inst_err_nomem(err);
    curl->easy_setopt(call->easy, CURLOPT_MAIL_RCPT, call->to);
    curl->easy_setopt(call->easy, CURLOPT_USE_SSL, levels[mail->tls]);
    if (mail->user && (curl->easy_setopt(call->easy, CURLOPT_USERNAME, mail->user) != CURLE_OK ||
                       curl->easy_setopt(call->easy, CURLOPT_PASSWORD,
                                         mail->password ? mail->password : "") != CURLE_OK))
        return inst_err_nomem(err);
    return INST_OK;
}

/* Texts are copied by libcurl. */
static enum inst_status set_up(struct inst_http_call *call, const struct inst_http_options *options,
                               struct inst_err *err) {
    const struct inst_curl *curl = &call->client->curl;
    call->easy = curl->easy_init();
    if (!call->easy || !add_lines(call, options) ||
        curl->easy_setopt(call->easy, CURLOPT_URL, options->url) != CURLE_OK)
        return inst_err_nomem(err);
    curl->easy_setopt(call->easy, CURLOPT_PRIVATE, call);
    curl->easy_setopt(call->easy, CURLOPT_ERRORBUFFER, call->why);
    curl->easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->lines);
    curl->easy_setopt(call->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl->easy_setopt(call->easy, CURLOPT_HEADERDATA, call);
    curl->easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl->easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
    if (options->may_connect) {
        curl->easy_setopt(call->easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
        curl->easy_setopt(call->easy, CURLOPT_OPENSOCKETDATA, call);
    }
    if (options->progress) {
        curl->easy_setopt(call->easy, CURLOPT_NOPROGRESS, 0L);
        curl->easy_setopt(call->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl->easy_setopt(call->easy, CURLOPT_XFERINFODATA, call);
    }
    if (options->ca_file) {
        curl->easy_setopt(call->easy, CURLOPT_CAPATH, NULL);
        if (curl->easy_setopt(call->easy, CURLOPT_CAINFO, options->ca_file) != CURLE_OK)
            return inst_err_nomem(err);
    }
    set_body(call, options);
    set_limits(call, options);
    if (!options->mail)
        return INST_OK;
    curl->easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, NULL);
    return set_mail(call, options->mail, err);
}

static enum inst_status fill(struct inst_http_call *call, const struct inst_http_options *options,
                             struct inst_err *err) {
    /* "https://host:port", without what may be secret: user and password, path, query. */
    const char *host = strstr(options->url, "//") + 2;
    size_t len = strcspn(host, "/?#");
    for (const char *at; (at = memchr(host, '@', len)) != NULL;) {
        len -= (size_t)(at + 1 - host);
        host = at + 1;
    }
    call->target = strndup(host, len);
    call->options = *options;
    if (!call->options.max_response)
        call->options.max_response = INST_HTTP_MAX_RESPONSE;
    if (options->body && !options->read) {
        call->body = malloc(options->body_len + 1);
        if (call->body)
            memcpy(call->body, options->body, options->body_len);
    }
    if (!call->target || (options->body && !options->read && !call->body))
        return inst_err_nomem(err);
    if (options->silence_ms <= 0)
        return INST_OK;
    return inst_timer_new(call->client->loop, on_silence, call, &call->silence, err);
}

static enum inst_status load(struct inst_http_client *client, struct inst_err *err) {
    if (client->multi)
        return INST_OK;
    enum inst_status status = inst_curl_load(&client->curl, client->libraries, err);
    if (status != INST_OK)
        return status;
    client->multi = client->curl.multi_init();
    if (!client->multi)
        return inst_err_nomem(err);
    client->curl.multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    client->curl.multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    client->curl.multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    client->curl.multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    return INST_OK;
}

enum inst_status inst_http_start(struct inst_http_client *client,
                                 const struct inst_http_options *options,
                                 struct inst_http_call **out, struct inst_err *err) {
    enum inst_status status = check(options, err);
    if (status == INST_OK)
        status = load(client, err);
    if (status != INST_OK)
        return status;
    struct inst_http_call *call = calloc(1, sizeof *call);
    if (!call)
        return inst_err_nomem(err);
    call->client = client;
    call->next = client->calls;
    if (call->next)
        call->next->prev = call;
    client->calls = call;
    status = fill(call, options, err);
    if (status == INST_OK)
        status = set_up(call, options, err);
    if (status != INST_OK) {
        free_call(call);
        return status;
    }
    heard(call);
    look_at(call);
    *out = call;
    return INST_OK;
}

void inst_http_cancel(struct inst_http_call *call) {
    call->is_cancelled = true;
    look_at(call);
}

const char *inst_http_result_field(const struct inst_http_result *result, const char *name) {
    for (size_t i = 0; i < result->field_count; i++)
        if (strcmp(result->fields[i].name, name) == 0)
            return result->fields[i].value;
    return NULL;
}

/* ---- life ---- */

enum inst_status inst_http_client_new(struct inst_loop *loop, struct inst_http_client **out,
                                      struct inst_err *err) {
    struct inst_http_client *client = calloc(1, sizeof *client);
    if (!client)
        return inst_err_nomem(err);
    client->loop = loop;
    client->working = (struct inst_deferred){.fn = work, .ctx = client};
    enum inst_status status = inst_timer_new(loop, on_time, client, &client->timer, err);
    if (status != INST_OK) {
        free(client);
        return status;
    }
    *out = client;
    return INST_OK;
}

void inst_http_client_set_libraries(struct inst_http_client *client, const char *const *names) {
    client->libraries = names;
}

void inst_http_client_free(struct inst_http_client *client) {
    if (!client)
        return;
    while (client->calls)
        free_call(client->calls);
    if (client->multi)
        client->curl.multi_cleanup(client->multi);
    while (client->watches)
        drop_watch(client->watches);
    inst_loop_undefer(client->loop, &client->working);
    inst_timer_free(client->timer);
    free(client);
}
