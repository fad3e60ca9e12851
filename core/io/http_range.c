#include "io/http_range.h"

#include <string.h>
#include <strings.h>

/* Reads digits; false when there is none. Too large a number is as good as the largest. */
static bool read_number(const char **at, const char *end, uint64_t *out) {
    const char *start = *at;
    uint64_t n = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        unsigned digit = (unsigned)(**at - '0');
        n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
    }
    *out = n;
    return *at > start;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static struct inst_slice bare(const char *from, const char *to) {
    while (from < to && is_blank(*from))
        from++;
    while (to > from && is_blank(to[-1]))
        to--;
    return (struct inst_slice){from, (size_t)(to - from)};
}

/* Is the tag, or `*`, in a list of tags? Weak ones count: the comparison is for caches. */
static bool has_tag(const struct inst_slice *list, const char *etag) {
    const char *at = list->str, *end = at + list->len;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct inst_slice item = bare(at, comma ? comma : end);
        if (inst_slice_is(&item, "*"))
            return true;
        if (item.len > 2 && memcmp(item.str, "W/", 2) == 0)
            item = (struct inst_slice){item.str + 2, item.len - 2};
        if (inst_slice_is(&item, etag))
            return true;
        at = comma ? comma + 1 : end;
    }
    return false;
}

static const struct inst_http_part unsatisfiable = {.status = 416};

/* The last `count` bytes. */
static struct inst_http_part suffix(uint64_t count, uint64_t size) {
    if (count == 0 || size == 0)
        return unsatisfiable;
    uint64_t len = count < size ? count : size;
    return (struct inst_http_part){206, size - len, len};
}

static struct inst_http_part part_of(const struct inst_slice *range, uint64_t size) {
    static const char unit[] = "bytes=";
    const struct inst_http_part whole = {200, 0, size};
    const char *at = range->str, *end = at + range->len;
    uint64_t first, last = UINT64_MAX;
    if (range->len < sizeof unit || strncasecmp(at, unit, sizeof unit - 1) != 0)
        return whole;
    struct inst_slice spec = bare(at + sizeof unit - 1, end);
    at = spec.str;
    end = at + spec.len;
    if (at < end && *at == '-') {
        at++;
        return read_number(&at, end, &last) && at == end ? suffix(last, size) : whole;
    }
    if (!read_number(&at, end, &first) || at == end || *at++ != '-')
        return whole;
    if (at < end && (!read_number(&at, end, &last) || at != end || last < first))
        return whole;
    if (first >= size)
        return unsatisfiable;
    if (last >= size)
        last = size - 1;
    return (struct inst_http_part){206, first, last - first + 1};
}

struct inst_http_part inst_http_part_of(const struct inst_http_head *head, const char *etag,
                                        uint64_t size) {
    struct inst_http_part whole = {200, 0, size};
    size_t ranges = 0;
    if (!head)
        return whole;
    const struct inst_slice *known = inst_head_field(head, "if-none-match", NULL);
    if (known && has_tag(known, etag))
        return (struct inst_http_part){.status = 304};
    const struct inst_slice *range = inst_head_field(head, "range", &ranges);
    const struct inst_slice *condition = inst_head_field(head, "if-range", NULL);
    if (ranges != 1 || (condition && !inst_slice_is(condition, etag)))
        return whole;
    return part_of(range, size);
}
