#include "io/ops.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- metrics ---- */

static void add(struct inst_buf *out, const char *name, const char *type, const char *help,
                double value) {
    inst_buf_addf(out, "# HELP instant_%s %s\n# TYPE instant_%s %s\ninstant_%s %.17g\n", name, help,
                  name, type, name, value);
}

static void add_requests(struct inst_buf *out, const struct inst_http_stats *http) {
    static const char *const classes[] = {NULL, "1xx", "2xx", "3xx", "4xx", "5xx"};
    uint64_t all = 0;
    inst_buf_add_str(out, "# HELP instant_http_requests_total Answers, by status.\n"
                          "# TYPE instant_http_requests_total counter\n");
    for (int i = 1; i < 6; i++) {
        inst_buf_addf(out, "instant_http_requests_total{status=\"%s\"} %" PRIu64 "\n", classes[i],
                      http->requests[i]);
        all += i > 1 ? http->requests[i] : 0; /* a WebSocket's handshake takes no time of ours */
    }
    inst_buf_add_str(out, "# HELP instant_http_request_seconds From a request's head to its answer."
                          "\n# TYPE instant_http_request_seconds histogram\n");
    for (int i = 0; i < INST_HTTP_BUCKETS; i++)
        inst_buf_addf(out, "instant_http_request_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
                      inst_http_bucket_s[i], http->took[i]);
    inst_buf_addf(out,
                  "instant_http_request_seconds_bucket{le=\"+Inf\"} %" PRIu64
                  "\ninstant_http_request_seconds_sum %.17g\n"
                  "instant_http_request_seconds_count %" PRIu64 "\n",
                  all, http->seconds, all);
}

static void add_http(struct inst_buf *out, const struct inst_http_stats *http) {
    add_requests(out, http);
    add(out, "http_connections", "gauge", "Connections that speak HTTP.",
        (double)http->connections);
    add(out, "http_accepted_total", "counter", "Connections accepted.", (double)http->accepted);
    add(out, "http_refused_total", "counter", "Connections refused: there were too many.",
        (double)http->refused);
    add(out, "http_limited_total", "counter", "Requests refused: an address asked too often.",
        (double)http->limited);
    add(out, "http_slow_total", "counter", "Connections dropped: too slow.",
        (double)http->too_slow);
    add(out, "http_received_bytes_total", "counter", "Bytes of requests.", (double)http->received);
    add(out, "http_sent_bytes_total", "counter", "Bytes of answers.", (double)http->sent);
    add(out, "event_streams", "gauge", "Event streams that are open.", (double)http->streams);
}

static void add_ws(struct inst_buf *out, const struct inst_ws_stats *ws) {
    add(out, "websockets", "gauge", "WebSockets that are open.", (double)ws->open);
    add(out, "websockets_opened_total", "counter", "WebSockets opened.", (double)ws->opened);
    add(out, "websocket_queued_bytes", "gauge", "Bytes that wait for WebSockets.",
        (double)ws->queued);
    add(out, "websocket_received_bytes_total", "counter", "Bytes of messages received.",
        (double)ws->received_bytes);
    add(out, "websocket_sent_bytes_total", "counter", "Bytes of messages sent.",
        (double)ws->sent_bytes);
    add(out, "websocket_slow_total", "counter", "WebSockets dropped: left too much unread.",
        (double)ws->slow);
    add(out, "websocket_silent_total", "counter", "WebSockets dropped: answered no ping.",
        (double)ws->silent);
    add(out, "websocket_limited_total", "counter", "WebSockets dropped: too many messages.",
        (double)ws->limited);
}

static void add_engine(struct inst_buf *out, const struct inst_server_stats *engine) {
    add(out, "sessions", "gauge", "Sessions, over WebSockets and event streams.",
        (double)engine->sessions);
    add(out, "subscriptions", "gauge", "Live queries.", (double)engine->subscriptions);
    add(out, "computations", "gauge", "Results that live queries share.",
        (double)engine->computations);
    add(out, "computations_run_total", "counter", "Runs of live queries.",
        (double)engine->computations_run);
    add(out, "messages_received_total", "counter", "Messages of sessions.",
        (double)engine->received);
    add(out, "refreshes_sent_total", "counter", "Changed results sent.",
        (double)engine->refreshes_sent);
    add(out, "transactions_total", "counter", "Transactions committed.",
        (double)engine->transactions);
    add(out, "commits_total", "counter", "Groups of transactions committed.",
        (double)engine->commits);
}

static void add_process(struct inst_buf *out, const struct inst_ws_stats *ws) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%*u %lu", &pages) == 1)
        add(out, "resident_memory_bytes", "gauge", "Memory of the process.",
            (double)pages * (double)sysconf(_SC_PAGESIZE));
    if (file)
        fclose(file);
    add(out, "uptime_seconds", "gauge", "How long the port has been open.",
        (double)ws->uptime_ms / 1000);
}

/* ---- who may ---- */

static const char *field(const struct inst_http_request *request, const char *name) {
    for (size_t i = 0; i < request->field_count; i++)
        if (strcmp(request->fields[i].name, name) == 0)
            return request->fields[i].value;
    return NULL;
}

static bool may_see_metrics(const struct inst_ops *host, const struct inst_http_request *request) {
    static const char scheme[] = "Bearer ";
    const char *given = field(request, "authorization");
    if (!given || strncasecmp(given, scheme, sizeof scheme - 1) != 0)
        return false;
    given += sizeof scheme - 1;
    size_t len = strlen(host->metrics_token);
    return strlen(given) == len && CRYPTO_memcmp(given, host->metrics_token, len) == 0;
}

static void answer_health(const struct inst_ops *host, struct inst_http_response *response) {
    if (host->is_stopping)
        response->status = 503;
    inst_buf_addf(&response->body, "{\"status\":\"%s\"}", host->is_stopping ? "stopping" : "ok");
}

static void answer_metrics(const struct inst_ops *host, const struct inst_http_request *request,
                           struct inst_http_response *response) {
    if (!may_see_metrics(host, request)) {
        response->status = 401;
        inst_buf_add_str(&response->headers, "WWW-Authenticate: Bearer\r\n");
        inst_buf_add_str(&response->body, "{\"type\":\"permission-denied\",\"message\":"
                                          "\"This needs the metrics token.\"}");
        return;
    }
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    add_http(&response->body, host->http);
    add_ws(&response->body, host->ws);
    add_engine(&response->body, host->engine);
    add_process(&response->body, host->ws);
}

bool inst_ops_answer(const struct inst_ops *host, const struct inst_http_request *request,
                     struct inst_http_response *response) {
    bool is_health = strcmp(request->path, "/health") == 0;
    bool is_metrics = host->metrics_token && strcmp(request->path, "/metrics") == 0;
    if (strcmp(request->method, "GET") != 0 || (!is_health && !is_metrics))
        return false;
    *response = (struct inst_http_response){.status = 200};
    inst_buf_add_str(&response->headers, "Cache-Control: no-store\r\n");
    if (is_health)
        answer_health(host, response);
    else
        answer_metrics(host, request, response);
    return true;
}

/* ---- the log ---- */

/* The id of an address for one upload is as good as a token while it is not used. */
static void print_path(const struct inst_slice *path, char *out, size_t cap) {
    static const char upload[] = "/consume-upload-url";
    if (path->len > sizeof upload - 1 && memmem(path->str, path->len, upload, sizeof upload - 1))
        snprintf(out, cap, "/storage/-%s", upload);
    else
        snprintf(out, cap, "%.*s", (int)path->len, path->str);
}

void inst_ops_log(struct inst_loop *loop, const struct inst_http_log *entry) {
    char method[16], path[512], status[16], took[32];
    if (!inst_loop_logs(loop, INST_LOG_INFO))
        return;
    snprintf(method, sizeof method, "%.*s", (int)entry->method.len, entry->method.str);
    print_path(&entry->path, path, sizeof path);
    snprintf(status, sizeof status, "%d", entry->status);
    snprintf(took, sizeof took, "%.1f", (double)entry->took_us / 1000);
    const struct inst_log_field fields[] = {
        {"method", method}, {"path", path},    {"status", status},
        {"ms", took},       {"ip", entry->ip}, {"trace", entry->trace},
    };
    inst_loop_log_event(loop, INST_LOG_INFO, "request", fields, sizeof fields / sizeof fields[0]);
}
