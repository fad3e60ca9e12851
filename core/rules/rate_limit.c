#include "rules/rate_limit.h"

#include "base/json.h"
#include "base/text.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_MS 3600000
#define DAY_MS (24 * HOUR_MS)

/* ---- the config (permissions.md 3.5, 6) ---- */

static const struct {
    const char *name;
    int64_t ms;
} units[] = {
    {"second", 1000}, {"sec", 1000},        {"s", 1000},       {"minute", 60000}, {"min", 60000},
    {"m", 60000},     {"hour", HOUR_MS},    {"hr", HOUR_MS},   {"h", HOUR_MS},    {"day", DAY_MS},
    {"d", DAY_MS},    {"week", 7 * DAY_MS}, {"w", 7 * DAY_MS},
};

static int64_t unit_ms(const char *name, size_t len) {
    if (len > 1 && (name[len - 1] | 0x20) == 's')
        len--;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strlen(units[i].name) == len && strncasecmp(name, units[i].name, len) == 0)
            return units[i].ms;
    return 0;
}

static int64_t read_digits(const char **at, const char *end) {
    int64_t number = 0;
    for (; *at < end && isdigit((unsigned char)**at) && number < 1000000; ++*at)
        number = number * 10 + (**at - '0');
    return number;
}

static void skip_spaces(const char **at, const char *end) {
    while (*at < end && isspace((unsigned char)**at))
        ++*at;
}

/* ":10:00" behind the hours. */
static int64_t read_clock(const char **at, const char *end, int64_t hours) {
    int64_t ms = hours * HOUR_MS;
    for (int64_t unit = 60000; unit >= 1000 && *at < end && **at == ':'; unit /= 60) {
        ++*at;
        ms += read_digits(at, end) * unit;
    }
    return ms;
}

/* "1 hour", "90 seconds", "1 hour 30 minutes", "00:10:00": whole seconds. */
static bool read_period(const struct inst_value *text, int64_t *ms) {
    const char *at = text->u.str, *end = at + text->len;
    *ms = 0;
    for (skip_spaces(&at, end); at < end; skip_spaces(&at, end)) {
        const char *start = at;
        int64_t number = read_digits(&at, end);
        if (at == start)
            return false;
        if (at < end && *at == ':') {
            *ms += read_clock(&at, end, number);
            continue;
        }
        skip_spaces(&at, end);
        const char *word = at;
        while (at < end && isalpha((unsigned char)*at))
            at++;
        int64_t unit = unit_ms(word, (size_t)(at - word));
        if (!unit)
            return false;
        *ms += number * unit;
    }
    return text->len > 0;
}

static bool is_positive_int(const struct inst_value *v) {
    return v->tag == INST_NUMBER && v->u.num >= 1 && v->u.num <= 1e15 &&
           v->u.num == floor(v->u.num);
}

static const char *read_refill(const struct inst_value *refill, struct inst_rate_limit *out) {
    if (!refill || inst_is_nullish(refill))
        return NULL;
    const struct inst_value *amount = inst_getz(refill, "amount");
    const struct inst_value *period = inst_getz(refill, "period");
    const struct inst_value *type = inst_getz(refill, "type");
    if (refill->tag != INST_OBJECT)
        return "Malformed parameter: [\"refill\"]";
    if (amount && !inst_is_nullish(amount)) {
        if (!is_positive_int(amount))
            return "Malformed parameter: [\"refill\" \"amount\"]";
        out->amount = amount->u.num;
    }
    if (type && !inst_is_nullish(type)) {
        out->is_interval = inst_is_string(type, "interval");
        if (!out->is_interval && !inst_is_string(type, "greedy"))
            return "Malformed parameter: [\"refill\" \"type\"]";
    }
    if (period && !inst_is_nullish(period)) {
        if (period->tag != INST_STRING || !read_period(period, &out->period_ms))
            return "Malformed parameter: [\"refill\" \"period\"]";
        if (out->period_ms < 1000)
            return "Validation failed for rules: The refill period must be longer than a second.";
        if (out->period_ms > DAY_MS)
            return "Validation failed for rules: The refill period can't be longer than a day.";
    }
    return NULL;
}

static const char *read_limit(const struct inst_value *limit, struct inst_rate_limit *out) {
    const struct inst_value *capacity =
        limit->tag == INST_OBJECT ? inst_getz(limit, "capacity") : NULL;
    if (!capacity || inst_is_nullish(capacity))
        return "Missing parameter: [\"capacity\"]";
    if (!is_positive_int(capacity))
        return "Malformed parameter: [\"capacity\"]";
    *out = (struct inst_rate_limit){
        .capacity = capacity->u.num, .amount = capacity->u.num, .period_ms = HOUR_MS};
    return read_refill(inst_getz(limit, "refill"), out);
}

static const char *read_config(const struct inst_value *config,
                               struct inst_rate_limit_config *out) {
    const struct inst_value *limits =
        config->tag == INST_OBJECT ? inst_getz(config, "limits") : NULL;
    out->count = 0;
    if (!limits || inst_is_nullish(limits))
        return "Missing parameter: [\"limits\"]";
    if (limits->tag != INST_ARRAY)
        return "Malformed parameter: [\"limits\"]";
    if (limits->len == 0)
        return "Validation failed for rules: The rate limit config must have at least one limit in "
               "the `limits` array.";
    if (limits->len > INST_RATE_LIMIT_MAX_LIMITS)
        return "Validation failed for rules: The rate limit config has too many limits.";
    for (uint32_t i = 0; i < limits->len; i++) {
        const char *problem = read_limit(&limits->u.items[i], &out->limits[i]);
        if (problem)
            return problem;
    }
    out->count = limits->len;
    return NULL;
}

const char *inst_rate_limit_read(const struct inst_value *config,
                                 struct inst_rate_limit_config *out) {
    return read_config(config, out);
}

/* ---- buckets ---- */

struct bucket {
    uint64_t a, b; /* hash; 0, 0: free */
    double tokens;
    int64_t as_of_ms;
};

struct inst_rate_limits {
    uint64_t seed;
    struct bucket sets[INST_RATE_LIMIT_SETS][INST_RATE_LIMIT_WAYS];
};

enum inst_status inst_rate_limits_new(uint64_t seed, struct inst_rate_limits **out,
                                      struct inst_err *err) {
    *out = calloc(1, sizeof **out);
    if (!*out)
        return inst_err_nomem(err);
    (*out)->seed = seed;
    return INST_OK;
}

void inst_rate_limits_free(struct inst_rate_limits *limits) { free(limits); }

static void refill(struct bucket *bucket, const struct inst_rate_limit *limit, int64_t now_ms) {
    int64_t elapsed = now_ms > bucket->as_of_ms ? now_ms - bucket->as_of_ms : 0;
    if (limit->is_interval) {
        int64_t periods = elapsed / limit->period_ms;
        bucket->tokens += (double)periods * limit->amount;
        bucket->as_of_ms += periods * limit->period_ms;
    } else {
        bucket->tokens += (double)elapsed * limit->amount / (double)limit->period_ms;
        bucket->as_of_ms += elapsed;
    }
    if (bucket->tokens > limit->capacity)
        bucket->tokens = limit->capacity;
}

static struct bucket *find(struct inst_rate_limits *limits, const struct inst_buf *key,
                           const struct inst_rate_limit *limit, int64_t now_ms) {
    uint64_t a = inst_text_hash(key->data, key->len, limits->seed);
    uint64_t b = inst_text_hash(key->data, key->len, ~limits->seed) | 1;
    struct bucket *set = limits->sets[a % INST_RATE_LIMIT_SETS], *oldest = set;
    for (size_t i = 0; i < INST_RATE_LIMIT_WAYS; i++) {
        if (set[i].a == a && set[i].b == b)
            return &set[i];
        if (set[i].b == 0 || (oldest->b != 0 && set[i].as_of_ms < oldest->as_of_ms))
            oldest = &set[i];
    }
    *oldest = (struct bucket){a, b, limit->capacity, now_ms};
    return oldest;
}

/* When the bucket will have so many tokens. */
static int64_t ready_at(const struct bucket *bucket, const struct inst_rate_limit *limit,
                        double tokens) {
    double missing = tokens - bucket->tokens;
    if (tokens > limit->capacity)
        return INT64_MAX;
    double wait = limit->is_interval ? ceil(missing / limit->amount) * (double)limit->period_ms
                                     : ceil(missing * (double)limit->period_ms / limit->amount);
    return bucket->as_of_ms + (int64_t)wait;
}

static void write_key(struct inst_buf *buf, const struct inst_rate_limit *limit, size_t index,
                      const char *name, size_t name_len, const struct inst_value *key) {
    inst_buf_clear(buf);
    inst_buf_addf(buf, "%zu %.17g %.17g %lld %d ", index, limit->capacity, limit->amount,
                  (long long)limit->period_ms, limit->is_interval);
    inst_json_write_string(buf, name, name_len);
    inst_json_write(buf, key);
}

enum inst_status inst_rate_limits_take(struct inst_rate_limits *limits,
                                       const struct inst_rate_limit_config *config,
                                       const char *name, size_t name_len,
                                       const struct inst_value *key, int64_t tokens, int64_t now_ms,
                                       struct inst_cel_limit *out, struct inst_err *err) {
    struct bucket *buckets[INST_RATE_LIMIT_MAX_LIMITS];
    double wanted = tokens > 0 ? (double)tokens : 0;
    struct inst_buf buf;
    inst_buf_init(&buf);
    *out = (struct inst_cel_limit){.is_allowed = true, .remaining = INFINITY};
    for (size_t i = 0; i < config->count; i++) {
        const struct inst_rate_limit *limit = &config->limits[i];
        write_key(&buf, limit, i, name, name_len, key);
        if (buf.failed) {
            inst_buf_free(&buf);
            return inst_err_nomem(err);
        }
        buckets[i] = find(limits, &buf, limit, now_ms);
        refill(buckets[i], limit, now_ms);
        if (buckets[i]->tokens < wanted) {
            int64_t at = ready_at(buckets[i], limit, wanted);
            out->is_allowed = false;
            out->retry_at_ms = at > out->retry_at_ms ? at : out->retry_at_ms;
        }
        if (buckets[i]->tokens < out->remaining)
            out->remaining = buckets[i]->tokens;
    }
    inst_buf_free(&buf);
    for (size_t i = 0; out->is_allowed && i < config->count; i++)
        buckets[i]->tokens -= wanted;
    return INST_OK;
}
