#include "io/http_answer.h"

#include "base/json.h"

#include <inttypes.h>
#include <string.h>

static const char *reason(int status) {
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {204, "No Content"},
        {206, "Partial Content"},
        {302, "Found"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {416, "Range Not Satisfiable"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {507, "Insufficient Storage"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Answer";
}

/* May this value be echoed in a header? Control bytes cannot be in it: the head parser refused
 * them. */
static bool is_echoable(const struct inst_slice *value) {
    if (value->len == 0 || value->len > 1024)
        return false;
    for (size_t i = 0; i < value->len; i++)
        if ((unsigned char)value->str[i] < 0x20 || (unsigned char)value->str[i] > 0x7e)
            return false;
    return true;
}

static void write_origin(struct inst_buf *out, const struct inst_http_head *head) {
    const struct inst_slice *origin = head ? inst_head_field(head, "origin", NULL) : NULL;
    inst_buf_add_str(out, "Vary: Origin, Access-Control-Request-Headers\r\n");
    if (!origin || !is_echoable(origin))
        return;
    inst_buf_add_str(out, "Access-Control-Allow-Origin: ");
    inst_buf_add(out, origin->str, origin->len);
    inst_buf_add_str(out, "\r\n");
}

static void write_status(struct inst_buf *out, int status, bool keep_alive) {
    inst_buf_addf(out, "HTTP/1.1 %d %s\r\nConnection: %s\r\n", status, reason(status),
                  keep_alive ? "keep-alive" : "close");
}

static void write_top(struct inst_buf *out, const struct inst_http_head *head, int status,
                      bool keep_alive) {
    write_status(out, status, keep_alive);
    inst_buf_add_str(out, "X-Frame-Options: DENY\r\n"
                          "X-Content-Type-Options: nosniff\r\n"
                          "Referrer-Policy: strict-origin\r\n"
                          "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
                          "Permissions-Policy: camera=(), geolocation=(), microphone=()\r\n");
    write_origin(out, head);
}

static void write_all(struct inst_buf *out, const struct inst_http_head *head, int status,
                      const char *type, const char *body, size_t body_len, bool keep_alive,
                      const char *extra) {
    write_top(out, head, status, keep_alive);
    inst_buf_addf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n%s\r\n", type, body_len, extra);
    if (body_len && (!head || !inst_slice_is(&head->method, "HEAD")))
        inst_buf_add(out, body, body_len);
}

void inst_http_write(struct inst_buf *out, const struct inst_http_head *head, int status,
                     const char *body, size_t body_len, bool keep_alive, const char *extra) {
    write_all(out, head, status, "application/json", body, body_len, keep_alive, extra);
}

void inst_http_write_response(struct inst_buf *out, const struct inst_http_head *head,
                              const struct inst_http_response *response, bool keep_alive) {
    bool is_empty = response->body.len == 0 && !response->content_type;
    write_all(out, head, response->status,
              response->content_type ? response->content_type : "application/json",
              is_empty ? "{}" : response->body.data, is_empty ? 2 : response->body.len, keep_alive,
              response->headers.len ? response->headers.data : "");
}

void inst_http_write_stream(struct inst_buf *out, const struct inst_http_head *head,
                            const struct inst_http_response *response) {
    write_top(out, head, response->status, false);
    inst_buf_addf(out, "Content-Type: %s\r\n%s\r\n", response->content_type,
                  response->headers.len ? response->headers.data : "");
    if (response->body.len)
        inst_buf_add(out, response->body.data, response->body.len);
}

void inst_http_write_file(struct inst_buf *out, const struct inst_http_response *response,
                          const struct inst_http_part *part, uint64_t size, bool keep_alive) {
    write_status(out, part->status, keep_alive);
    inst_buf_add_str(out, "X-Content-Type-Options: nosniff\r\n"
                          "Referrer-Policy: strict-origin\r\n"
                          "Access-Control-Allow-Origin: *\r\n"
                          "Access-Control-Expose-Headers: Content-Range, ETag\r\n"
                          "Accept-Ranges: bytes\r\n");
    if (part->status == 206)
        inst_buf_addf(out, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n",
                      part->from, part->from + part->len - 1, size);
    if (part->status == 416)
        inst_buf_addf(out, "Content-Range: bytes */%" PRIu64 "\r\n", size);
    if (part->status != 304)
        inst_buf_addf(out, "Content-Length: %" PRIu64 "\r\n", part->len);
    inst_buf_add(out, response->headers.data, response->headers.len);
    inst_buf_add_str(out, "\r\n");
}

void inst_http_write_redirect(struct inst_buf *out, const struct inst_http_head *head,
                              const char *address, bool keep_alive) {
    write_status(out, 302, keep_alive);
    /* The address is good for longer than it is kept. */
    inst_buf_addf(out,
                  "X-Content-Type-Options: nosniff\r\n"
                  "Referrer-Policy: no-referrer\r\n"
                  "Access-Control-Allow-Origin: *\r\n"
                  "Cache-Control: private, max-age=1200\r\n"
                  "Location: %s\r\n"
                  "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n%s",
                  address, inst_slice_is(&head->method, "HEAD") ? "" : "{}");
}

static const char *extra_of(int status) {
    switch (status) {
    case 426:
        return "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    case 405:
    case 501:
        return "Allow: GET, HEAD, PUT, POST, DELETE, OPTIONS\r\n";
    case 503:
        return "Retry-After: 5\r\n";
    default:
        return "";
    }
}

static const char *type_of(int status) {
    if (status == 429)
        return "rate-limited";
    return status >= 500 ? "unknown" : "param-malformed";
}

void inst_http_write_refusal(struct inst_buf *out, const struct inst_http_head *head, int status,
                             const char *message, bool keep_alive, const char *extra) {
    struct inst_buf body;
    inst_buf_init(&body);
    inst_buf_addf(&body, "{\"type\":\"%s\",\"message\":", type_of(status));
    inst_json_write_string(&body, message, strlen(message));
    inst_buf_add_str(&body, "}");
    if (body.failed)
        out->failed = true;
    else
        inst_http_write(out, head, status, body.data, body.len, keep_alive, extra);
    inst_buf_free(&body);
}

void inst_http_write_error(struct inst_buf *out, const struct inst_http_head *head, int status,
                           const char *message, bool keep_alive) {
    inst_http_write_refusal(out, head, status, message, keep_alive, extra_of(status));
}

void inst_http_write_preflight(struct inst_buf *out, const struct inst_http_head *head,
                               bool keep_alive) {
    write_top(out, head, 200, keep_alive);
    const struct inst_slice *asked = inst_head_field(head, "access-control-request-headers", NULL);
    if (asked && is_echoable(asked)) {
        inst_buf_add_str(out, "Access-Control-Allow-Headers: ");
        inst_buf_add(out, asked->str, asked->len);
        inst_buf_add_str(out, "\r\n");
    }
    inst_buf_add_str(out, "Access-Control-Allow-Methods: GET, PUT, POST, DELETE\r\n"
                          "Access-Control-Max-Age: 600\r\n"
                          "Cache-Control: public, max-age=600\r\n"
                          "Allow: GET, HEAD, PUT, POST, DELETE, OPTIONS\r\n"
                          "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
}

/* 16 bytes in base64: 22 letters and "==". */
static bool is_key(const struct inst_slice *key) {
    if (key->len != 24 || key->str[22] != '=' || key->str[23] != '=')
        return false;
    for (size_t i = 0; i < 22; i++) {
        char c = key->str[i];
        bool is_letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                         (c >= '0' && c <= '9') || c == '+' || c == '/';
        if (!is_letter)
            return false;
    }
    return true;
}

static int check_version(const struct inst_slice *version) {
    if (!version || version->len == 0)
        return 400;
    bool is_number = true;
    for (size_t i = 0; i < version->len; i++)
        is_number = is_number && version->str[i] >= '0' && version->str[i] <= '9';
    if (inst_slice_is(version, "13"))
        return 101;
    return is_number || memchr(version->str, ',', version->len) ? 426 : 400;
}

int inst_ws_handshake(const struct inst_http_head *head) {
    if (!inst_slice_is(&head->path, "/runtime/session"))
        return 0;
    if (!inst_slice_is(&head->method, "GET"))
        return inst_slice_is(&head->method, "OPTIONS") ? 0 : 405;
    if (head->minor == 0 || !inst_http_has_token(head, "upgrade", "websocket") ||
        !inst_http_has_token(head, "connection", "upgrade"))
        return 426;
    size_t keys, versions;
    const struct inst_slice *key = inst_head_field(head, "sec-websocket-key", &keys);
    const struct inst_slice *version = inst_head_field(head, "sec-websocket-version", &versions);
    int status = versions > 1 ? 400 : check_version(version);
    if (status != 101)
        return status;
    if (keys != 1 || !is_key(key) || head->content_length > 0 || head->is_chunked)
        return 400;
    return 101;
}
