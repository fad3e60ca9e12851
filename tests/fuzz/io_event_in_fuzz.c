/*
 * Any bytes as an event stream: however they are cut into pieces, the same events come out, none
 * above the limit, and none that the text does not hold.
 */
#include "fuzz.h"
#include "io/event_in.h"

#include <string.h>

#define MAX 64

static bool keep(void *ctx, const char *data, size_t len) {
    struct inst_buf *seen = ctx;
    FUZZ_REQUIRE(len <= MAX);
    FUZZ_REQUIRE(len == 0 || memchr(data, '\r', len) == NULL);
    inst_buf_add_int(seen, (int64_t)len);
    inst_buf_add_char(seen, ':');
    if (len > 0)
        inst_buf_add(seen, data, len);
    return true;
}

static bool read_in(const char *bytes, size_t len, size_t piece, struct inst_buf *seen) {
    struct inst_event_in in = {.max = MAX};
    bool goes_on = true;
    inst_buf_init(seen);
    for (size_t at = 0; goes_on && at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        goes_on = inst_event_in_read(&in, bytes + at, n, keep, seen);
    }
    inst_event_in_free(&in);
    return goes_on;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct inst_buf whole, pieces;
    if (size < 1)
        return 0;
    const char *bytes = (const char *)data + 1;
    bool is_read = read_in(bytes, size - 1, size, &whole);
    bool is_read_again = read_in(bytes, size - 1, data[0] % 7 + 1, &pieces);
    /* A line that is too long is noticed earlier or later, depending on the cuts. */
    if (is_read && is_read_again)
        FUZZ_REQUIRE(whole.len == pieces.len &&
                     (whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0));
    inst_buf_free(&whole);
    inst_buf_free(&pieces);
    return 0;
}
