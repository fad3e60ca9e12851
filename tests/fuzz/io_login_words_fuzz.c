/*
 * Any bytes as what people write around signing in: an address to go back to (which must be the
 * app's own, read as a browser reads it), how mail is sent, a mail's subject and sender (which must
 * stay where they are in its head).
 */
#include "base/json.h"
#include "base/url.h"
#include "fuzz.h"
#include "io/mail.h"
#include "server/origins.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char list_text[] = "[{\"service\":\"generic\",\"params\":[\"example.com\"]},"
                                "{\"service\":\"vercel\",\"params\":[\"vercel.app\",\"mine\"]},"
                                "{\"service\":\"netlify\",\"params\":[\"mine\"]},"
                                "{\"service\":\"custom-scheme\",\"params\":[\"myapp\"]}]";

/* What is allowed begins in one of few ways. */
static bool is_own(const char *url) {
    static const char *const ends[] = {"example.com", ".vercel.app", ".netlify.app",
                                       ".netlify.live"};
    if (strncasecmp(url, "myapp:", 6) == 0)
        return true;
    size_t skip = strncasecmp(url, "https://", 8) == 0  ? 8
                  : strncasecmp(url, "http://", 7) == 0 ? 7
                                                        : 0;
    const char *host = url + skip;
    size_t len = strcspn(host, "/?#");
    for (size_t i = 0; skip > 0 && i < 4; i++) {
        size_t n = strlen(ends[i]);
        bool is_end = len >= n && strncasecmp(host + len - n, ends[i], n) == 0;
        if (is_end && (i > 0 || len == n) && memchr(host, '@', len) == NULL)
            return true;
    }
    return false;
}

static void check_origin(const char *text) {
    struct inst_arena arena;
    struct inst_value list;
    struct inst_buf url;
    inst_arena_init(&arena);
    FUZZ_REQUIRE(inst_json_parse(&arena, list_text, sizeof list_text - 1, &list, NULL) == INST_OK);
    if (inst_origins_allow(&list, text)) {
        const struct inst_url_param param = {"code", text};
        FUZZ_REQUIRE(is_own(text));
        /* With a code added it is still the same place. */
        inst_buf_init(&url);
        inst_url_with(&url, text, &param, 1);
        FUZZ_REQUIRE(inst_origins_allow(&list, url.data));
        inst_buf_free(&url);
    }
    inst_arena_free(&arena);
}

static void check_mail(const char *text) {
    struct inst_mail_config config, own = {.from = "a@b.de"};
    struct inst_outgoing_mail mail = {
        .to = "c@d.e", .sender_name = text, .subject = text, .html = text, .text = text};
    struct inst_buf out;
    if (inst_mail_config_read(text, &config, NULL) == INST_OK) {
        FUZZ_REQUIRE(inst_mail_is_address(config.from) && config.url != NULL);
        inst_mail_config_clear(&config);
    }
    inst_buf_init(&out);
    inst_mail_write(&out, &own, &mail, "id", 0);
    const char *end = strstr(out.data, "\r\n\r\n");
    size_t lines = 0;
    FUZZ_REQUIRE(end != NULL);
    for (const char *at = out.data; at < end; at += strcspn(at, "\n") + 1) {
        size_t len = strcspn(at, "\r\n");
        FUZZ_REQUIRE(len < 998 && at[len] == '\r' && at[len + 1] == '\n');
        lines += *at != ' '; /* the others go on from the one before */
    }
    FUZZ_REQUIRE(lines == 8);
    inst_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    FUZZ_REQUIRE(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    check_origin(text);
    check_mail(text);
    free(text);
    return 0;
}
