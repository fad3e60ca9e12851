#include "io/http_head.h"

#include "base/text.h"

#include <string.h>
#include <strings.h>

bool inst_http_is_token_char(unsigned char c) {
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_token(const struct inst_slice *s) {
    for (size_t i = 0; i < s->len; i++)
        if (!inst_http_is_token_char((unsigned char)s->str[i]))
            return false;
    return s->len > 0;
}

bool inst_slice_is(const struct inst_slice *slice, const char *text) {
    return slice->len == strlen(text) && strncasecmp(slice->str, text, slice->len) == 0;
}

int inst_http_hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* ---- finding the end ---- */

/* Goes on to the empty line. 0: more; a status: refuse; 1: scan->done is behind the empty line. */
static int find_end(struct inst_head_scan *scan, const char *bytes, size_t len) {
    while (scan->done < len) {
        size_t i = scan->done++;
        unsigned char c = (unsigned char)bytes[i];
        if (i >= INST_HTTP_MAX_HEAD)
            return scan->lines == 0 ? 414 : 431;
        if (scan->lines == 0 && i - scan->line_start > INST_HTTP_MAX_TARGET + 32)
            return 414;
        if (c == '\n') {
            if (i == 0 || bytes[i - 1] != '\r')
                return 400;
            size_t line_len = i - 1 - scan->line_start;
            bool is_leading = scan->lines == 0 && line_len == 0;
            if (is_leading && scan->line_start > 0)
                return 400; /* one empty line before a request passes, two do not */
            scan->line_start = i + 1;
            if (is_leading)
                continue;
            if (line_len == 0)
                return 1;
            scan->lines++;
            continue;
        }
        if (i > 0 && bytes[i - 1] == '\r')
            return 400;
        if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f)
            return 400;
    }
    return 0;
}

/* ---- request line ---- */

static int parse_target(struct inst_slice target, struct inst_http_head *head) {
    if (target.len > INST_HTTP_MAX_TARGET)
        return 414;
    if (memchr(target.str, '#', target.len))
        return 400;
    if (target.len > 7 && strncasecmp(target.str, "http://", 7) == 0) {
        const char *slash = memchr(target.str + 7, '/', target.len - 7);
        if (!slash)
            return 400;
        target.len -= (size_t)(slash - target.str);
        target.str = slash;
    }
    bool is_star = target.len == 1 && target.str[0] == '*';
    if (is_star && !inst_slice_is(&head->method, "OPTIONS"))
        return 400;
    if (!is_star && (target.len == 0 || target.str[0] != '/'))
        return 400;
    if (target.len == 2 && target.str[1] == '/')
        return 400;
    for (size_t i = 0; i < target.len; i++)
        if ((unsigned char)target.str[i] <= ' ')
            return 400;
    const char *mark = memchr(target.str, '?', target.len);
    head->path = target;
    head->query = (struct inst_slice){target.str + target.len, 0};
    if (mark) {
        head->path.len = (size_t)(mark - target.str);
        head->query.str = mark + 1;
        head->query.len = target.len - head->path.len - 1;
    }
    return 0;
}

static int parse_request_line(const char *line, size_t len, struct inst_http_head *head) {
    const char *first = memchr(line, ' ', len);
    if (!first)
        return 400;
    size_t rest = len - (size_t)(first + 1 - line);
    const char *second = memchr(first + 1, ' ', rest);
    if (!second || second == first + 1)
        return 400;
    const char *version = second + 1;
    size_t version_len = len - (size_t)(version - line);
    if (version_len != 8 || memcmp(version, "HTTP/", 5) != 0 || version[6] != '.')
        return 400;
    if (version[5] != '1')
        return version[5] >= '0' && version[5] <= '9' ? 505 : 400;
    if (version[7] < '0' || version[7] > '9')
        return 400;
    head->minor = version[7] == '0' ? 0 : 1;
    head->method = (struct inst_slice){line, (size_t)(first - line)};
    if (!is_token(&head->method))
        return 400;
    return parse_target((struct inst_slice){first + 1, (size_t)(second - first - 1)}, head);
}

/* ---- fields ---- */

static int parse_field(const char *line, size_t len, struct inst_http_head *head) {
    const char *colon = memchr(line, ':', len);
    if (!colon)
        return 400;
    struct inst_head_field field = {.name = {line, (size_t)(colon - line)}};
    if (!is_token(&field.name)) /* also a folded line, and white space before the colon */
        return 400;
    const char *from = colon + 1, *to = line + len;
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    field.value = (struct inst_slice){from, (size_t)(to - from)};
    if (head->field_count == INST_HTTP_MAX_FIELDS)
        return 431;
    head->fields[head->field_count++] = field;
    return 0;
}

const struct inst_slice *inst_head_field(const struct inst_http_head *head, const char *name,
                                         size_t *count) {
    const struct inst_slice *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < head->field_count; i++) {
        if (!inst_slice_is(&head->fields[i].name, name))
            continue;
        if (n++ == 0)
            first = &head->fields[i].value;
    }
    if (count)
        *count = n;
    return first;
}

static bool list_has(const struct inst_slice *list, const char *token) {
    const char *at = list->str, *end = list->str + list->len;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *to = comma ? comma : end;
        struct inst_slice item = {at, (size_t)(to - at)};
        while (item.len && (item.str[0] == ' ' || item.str[0] == '\t'))
            item.str++, item.len--;
        while (item.len && (item.str[item.len - 1] == ' ' || item.str[item.len - 1] == '\t'))
            item.len--;
        if (inst_slice_is(&item, token))
            return true;
        at = comma ? comma + 1 : end;
    }
    return false;
}

bool inst_http_has_token(const struct inst_http_head *head, const char *name, const char *token) {
    for (size_t i = 0; i < head->field_count; i++)
        if (inst_slice_is(&head->fields[i].name, name) && list_has(&head->fields[i].value, token))
            return true;
    return false;
}

static int check_length(struct inst_http_head *head) {
    size_t lengths, encodings;
    const struct inst_slice *length = inst_head_field(head, "content-length", &lengths);
    const struct inst_slice *encoding = inst_head_field(head, "transfer-encoding", &encodings);
    if (lengths > 1 || (lengths && encodings))
        return 400;
    head->is_chunked = encodings == 1 && head->minor == 1 && inst_slice_is(encoding, "chunked");
    if (encodings)
        return head->is_chunked ? 0 : 501;
    if (!lengths)
        return 0;
    if (length->len == 0)
        return 400;
    for (size_t i = 0; i < length->len; i++)
        if (length->str[i] < '0' || length->str[i] > '9')
            return 400;
    if (length->len > 15)
        return 413;
    head->has_length = true;
    for (size_t i = 0; i < length->len; i++)
        head->content_length = head->content_length * 10 + (uint64_t)(length->str[i] - '0');
    return 0;
}

static int check_host(const struct inst_http_head *head) {
    size_t hosts;
    const struct inst_slice *host = inst_head_field(head, "host", &hosts);
    if (hosts == 0)
        return head->minor == 0 ? 0 : 400;
    if (hosts > 1 || host->len == 0)
        return 400;
    const char *colon = NULL;
    for (size_t i = 0; i < host->len; i++) {
        unsigned char c = (unsigned char)host->str[i];
        if (c <= ' ' || c >= 0x7f || strchr("@/\\?#\"<>,;|^`{}", c))
            return 400;
        if (c == ':')
            colon = host->str + i;
    }
    const char *end = host->str + host->len;
    if (colon && host->str[0] != '[')
        for (const char *p = colon + 1; p < end; p++)
            if (*p < '0' || *p > '9')
                return 400;
    return 0;
}

/* Headers that say who asks and for what may stand once only (http.md 23). */
static int check_single(const struct inst_http_head *head) {
    static const char *const names[] = {"authorization", "app-id", "app_id", "path",
                                        "content-type",  "origin", "expect"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t count;
        inst_head_field(head, names[i], &count);
        if (count > 1)
            return 400;
    }
    return 0;
}

static int check_head(struct inst_http_head *head) {
    int status = check_length(head);
    if (!status)
        status = check_host(head);
    if (!status)
        status = check_single(head);
    if (status)
        return status;
    head->keep_alive = head->minor == 1 ? !inst_http_has_token(head, "connection", "close")
                                        : inst_http_has_token(head, "connection", "keep-alive");
    /* Read as it is it would be something else, and unpacked it may be without end. */
    const struct inst_slice *coding = inst_head_field(head, "content-encoding", NULL);
    if (coding && !inst_slice_is(coding, "identity") &&
        (head->content_length > 0 || head->is_chunked))
        return 415;
    const struct inst_slice *expect = inst_head_field(head, "expect", NULL);
    if (expect && !inst_slice_is(expect, "100-continue"))
        return 417;
    head->expects_continue =
        expect && head->minor == 1 && (head->content_length > 0 || head->is_chunked);
    return 0;
}

/* Lines of bytes[0..end), which find_end has found clean. */
static int parse_lines(const char *bytes, size_t end, struct inst_http_head *head) {
    size_t at = 0;
    bool is_first = true;
    if (bytes[0] == '\r')
        at = 2;
    while (at < end) {
        const char *line = bytes + at;
        size_t len = (size_t)((const char *)memchr(line, '\r', end - at) - line);
        if (len == 0)
            break;
        int status = is_first ? parse_request_line(line, len, head) : parse_field(line, len, head);
        if (status)
            return status;
        is_first = false;
        at += len + 2;
    }
    return check_head(head);
}

enum inst_head_result inst_http_head_parse(struct inst_head_scan *scan, const char *bytes,
                                           size_t len, struct inst_http_head *head,
                                           size_t *head_len, int *status) {
    int found = find_end(scan, bytes, len);
    if (found == 0)
        return INST_HEAD_MORE;
    if (found != 1) {
        *status = found;
        return INST_HEAD_REFUSE;
    }
    memset(head, 0, sizeof *head);
    *head_len = scan->done;
    *status = parse_lines(bytes, scan->done, head);
    return *status ? INST_HEAD_REFUSE : INST_HEAD_DONE;
}

/* ---- paths ---- */

bool inst_http_decode_path(const struct inst_slice *path, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < path->len; i++) {
        char c = path->str[i];
        if (c == '%') {
            int high = i + 2 < path->len ? inst_http_hex_digit(path->str[i + 1]) : -1;
            int low = i + 2 < path->len ? inst_http_hex_digit(path->str[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            if (c == '/' || c == '\\') {
                memcpy(out + n, path->str + i, 3);
                n += 3;
                i += 2;
                continue;
            }
            i += 2;
        }
        if ((unsigned char)c < 0x20 || c == 0x7f)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return inst_text_is_utf8(out, n);
}
