#include "base/url.h"

#include <string.h>

void inst_url_encode(struct inst_buf *out, const char *text) {
    static const char digits[] = "0123456789ABCDEF";
    for (const char *c = text; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c, letter = byte | 0x20;
        if ((byte >= '0' && byte <= '9') || (letter >= 'a' && letter <= 'z') ||
            strchr("-._~", byte) != NULL) {
            inst_buf_add_char(out, *c);
            continue;
        }
        inst_buf_add_char(out, '%');
        inst_buf_add_char(out, digits[byte >> 4]);
        inst_buf_add_char(out, digits[byte & 15]);
    }
}

static void add_params(struct inst_buf *out, const char *before,
                       const struct inst_url_param *params, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (params[i].value == NULL)
            continue;
        inst_buf_add_str(out, before);
        inst_url_encode(out, params[i].name);
        inst_buf_add_char(out, '=');
        inst_url_encode(out, params[i].value);
        before = "&";
    }
}

void inst_url_form(struct inst_buf *out, const struct inst_url_param *params, size_t count) {
    add_params(out, "", params, count);
}

void inst_url_with(struct inst_buf *out, const char *url, const struct inst_url_param *params,
                   size_t count) {
    size_t len = strcspn(url, "#");
    const char *query = memchr(url, '?', len);
    bool is_open = query == url + len - 1 && len > 0; /* nothing behind the `?` yet */
    inst_buf_add(out, url, len);
    add_params(out, query == NULL ? "?" : is_open ? "" : "&", params, count);
    inst_buf_add_str(out, url + len);
}
