#include "io/log.h"

#include "base/date.h"
#include "base/json.h"
#include "base/text.h"

#include <string.h>

static const char *const levels[] = {"error", "warning", "info", "debug"};

/* Bytes that are no UTF-8 are shown as what they are in Latin-1. */
static void write_json_text(struct inst_buf *out, const char *text) {
    size_t len = strlen(text);
    if (inst_text_is_utf8(text, len)) {
        inst_json_write_string(out, text, len);
        return;
    }
    inst_buf_add_char(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            inst_buf_addf(out, "\\u%04x", c);
        else
            inst_buf_add_char(out, (char)c);
    }
    inst_buf_add_char(out, '"');
}

static void write_json(struct inst_buf *out, int64_t now_ms, enum inst_log_level level,
                       const char *message, const struct inst_log_field *fields, size_t count) {
    char time[INST_DATE_TEXT_MAX];
    size_t len = inst_date_iso((double)now_ms, time);
    inst_buf_add_str(out, "{\"time\":\"");
    inst_buf_add(out, time, len);
    inst_buf_addf(out, "\",\"level\":\"%s\",\"message\":", levels[level]);
    write_json_text(out, message);
    for (size_t i = 0; i < count; i++) {
        if (!fields[i].value || !fields[i].value[0])
            continue;
        inst_buf_addf(out, ",\"%s\":", fields[i].name);
        write_json_text(out, fields[i].value);
    }
    inst_buf_add_str(out, "}\n");
}

static void write_plain(struct inst_buf *out, const char *text) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            inst_buf_addf(out, "\\x%02x", c);
        else
            inst_buf_add_char(out, *text);
    }
}

void inst_log_write(struct inst_buf *out, bool is_json, int64_t now_ms, enum inst_log_level level,
                    const char *message, const struct inst_log_field *fields, size_t count) {
    if (is_json) {
        write_json(out, now_ms, level, message, fields, count);
        return;
    }
    inst_buf_addf(out, "instant: %s: ", levels[level]);
    write_plain(out, message);
    for (size_t i = 0; i < count; i++) {
        if (!fields[i].value || !fields[i].value[0])
            continue;
        inst_buf_addf(out, " %s=", fields[i].name);
        write_plain(out, fields[i].value);
    }
    inst_buf_add_char(out, '\n');
}
