#include "io/mail.h"

#include "base/base64.h"
#include "base/digest.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define MAX_TEXT 2048
#define MAX_ADDRESS 320

/* ---- the operator's words ---- */

static void wipe_text(char *text) {
    if (text)
        inst_wipe(text, strlen(text));
    free(text);
}

void inst_mail_config_clear(struct inst_mail_config *config) {
    free(config->url);
    wipe_text(config->user);
    wipe_text(config->secret);
    free(config->from);
    free(config->name);
    *config = (struct inst_mail_config){0};
}

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decoded; NULL for a broken escape, a control character, or when out of memory. */
static char *decoded(const char *text, size_t len) {
    char *out = malloc(len + 1), *to = out;
    for (size_t i = 0; out && i < len; i++) {
        int c = (unsigned char)text[i];
        if (c == '%') {
            int high = i + 2 < len ? hex(text[i + 1]) : -1,
                low = i + 2 < len ? hex(text[i + 2]) : -1;
            c = high < 0 || low < 0 ? 0 : high * 16 + low;
            i += 2;
        }
        if (c < 0x20 || c == 0x7f) {
            *to = '\0';
            wipe_text(out);
            return NULL;
        }
        *to++ = (char)c;
    }
    if (out)
        *to = '\0';
    return out;
}

/* One address without anything that could leave its place in a head or an envelope. */
bool inst_mail_is_address(const char *text) {
    const char *at = strchr(text, '@');
    if (!at || at == text || at[1] == '\0' || strchr(at + 1, '@') || strlen(text) > MAX_ADDRESS)
        return false;
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || strchr("<>,;:\"()[]\\", *c))
            return false;
    return true;
}

struct param {
    const char *name;
    char **to;
};

static enum inst_status refuse(struct inst_err *err, const char *why) {
    return inst_err_set(err, "param-malformed", 400,
                        "The way to send mail is not understood: %s (see --help).", why);
}

static enum inst_status read_params(const char *query, const struct param *params, size_t count,
                                    struct inst_err *err) {
    while (*query) {
        size_t pair = strcspn(query, "&"), key = strcspn(query, "=&"), i = 0;
        while (i < count && (strlen(params[i].name) != key || memcmp(params[i].name, query, key)))
            i++;
        if (i == count || key == pair || *params[i].to)
            return refuse(err, "a parameter is unknown, empty or there twice");
        *params[i].to = decoded(query + key + 1, pair - key - 1);
        if (!*params[i].to)
            return refuse(err, "a parameter cannot be read");
        query += pair + (query[pair] == '&');
    }
    return INST_OK;
}

static bool read_scheme(const char *text, struct inst_mail_config *out, const char **rest,
                        const char **url_scheme) {
    static const struct {
        const char *scheme;
        enum inst_mail_kind kind;
        const char *url;
    } schemes[] = {
        {"smtp://", INST_MAIL_SMTP, "smtp://"},
        {"smtps://", INST_MAIL_SMTP, "smtps://"},
        {"postmark://", INST_MAIL_POSTMARK, "https://api.postmarkapp.com/email"},
        {"sendgrid://", INST_MAIL_SENDGRID, "https://api.sendgrid.com/v3/mail/send"},
    };
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t len = strlen(schemes[i].scheme);
        if (strncasecmp(text, schemes[i].scheme, len) != 0)
            continue;
        out->kind = schemes[i].kind;
        *url_scheme = schemes[i].url;
        *rest = text + len;
        return true;
    }
    return false;
}

/* USER:PASSWORD@HOST:PORT of len bytes. */
static enum inst_status read_server(const char *text, size_t len, const char *scheme,
                                    struct inst_mail_config *out, struct inst_err *err) {
    const char *host = text, *end = text + len;
    for (const char *c = text; c < end; c++)
        if (*c == '@')
            host = c + 1;
    if (host > text) {
        size_t user = 0, login = (size_t)(host - 1 - text);
        while (user < login && text[user] != ':')
            user++;
        out->user = decoded(text, user);
        out->secret = user < login ? decoded(text + user + 1, login - user - 1) : NULL;
        if (!out->user || (user < login && !out->secret))
            return refuse(err, "user and password cannot be read");
    }
    size_t host_len = (size_t)(end - host);
    if (host_len == 0 || host_len > 255 || strcspn(host, "/?# \t") < host_len)
        return refuse(err, "the server is missing");
    struct inst_buf url;
    inst_buf_init(&url);
    inst_buf_add_str(&url, scheme);
    inst_buf_add(&url, host, host_len);
    size_t whole;
    out->url = inst_buf_take(&url, &whole);
    return out->url ? INST_OK : inst_err_nomem(err);
}

static bool is_loopback(const char *url) {
    const char *host = strstr(url, "://") + 3;
    size_t len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    return (len == 9 && strncasecmp(host, "localhost", 9) == 0) || strncmp(host, "127.", 4) == 0 ||
           (len == 5 && memcmp(host, "[::1]", 5) == 0);
}

static enum inst_status set_tls(struct inst_mail_config *out, const char *tls,
                                struct inst_err *err) {
    bool is_clear = out->kind == INST_MAIL_SMTP && strncmp(out->url, "smtp://", 7) == 0;
    /* A password does not go out in clear because somebody in between left STARTTLS out. */
    out->tls = is_clear && out->secret && !is_loopback(out->url) ? INST_MAIL_TLS_REQUIRED
                                                                 : INST_MAIL_TLS_TRY;
    if (!tls)
        return INST_OK;
    if (!is_clear || (strcmp(tls, "no") != 0 && strcmp(tls, "required") != 0))
        return refuse(err, "tls is `no` or `required`, for smtp://");
    out->tls = strcmp(tls, "no") == 0 ? INST_MAIL_TLS_NO : INST_MAIL_TLS_REQUIRED;
    return INST_OK;
}

static enum inst_status read_all(const char *text, struct inst_mail_config *out, char **tls,
                                 char **api, struct inst_err *err) {
    const char *rest, *scheme;
    const struct param params[] = {
        {"from", &out->from}, {"name", &out->name}, {"tls", tls}, {"api", api}};
    if (strlen(text) > MAX_TEXT || !read_scheme(text, out, &rest, &scheme))
        return refuse(err, "it begins with smtp://, smtps://, postmark:// or sendgrid://");
    size_t len = strcspn(rest, "?");
    if (len > 0 && rest[len - 1] == '/')
        len--;
    enum inst_status status =
        read_params(rest + strcspn(rest, "?") + (strchr(rest, '?') != NULL), params, 4, err);
    if (status != INST_OK)
        return status;
    if (!out->from || !inst_mail_is_address(out->from))
        return refuse(err, "it needs ?from=ADDRESS");
    if (out->kind == INST_MAIL_SMTP) {
        status = *api ? refuse(err, "api is for HTTP providers")
                      : read_server(rest, len, scheme, out, err);
        return status == INST_OK ? set_tls(out, *tls, err) : status;
    }
    out->secret = len > 0 ? decoded(rest, len) : NULL;
    if (!out->secret)
        return refuse(err, "the provider's token is missing");
    out->url = strdup(*api ? *api : scheme);
    return out->url ? set_tls(out, *tls, err) : inst_err_nomem(err);
}

enum inst_status inst_mail_config_read(const char *text, struct inst_mail_config *out,
                                       struct inst_err *err) {
    char *tls = NULL, *api = NULL;
    *out = (struct inst_mail_config){0};
    enum inst_status status = read_all(text, out, &tls, &api, err);
    free(tls);
    free(api);
    if (status != INST_OK)
        inst_mail_config_clear(out);
    return status;
}

/* ---- the message ---- */

static bool is_plain(const char *text) {
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
            return false;
    return true;
}

/* Words of a head. What is not plain goes encoded (RFC 2047), in pieces that no line limit and no
 * character is broken by; so a line end cannot get out. */
static void add_words(struct inst_buf *out, const char *text, bool is_quoted) {
    if (is_plain(text) && strlen(text) < 200 && strstr(text, "=?") == NULL) {
        if (is_quoted)
            inst_buf_add_char(out, '"');
        for (const char *c = text; *c; c++) {
            if (is_quoted && (*c == '"' || *c == '\\'))
                inst_buf_add_char(out, '\\');
            inst_buf_add_char(out, *c);
        }
        if (is_quoted)
            inst_buf_add_char(out, '"');
        return;
    }
    for (size_t len; *text; text += len) {
        len = strlen(text) < 42 ? strlen(text) : 42;
        while (text[len] && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
        if (len == 0)
            len = strlen(text) < 42 ? strlen(text) : 42; /* no UTF-8 at all */
        inst_buf_add_str(out, "=?UTF-8?B?");
        inst_base64_add(out, text, len);
        inst_buf_add_str(out, text[len] ? "?=\r\n " : "?=");
    }
}

static void add_base64_lines(struct inst_buf *out, const char *text) {
    size_t left = strlen(text);
    do {
        size_t len = left < 57 ? left : 57;
        inst_base64_add(out, text, len);
        inst_buf_add_str(out, "\r\n");
        text += len;
        left -= len;
    } while (left > 0);
}

static void add_part(struct inst_buf *out, const char *boundary, const char *type,
                     const char *text) {
    inst_buf_addf(out,
                  "--%s\r\nContent-Type: %s; charset=utf-8\r\n"
                  "Content-Transfer-Encoding: base64\r\n\r\n",
                  boundary, type);
    add_base64_lines(out, text);
}

static const char *sender_name(const struct inst_mail_config *config,
                               const struct inst_outgoing_mail *mail) {
    return mail->sender_name && mail->sender_name[0] ? mail->sender_name : config->name;
}

static void add_date(struct inst_buf *out, int64_t now_ms) {
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm at;
    gmtime_r(&seconds, &at);
    inst_buf_addf(out, "Date: %s, %02d %s %d %02d:%02d:%02d +0000\r\n", days[at.tm_wday],
                  at.tm_mday, months[at.tm_mon], at.tm_year + 1900, at.tm_hour, at.tm_min,
                  at.tm_sec);
}

void inst_mail_write(struct inst_buf *out, const struct inst_mail_config *config,
                     const struct inst_outgoing_mail *mail, const char *id, int64_t now_ms) {
    const char *name = sender_name(config, mail);
    inst_buf_add_str(out, "From: ");
    if (name) {
        add_words(out, name, true);
        inst_buf_add_char(out, ' ');
    }
    inst_buf_addf(out, "<%s>\r\nTo: <%s>\r\nSubject: ", config->from, mail->to);
    add_words(out, mail->subject, false);
    inst_buf_add_str(out, "\r\n");
    add_date(out, now_ms);
    inst_buf_addf(out,
                  "Message-ID: <%s@%s>\r\nMIME-Version: 1.0\r\nAuto-Submitted: auto-generated\r\n"
                  "Content-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n",
                  id, strchr(config->from, '@') + 1, id);
    add_part(out, id, "text/plain", mail->text);
    add_part(out, id, "text/html", mail->html);
    inst_buf_addf(out, "--%s--\r\n", id);
}

/* ---- JSON ---- */

static void add_json(struct inst_buf *out, const char *before, const char *text) {
    inst_buf_add_str(out, before);
    inst_json_write_string(out, text, strlen(text));
}

static void add_postmark(struct inst_buf *out, const struct inst_mail_config *config,
                         const struct inst_outgoing_mail *mail) {
    struct inst_buf from;
    const char *name = sender_name(config, mail);
    inst_buf_init(&from);
    if (name)
        add_words(&from, name, true);
    inst_buf_addf(&from, name ? " <%s>" : "%s", config->from);
    add_json(out, "{\"From\":", from.data ? from.data : "");
    add_json(out, ",\"To\":", mail->to);
    add_json(out, ",\"Subject\":", mail->subject);
    add_json(out, ",\"HtmlBody\":", mail->html);
    add_json(out, ",\"TextBody\":", mail->text);
    inst_buf_add_str(out, ",\"MessageStream\":\"outbound\"}");
    if (from.failed)
        out->failed = true;
    inst_buf_free(&from);
}

static void add_sendgrid(struct inst_buf *out, const struct inst_mail_config *config,
                         const struct inst_outgoing_mail *mail) {
    const char *name = sender_name(config, mail);
    add_json(out, "{\"personalizations\":[{\"to\":[{\"email\":", mail->to);
    add_json(out, "}]}],\"from\":{\"email\":", config->from);
    if (name)
        add_json(out, ",\"name\":", name);
    add_json(out, "},\"subject\":", mail->subject);
    add_json(out, ",\"content\":[{\"type\":\"text/plain\",\"value\":", mail->text);
    add_json(out, "},{\"type\":\"text/html\",\"value\":", mail->html);
    inst_buf_add_str(out, "}]}");
}

void inst_mail_write_json(struct inst_buf *out, const struct inst_mail_config *config,
                          const struct inst_outgoing_mail *mail) {
    if (config->kind == INST_MAIL_POSTMARK)
        add_postmark(out, config, mail);
    else
        add_sendgrid(out, config, mail);
}
