#include "instaql/sort.h"

#include "base/js_text.h"
#include "instaql/compare.h"

#include <assert.h>
#include <math.h>

/*
 * Comparing two rows.
 */

static bool is_plain(struct inst_row *row) {
    if (row->id_kind == INST_ID_UNKNOWN) {
        row->id_kind = inst_id_is_plain(row->id, row->id_len) ? INST_ID_PLAIN : INST_ID_ODD;
    }
    return row->id_kind == INST_ID_PLAIN;
}

static int compare_ids(struct inst_row_order *order, struct inst_row *a, struct inst_row *b) {
    int result = is_plain(a) && is_plain(b) ? memcmp(a->id, b->id, a->id_len)
                                            : inst_id_compare(a->id, a->id_len, b->id, b->id_len);
    if (result == 0 && a->e != b->e) {
        order->has_tie = true;
    }
    return result;
}

static struct inst_value as_text(const struct inst_value *v, struct inst_buf *scratch) {
    if (v->tag == INST_STRING) {
        return *v;
    }
    inst_buf_clear(scratch);
    inst_js_text(scratch, v);
    return inst_string(scratch->data ? scratch->data : "", scratch->len);
}

static int compare_texts(struct inst_row_order *order, const struct inst_row *a,
                         const struct inst_row *b) {
    struct inst_value x = as_text(&a->key, &order->scratch[0]);
    struct inst_value y = as_text(&b->key, &order->scratch[1]);
    int result = inst_collator_compare(order->collator, x.u.str, x.len, y.u.str, y.len);
    if (result == 0 && a->e != b->e) {
        order->has_tie = true;
    }
    return result;
}

int inst_row_compare(struct inst_row_order *order, struct inst_row *a, struct inst_row *b) {
    const struct inst_value *x = &a->key;
    const struct inst_value *y = &b->key;
    if (x->tag == INST_NUMBER && y->tag == INST_NUMBER && !order->is_text) {
        if (x->u.num == y->u.num) {
            return compare_ids(order, a, b);
        }
        return x->u.num > y->u.num ? 1 : -1;
    }
    bool x_null = inst_is_nullish(x);
    bool y_null = inst_is_nullish(y);
    if (x_null || y_null) {
        return x_null && y_null ? compare_ids(order, a, b) : y_null ? 1 : -1;
    }
    bool is_nan = x->tag == INST_NUMBER && isnan(x->u.num);
    if (!is_nan && inst_value_same(x, y)) {
        return compare_ids(order, a, b);
    }
    if (order->is_text) {
        return compare_texts(order, a, b);
    }
    return inst_js_compare(x, y, order->scratch) == INST_JS_GREATER ? 1 : -1;
}

bool inst_rows_are_consistent(const struct inst_row *rows, size_t count, bool is_text) {
    uint8_t kind = INST_UNDEFINED;
    for (size_t i = 0; i < count; i++) {
        const struct inst_value *key = &rows[i].key;
        if (inst_is_nullish(key)) {
            continue;
        }
        if (key->tag == INST_NUMBER && isnan(key->u.num)) {
            return false;
        }
        uint8_t own = key->tag == INST_FALSE ? INST_TRUE : key->tag;
        if (own > INST_STRING || (kind != INST_UNDEFINED && own != kind && !is_text)) {
            return false;
        }
        kind = own;
    }
    return true;
}

/*
 * The first k: a heap of the k least so far, the greatest of them on top.
 */

static bool comes_before(struct inst_row_order *order, struct inst_row *a, struct inst_row *b) {
    return (order->is_desc ? inst_row_compare(order, b, a) : inst_row_compare(order, a, b)) < 0;
}

static void sift_down(struct inst_row_order *order, struct inst_row *heap, size_t k, size_t at) {
    struct inst_row row = heap[at];
    for (size_t child = at * 2 + 1; child < k; child = at * 2 + 1) {
        if (child + 1 < k && comes_before(order, &heap[child], &heap[child + 1])) {
            child++;
        }
        if (!comes_before(order, &row, &heap[child])) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = row;
}

void inst_rows_select(struct inst_row_order *order, struct inst_row *rows, size_t count, size_t k) {
    for (size_t i = k / 2; i-- > 0;) {
        sift_down(order, rows, k, i);
    }
    for (size_t i = k; i < count; i++) {
        if (comes_before(order, &rows[i], &rows[0])) {
            struct inst_row swap = rows[0];
            rows[0] = rows[i];
            rows[i] = swap;
            sift_down(order, rows, k, 0);
        }
    }
}

/*
 * TimSort: runs that are in order already are found and merged.
 */

enum {
    MIN_MERGE = 64,
    MIN_GALLOP = 7,
    MAX_RUNS = 85, /* run lengths grow faster than Fibonacci numbers: enough for 2^64 rows */
};

struct sorter {
    struct inst_row_order *order;
    struct inst_row *rows;
    struct inst_row *temp; /* half as many rows */
    size_t min_gallop;
    size_t run_count;
    struct run {
        size_t base;
        size_t len;
    } runs[MAX_RUNS];
};

static bool is_less(struct sorter *s, struct inst_row *a, struct inst_row *b) {
    return (s->order->is_desc ? inst_row_compare(s->order, b, a)
                              : inst_row_compare(s->order, a, b)) < 0;
}

static void reverse(struct inst_row *rows, size_t count) {
    for (size_t lo = 0, hi = count; lo + 1 < hi; lo++) {
        hi--;
        struct inst_row swap = rows[lo];
        rows[lo] = rows[hi];
        rows[hi] = swap;
    }
}

/* Length of the run that rows begins with; a strictly descending one is turned round. */
static size_t make_run(struct sorter *s, struct inst_row *rows, size_t count) {
    if (count < 2) {
        return count;
    }
    bool is_descending = is_less(s, &rows[1], &rows[0]);
    size_t len = 2;
    while (len < count && is_less(s, &rows[len], &rows[len - 1]) == is_descending) {
        len++;
    }
    if (is_descending) {
        reverse(rows, len);
    }
    return len;
}

static void binary_insertion(struct sorter *s, struct inst_row *rows, size_t sorted, size_t count) {
    for (size_t i = sorted; i < count; i++) {
        struct inst_row pivot = rows[i];
        size_t left = 0;
        size_t right = i;
        while (left < right) {
            size_t mid = left + (right - left) / 2;
            if (is_less(s, &pivot, &rows[mid])) {
                right = mid;
            } else {
                left = mid + 1;
            }
        }
        memmove(&rows[left + 1], &rows[left], (i - left) * sizeof(*rows));
        rows[left] = pivot;
    }
}

/* Where key belongs in rows: before equal ones (left) or behind them (right). The search widens
 * from hint in steps of 1, 3, 7 ... and ends as a binary one. */
static size_t gallop(struct sorter *s, struct inst_row *key, struct inst_row *rows, size_t count,
                     size_t hint, bool is_left) {
    assert(hint < count);
    size_t last = 0;
    size_t step = 1;
    size_t lo;
    size_t hi;
    bool is_behind = is_left ? is_less(s, &rows[hint], key) : !is_less(s, key, &rows[hint]);
    if (is_behind) {
        size_t max = count - hint;
        while (step < max && (is_left ? is_less(s, &rows[hint + step], key)
                                      : !is_less(s, key, &rows[hint + step]))) {
            last = step;
            step = step * 2 + 1;
        }
        step = step > max ? max : step;
        lo = hint + last + 1;
        hi = hint + step;
    } else {
        size_t max = hint + 1;
        while (step < max && (is_left ? !is_less(s, &rows[hint - step], key)
                                      : is_less(s, key, &rows[hint - step]))) {
            last = step;
            step = step * 2 + 1;
        }
        step = step > max ? max : step;
        lo = hint + 1 - step;
        hi = hint - last;
    }
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        bool behind = is_left ? is_less(s, &rows[mid], key) : !is_less(s, key, &rows[mid]);
        if (behind) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* Both merges write into the gap that the run copied to temp leaves behind. */
static void merge_low(struct sorter *s, size_t base, size_t a_len, size_t b_len) {
    struct inst_row *dest = s->rows + base;
    struct inst_row *a = s->temp;
    struct inst_row *b = dest + a_len;
    memcpy(a, dest, a_len * sizeof(*a));
    *dest++ = *b++;
    if (--b_len == 0) {
        goto copy_a;
    }
    if (a_len == 1) {
        goto copy_b;
    }
    for (;;) {
        size_t a_wins = 0;
        size_t b_wins = 0;
        do {
            if (is_less(s, b, a)) {
                *dest++ = *b++;
                b_wins++;
                a_wins = 0;
                if (--b_len == 0) {
                    goto copy_a;
                }
            } else {
                *dest++ = *a++;
                a_wins++;
                b_wins = 0;
                if (--a_len == 1) {
                    goto copy_b;
                }
            }
        } while (a_wins < s->min_gallop && b_wins < s->min_gallop);
        s->min_gallop++;
        do {
            s->min_gallop -= s->min_gallop > 1;
            a_wins = gallop(s, b, a, a_len, 0, false);
            if (a_wins) {
                memcpy(dest, a, a_wins * sizeof(*a));
                dest += a_wins;
                a += a_wins;
                a_len -= a_wins;
                if (a_len == 1) {
                    goto copy_b;
                }
                if (a_len == 0) {
                    return; /* only with an inconsistent comparison */
                }
            }
            *dest++ = *b++;
            if (--b_len == 0) {
                goto copy_a;
            }
            b_wins = gallop(s, a, b, b_len, 0, true);
            if (b_wins) {
                memmove(dest, b, b_wins * sizeof(*b));
                dest += b_wins;
                b += b_wins;
                b_len -= b_wins;
                if (b_len == 0) {
                    goto copy_a;
                }
            }
            *dest++ = *a++;
            if (--a_len == 1) {
                goto copy_b;
            }
        } while (a_wins >= MIN_GALLOP || b_wins >= MIN_GALLOP);
        s->min_gallop++;
    }
copy_a:
    memcpy(dest, a, a_len * sizeof(*a));
    return;
copy_b: /* the last of a belongs behind all of b */
    memmove(dest, b, b_len * sizeof(*b));
    dest[b_len] = *a;
}

static void merge_high(struct sorter *s, size_t base, size_t a_len, size_t b_len) {
    struct inst_row *a_base = s->rows + base;
    struct inst_row *b_base = s->temp;
    struct inst_row *dest = a_base + a_len + b_len - 1;
    memcpy(b_base, a_base + a_len, b_len * sizeof(*b_base));
    struct inst_row *a = a_base + a_len - 1;
    struct inst_row *b = b_base + b_len - 1;
    *dest-- = *a--;
    if (--a_len == 0) {
        goto copy_b;
    }
    if (b_len == 1) {
        goto copy_a;
    }
    for (;;) {
        size_t a_wins = 0;
        size_t b_wins = 0;
        do {
            if (is_less(s, b, a)) {
                *dest-- = *a--;
                a_wins++;
                b_wins = 0;
                if (--a_len == 0) {
                    goto copy_b;
                }
            } else {
                *dest-- = *b--;
                b_wins++;
                a_wins = 0;
                if (--b_len == 1) {
                    goto copy_a;
                }
            }
        } while (a_wins < s->min_gallop && b_wins < s->min_gallop);
        s->min_gallop++;
        do {
            s->min_gallop -= s->min_gallop > 1;
            a_wins = a_len - gallop(s, b, a_base, a_len, a_len - 1, false);
            if (a_wins) {
                dest -= a_wins;
                a -= a_wins;
                memmove(dest + 1, a + 1, a_wins * sizeof(*a));
                a_len -= a_wins;
                if (a_len == 0) {
                    goto copy_b;
                }
            }
            *dest-- = *b--;
            if (--b_len == 1) {
                goto copy_a;
            }
            b_wins = b_len - gallop(s, a, b_base, b_len, b_len - 1, true);
            if (b_wins) {
                dest -= b_wins;
                b -= b_wins;
                memcpy(dest + 1, b + 1, b_wins * sizeof(*b));
                b_len -= b_wins;
                if (b_len == 1) {
                    goto copy_a;
                }
                if (b_len == 0) {
                    return; /* only with an inconsistent comparison */
                }
            }
            *dest-- = *a--;
            if (--a_len == 0) {
                goto copy_b;
            }
        } while (a_wins >= MIN_GALLOP || b_wins >= MIN_GALLOP);
        s->min_gallop++;
    }
copy_b:
    memcpy(dest + 1 - b_len, b_base, b_len * sizeof(*b_base));
    return;
copy_a: /* the first of b belongs in front of all of a */
    dest -= a_len;
    a -= a_len;
    memmove(dest + 1, a + 1, a_len * sizeof(*a));
    *dest = *b;
}

static void merge_at(struct sorter *s, size_t i) {
    size_t base = s->runs[i].base;
    size_t a_len = s->runs[i].len;
    size_t b_base = s->runs[i + 1].base;
    size_t b_len = s->runs[i + 1].len;
    s->runs[i].len = a_len + b_len;
    if (i + 3 == s->run_count) {
        s->runs[i + 1] = s->runs[i + 2];
    }
    s->run_count--;
    /* What of a lies in front of b's first, and of b behind a's last, is in place already. */
    size_t skip = gallop(s, &s->rows[b_base], &s->rows[base], a_len, 0, false);
    base += skip;
    a_len -= skip;
    if (a_len == 0) {
        return;
    }
    b_len = gallop(s, &s->rows[base + a_len - 1], &s->rows[b_base], b_len, b_len - 1, true);
    if (b_len == 0) {
        return;
    }
    if (a_len <= b_len) {
        merge_low(s, base, a_len, b_len);
    } else {
        merge_high(s, base, a_len, b_len);
    }
}

/* Keeps run lengths growing towards the bottom of the stack. */
static void collapse(struct sorter *s) {
    const struct run *runs = s->runs;
    while (s->run_count > 1) {
        size_t n = s->run_count - 2;
        bool is_short = (n > 0 && runs[n - 1].len <= runs[n].len + runs[n + 1].len) ||
                        (n > 1 && runs[n - 2].len <= runs[n - 1].len + runs[n].len);
        if (is_short) {
            merge_at(s, runs[n - 1].len < runs[n + 1].len ? n - 1 : n);
        } else if (runs[n].len <= runs[n + 1].len) {
            merge_at(s, n);
        } else {
            return;
        }
    }
}

static void collapse_all(struct sorter *s) {
    while (s->run_count > 1) {
        size_t n = s->run_count - 2;
        merge_at(s, n > 0 && s->runs[n - 1].len < s->runs[n + 1].len ? n - 1 : n);
    }
}

static size_t least_run(size_t count) {
    size_t odd = 0;
    while (count >= MIN_MERGE) {
        odd |= count & 1;
        count >>= 1;
    }
    return count + odd;
}

bool inst_rows_sort(struct inst_row_order *order, struct inst_row *rows, size_t count,
                    struct inst_arena *scratch) {
    struct sorter s = {.order = order, .rows = rows, .min_gallop = MIN_GALLOP};
    size_t min_run = least_run(count);
    for (size_t low = 0; low < count;) {
        size_t left = count - low;
        size_t len = make_run(&s, rows + low, left);
        if (len < min_run) {
            size_t forced = left < min_run ? left : min_run;
            binary_insertion(&s, rows + low, len, forced);
            len = forced;
        }
        if (len < count && !s.temp) {
            s.temp = inst_arena_alloc(scratch, (count / 2 + 1) * sizeof(*rows));
            if (!s.temp) {
                return false;
            }
        }
        s.runs[s.run_count++] = (struct run){low, len};
        collapse(&s);
        low += len;
    }
    collapse_all(&s);
    return true;
}
