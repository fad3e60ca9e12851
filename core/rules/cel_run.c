#include "rules/cel_run.h"

#include "rules/cel_functions.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool eval(struct inst_cel_run *run, const struct inst_cel_node *node,
                 struct inst_cel_value *out);

/* ---- errors and limits ---- */

const char *inst_cel_code_name(enum inst_cel_code code) {
    static const char *const names[] = {
        "",
        "INTERNAL_ERROR",
        "ATTRIBUTE_NOT_FOUND",
        "INDEX_OUT_OF_BOUNDS",
        "DIVIDE_BY_ZERO",
        "DUPLICATE_ATTRIBUTE",
        "INVALID_ARGUMENT",
        "OVERLOAD_NOT_FOUND",
        "NUMERIC_OVERFLOW",
        "BAD_FORMAT",
    };
    return code < sizeof names / sizeof *names ? names[code] : "INTERNAL_ERROR";
}

bool inst_cel_fail(struct inst_cel_run *run, enum inst_cel_code code, const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const char *copy = inst_arena_dup(run->arena, text, strlen(text));
    run->error = (struct inst_cel_error){
        .code = copy ? code : INST_CEL_NO_MEMORY,
        .offset = run->offset,
        .text = copy ? copy : "out of memory",
    };
    return false;
}

bool inst_cel_out_of_memory(struct inst_cel_run *run) {
    run->error = (struct inst_cel_error){.code = INST_CEL_NO_MEMORY, .text = "out of memory"};
    return false;
}

bool inst_cel_spend(struct inst_cel_run *run, size_t n) {
    uint32_t max = run->max_steps ? run->max_steps : INST_CEL_MAX_STEPS;
    if (n <= max - run->steps) {
        run->steps += (uint32_t)n;
        return true;
    }
    run->steps = max;
    return inst_cel_fail(run, INST_CEL_TOO_COSTLY, "the rule takes more than %u steps", max);
}

bool inst_cel_compare(struct inst_cel_run *run, const struct inst_cel_value *a,
                      const struct inst_cel_value *b, bool *is_equal) {
    uint32_t max = run->max_steps ? run->max_steps : INST_CEL_MAX_STEPS;
    size_t most = max - run->steps + 1, left = most;
    *is_equal = inst_cel_equal(a, b, &left);
    return inst_cel_spend(run, most - left);
}

/* Errors that no && or || may hide. */
static bool is_fatal(const struct inst_cel_run *run) {
    return run->error.code >= INST_CEL_RATE_LIMITED;
}

bool inst_cel_take_text(struct inst_cel_run *run, struct inst_buf *buf, enum inst_cel_tag tag,
                        struct inst_cel_value *out) {
    const char *copy = NULL;
    bool is_long = buf->len > INST_CEL_MAX_TEXT;
    size_t len = buf->len;
    if (!buf->failed && !is_long)
        copy = inst_arena_dup(run->arena, buf->data ? buf->data : "", len);
    inst_buf_free(buf);
    if (is_long)
        return inst_cel_fail(run, INST_CEL_TOO_COSTLY, "a text of more than %u bytes",
                             INST_CEL_MAX_TEXT);
    if (!copy)
        return inst_cel_out_of_memory(run);
    *out = inst_cel_text(copy, len);
    out->tag = (uint8_t)tag;
    return inst_cel_spend(run, len / 64);
}

struct inst_cel_value *inst_cel_new_items(struct inst_cel_run *run, size_t count) {
    if (!inst_cel_spend(run, count))
        return NULL;
    struct inst_cel_value *items = inst_arena_alloc(run->arena, count * sizeof *items);
    if (!items)
        inst_cel_out_of_memory(run);
    return items;
}

/* ---- variables ---- */

static bool eval_local(struct inst_cel_run *run, int32_t slot, struct inst_cel_value *out) {
    struct inst_cel_frame *frame = run->frame;
    while (++slot < 0)
        frame = frame->outer;
    if (frame->pending) {
        const struct inst_cel_node *node = frame->pending;
        struct inst_cel_frame *inner = run->frame;
        run->frame = frame->outer;
        frame->pending = NULL;
        if (!eval(run, node, &frame->value))
            frame->error = run->error;
        run->frame = inner;
    }
    if (frame->error.code) {
        run->error = frame->error;
        return false;
    }
    *out = frame->value;
    return true;
}

static bool eval_ident(struct inst_cel_run *run, const struct inst_cel_node *node,
                       struct inst_cel_value *out) {
    if (node->is_type_name) {
        *out = node->literal;
        return true;
    }
    if (node->slot < 0)
        return eval_local(run, node->slot, out);
    *out = run->values[node->slot];
    if (out->tag != INST_CEL_V_UNBOUND)
        return true;
    run->offset = node->offset;
    return inst_cel_fail(run, INST_CEL_INTERNAL_ERROR, "Unknown value for %s", node->name);
}

/* ---- fields ---- */

static bool request_field(struct inst_cel_run *run, const char *name, struct inst_cel_value *out,
                          bool *is_set) {
    const struct inst_cel_request *request = run->request;
    *is_set = true;
    if (strcmp(name, "time") == 0) {
        *out = inst_cel_time(INST_CEL_V_TIMESTAMP, request->time_seconds, request->time_nanos);
    } else if (strcmp(name, "origin") == 0) {
        *out = inst_cel_text(request->origin ? request->origin : "", request->origin_len);
        *is_set = out->len > 0;
    } else if (strcmp(name, "ip") == 0) {
        *out = inst_cel_text(request->ip ? request->ip : "", request->ip_len);
        *is_set = out->len > 0;
    } else if (strcmp(name, "modifiedFields") == 0) {
        *out = request->modified_fields ? inst_cel_of_json(request->modified_fields, false)
                                        : (struct inst_cel_value){.tag = INST_CEL_V_LIST};
        *is_set = inst_cel_count(out) > 0;
    } else {
        return inst_cel_fail(run, INST_CEL_ATTRIBUTE_NOT_FOUND, "undefined field '%s'", name);
    }
    return true;
}

/* *is_set: does it have that field? out is only set when it has. */
static bool field(struct inst_cel_run *run, const struct inst_cel_node *node,
                  struct inst_cel_value *out, bool *is_set) {
    struct inst_cel_value operand;
    if (!eval(run, node->args[0], &operand))
        return false;
    run->offset = node->offset;
    if (operand.tag == INST_CEL_V_REQUEST)
        return request_field(run, node->name, out, is_set);
    if (!inst_cel_is_map(&operand))
        return inst_cel_fail(run, INST_CEL_ATTRIBUTE_NOT_FOUND,
                             "Error resolving field '%s'. Field selections must be performed on "
                             "messages or maps.",
                             node->name);
    struct inst_cel_value key = inst_cel_text(node->name, strlen(node->name));
    *is_set = inst_cel_lookup(&operand, &key, out);
    return true;
}

static bool eval_select(struct inst_cel_run *run, const struct inst_cel_node *node,
                        struct inst_cel_value *out) {
    bool is_set;
    if (node->is_type_name) {
        *out = node->literal;
        return true;
    }
    if (!field(run, node, out, &is_set))
        return false;
    bool is_message = node->args[0]->type->kind == INST_CEL_REQUEST;
    return is_set || is_message ||
           inst_cel_fail(run, INST_CEL_ATTRIBUTE_NOT_FOUND, "key '%s' is not present in map.",
                         node->name);
}

static bool eval_has(struct inst_cel_run *run, const struct inst_cel_node *node,
                     struct inst_cel_value *out) {
    struct inst_cel_value ignored;
    bool is_set;
    if (!field(run, node, &ignored, &is_set))
        return false;
    *out = inst_cel_bool(is_set);
    return true;
}

/* ---- logic (permissions.md 4.5) ---- */

static bool not_bool(struct inst_cel_run *run, const struct inst_cel_node *node,
                     const struct inst_cel_value *v) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_cel_show(v, &text);
    run->offset = node->offset;
    inst_cel_fail(run, INST_CEL_INVALID_ARGUMENT, "expected boolean value, found: %s",
                  text.data ? text.data : "");
    inst_buf_free(&text);
    return false;
}

/* A value of && and ||, or of the condition of all and exists: true, false, or an error. */
enum truth { FALSE, TRUE, FAILED, ENDED /* an error that decides at once */ };

static enum truth eval_truth(struct inst_cel_run *run, const struct inst_cel_node *node) {
    struct inst_cel_value value;
    if (!eval(run, node, &value))
        return is_fatal(run) ? ENDED : FAILED;
    if (value.tag != INST_CEL_V_BOOL) {
        not_bool(run, node, &value);
        return ENDED;
    }
    return value.u.b ? TRUE : FALSE;
}

/* Evaluates terms until one is `decisive`; an error counts only when none is. */
static bool eval_logic(struct inst_cel_run *run, const struct inst_cel_node *node,
                       enum truth decisive, struct inst_cel_value *out) {
    struct inst_cel_error first = {0};
    for (uint32_t i = 0; i < node->count; i++) {
        enum truth truth = eval_truth(run, node->args[i]);
        if (truth == ENDED)
            return false;
        if (truth == decisive) {
            *out = inst_cel_bool(decisive == TRUE);
            return true;
        }
        if (truth == FAILED && !first.code)
            first = run->error;
    }
    run->error = first;
    *out = inst_cel_bool(decisive != TRUE);
    return !first.code;
}

static bool eval_conditional(struct inst_cel_run *run, const struct inst_cel_node *node,
                             struct inst_cel_value *out) {
    struct inst_cel_value condition;
    if (!eval(run, node->args[0], &condition))
        return false;
    if (condition.tag != INST_CEL_V_BOOL)
        return not_bool(run, node->args[0], &condition);
    return eval(run, node->args[condition.u.b ? 1 : 2], out);
}

/* ---- calls ---- */

static bool no_overload(struct inst_cel_run *run, const struct inst_cel_node *node) {
    struct inst_buf ids;
    inst_buf_init(&ids);
    for (uint32_t i = 0; i < node->candidate_count; i++)
        inst_buf_addf(&ids, "%s%s", i ? "," : "", node->candidates[i]->id);
    inst_cel_fail(run, INST_CEL_OVERLOAD_NOT_FOUND,
                  "No matching overload for function '%s'. Overload candidates: %s", node->name,
                  ids.data ? ids.data : "");
    inst_buf_free(&ids);
    return false;
}

static const struct inst_cel_overload *choose(const struct inst_cel_node *node,
                                              const struct inst_cel_value *args) {
    for (uint32_t i = 0; i < node->candidate_count; i++) {
        const struct inst_cel_overload *overload = node->candidates[i];
        uint32_t n = 0;
        while (n < node->count && inst_cel_value_fits(&args[n], overload->args[n]))
            n++;
        if (n == node->count)
            return overload;
    }
    return NULL;
}

static bool eval_call(struct inst_cel_run *run, const struct inst_cel_node *node,
                      struct inst_cel_value *out) {
    struct inst_cel_value args[17]; /* as many as the library's longest row, and a terminator */
    if (!node->candidates[0]->fn) {
        if (strcmp(node->name, "_?_:_") == 0)
            return eval_conditional(run, node, out);
        return eval_logic(run, node, node->name[1] == '&' ? FALSE : TRUE, out);
    }
    for (uint32_t i = 0; i < node->count; i++)
        if (!eval(run, node->args[i], &args[i]))
            return false;
    args[node->count] = (struct inst_cel_value){.tag = INST_CEL_V_UNBOUND};
    run->offset = node->offset;
    const struct inst_cel_overload *overload = choose(node, args);
    return overload ? overload->fn(run, args, out) : no_overload(run, node);
}

/* ---- lists and maps ---- */

static bool eval_list(struct inst_cel_run *run, const struct inst_cel_node *node,
                      struct inst_cel_value *out) {
    struct inst_cel_value *items = inst_cel_new_items(run, node->count);
    if (!items)
        return false;
    for (uint32_t i = 0; i < node->count; i++)
        if (!eval(run, node->args[i], &items[i]))
            return false;
    *out = (struct inst_cel_value){.tag = INST_CEL_V_LIST, .len = node->count, .u.items = items};
    return true;
}

static bool duplicate_key(struct inst_cel_run *run, const struct inst_cel_node *node,
                          const struct inst_cel_value *key) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_cel_show(key, &text);
    run->offset = node->offset;
    inst_cel_fail(run, INST_CEL_DUPLICATE_ATTRIBUTE, "duplicate map key [%s]",
                  text.data ? text.data : "");
    inst_buf_free(&text);
    return false;
}

static bool eval_map(struct inst_cel_run *run, const struct inst_cel_node *node,
                     struct inst_cel_value *out) {
    uint32_t count = node->count / 2;
    struct inst_cel_entry *entries = inst_arena_alloc(run->arena, count * sizeof *entries);
    if (!entries)
        return inst_cel_out_of_memory(run);
    for (uint32_t i = 0; i < count; i++) {
        if (!eval(run, node->args[2 * i], &entries[i].key) ||
            !eval(run, node->args[2 * i + 1], &entries[i].value))
            return false;
        for (uint32_t k = 0; k < i; k++) {
            bool is_same = false;
            if (entries[k].key.tag == entries[i].key.tag &&
                !inst_cel_compare(run, &entries[k].key, &entries[i].key, &is_same))
                return false;
            if (is_same)
                return duplicate_key(run, node->args[2 * i], &entries[i].key);
        }
    }
    *out = (struct inst_cel_value){.tag = INST_CEL_V_MAP, .len = count, .u.entries = entries};
    return true;
}

/* ---- macros over lists and maps ---- */

/* What a macro has found so far. */
struct loop {
    const struct inst_cel_node *node;
    struct inst_cel_value *items; /* of map and filter */
    uint32_t item_count;
    uint32_t matches;            /* of exists_one */
    struct inst_cel_error first; /* of all and exists: swallowed unless nothing decides */
    bool is_decided;
};

/* all, exists. */
static bool step_logic(struct inst_cel_run *run, struct loop *loop) {
    enum truth decisive = loop->node->kind == INST_CEL_N_ALL ? FALSE : TRUE;
    enum truth truth = eval_truth(run, loop->node->args[1]);
    loop->is_decided = truth == decisive;
    if (truth == FAILED && !loop->first.code)
        loop->first = run->error;
    return truth != ENDED;
}

/* exists_one, filter, and map's condition: true, false, or the end. */
static bool eval_condition(struct inst_cel_run *run, const struct inst_cel_node *condition,
                           bool *is_true) {
    struct inst_cel_value value;
    if (!eval(run, condition, &value))
        return false;
    if (value.tag != INST_CEL_V_BOOL)
        return not_bool(run, condition, &value);
    *is_true = value.u.b;
    return true;
}

static bool step(struct inst_cel_run *run, struct loop *loop, const struct inst_cel_value *item) {
    const struct inst_cel_node *node = loop->node;
    bool is_true = true;
    if (node->kind == INST_CEL_N_ALL || node->kind == INST_CEL_N_EXISTS)
        return step_logic(run, loop);
    bool has_condition = node->kind != INST_CEL_N_MAP_EACH || node->count == 3;
    if (has_condition && !eval_condition(run, node->args[1], &is_true))
        return false;
    if (!is_true)
        return true;
    loop->matches++;
    if (node->kind == INST_CEL_N_FILTER)
        loop->items[loop->item_count++] = *item;
    else if (node->kind == INST_CEL_N_MAP_EACH)
        return eval(run, node->args[node->count - 1], &loop->items[loop->item_count++]);
    return true;
}

static bool finish(struct inst_cel_run *run, const struct loop *loop, struct inst_cel_value *out) {
    switch (loop->node->kind) {
    case INST_CEL_N_ALL:
    case INST_CEL_N_EXISTS:
        *out = inst_cel_bool((loop->node->kind == INST_CEL_N_ALL) != loop->is_decided);
        run->error = loop->first;
        return loop->is_decided || !loop->first.code;
    case INST_CEL_N_EXISTS_ONE:
        *out = inst_cel_bool(loop->matches == 1);
        return true;
    default:
        *out = (struct inst_cel_value){
            .tag = INST_CEL_V_LIST, .len = loop->item_count, .u.items = loop->items};
        return true;
    }
}

static bool eval_loop(struct inst_cel_run *run, const struct inst_cel_node *node,
                      struct inst_cel_value *out) {
    struct inst_cel_value range;
    if (!eval(run, node->args[0], &range))
        return false;
    bool is_list = inst_cel_is_list(&range);
    run->offset = node->offset;
    if (!is_list && !inst_cel_is_map(&range))
        return inst_cel_fail(run, INST_CEL_INVALID_ARGUMENT,
                             "expected a list or a map as range of a comprehension");
    struct loop loop = {.node = node};
    uint32_t count = inst_cel_count(&range);
    if (node->kind >= INST_CEL_N_MAP_EACH && !(loop.items = inst_cel_new_items(run, count)))
        return false;
    struct inst_cel_frame frame = {.outer = run->frame};
    run->frame = &frame;
    bool ok = true;
    for (uint32_t i = 0; ok && i < count && !loop.is_decided; i++) {
        frame.value = is_list ? inst_cel_element(&range, i) : inst_cel_key(&range, i);
        struct inst_cel_value item = frame.value;
        ok = step(run, &loop, &item);
    }
    run->frame = frame.outer;
    return ok && finish(run, &loop, out);
}

static bool eval_bind(struct inst_cel_run *run, const struct inst_cel_node *node,
                      struct inst_cel_value *out) {
    struct inst_cel_frame frame = {.outer = run->frame, .pending = node->args[0]};
    run->frame = &frame;
    bool ok = eval(run, node->args[1], out);
    run->frame = frame.outer;
    return ok;
}

/* ---- every node ---- */

static bool eval(struct inst_cel_run *run, const struct inst_cel_node *node,
                 struct inst_cel_value *out) {
    if (!inst_cel_spend(run, 1))
        return false;
    switch (node->kind) {
    case INST_CEL_N_LITERAL:
        *out = node->literal;
        return true;
    case INST_CEL_N_IDENT:
        return eval_ident(run, node, out);
    case INST_CEL_N_SELECT:
        return eval_select(run, node, out);
    case INST_CEL_N_HAS:
        return eval_has(run, node, out);
    case INST_CEL_N_CALL:
        return eval_call(run, node, out);
    case INST_CEL_N_LIST:
        return eval_list(run, node, out);
    case INST_CEL_N_MAP:
        return eval_map(run, node, out);
    case INST_CEL_N_BIND:
        return eval_bind(run, node, out);
    default:
        return eval_loop(run, node, out);
    }
}

bool inst_cel_evaluate(struct inst_cel_run *run, const struct inst_cel_node *root,
                       struct inst_cel_value *out) {
    run->steps = 0;
    run->refs = 0;
    run->offset = 0;
    run->error = (struct inst_cel_error){0};
    run->frame = NULL;
    return eval(run, root, out);
}

bool inst_cel_evaluate_in(struct inst_cel_run *run, struct inst_cel_frame *frame,
                          const struct inst_cel_node *node, struct inst_cel_value *out) {
    run->error = (struct inst_cel_error){0};
    run->frame = frame;
    return eval(run, node, out);
}

/* ---- asking the host ---- */

static bool host_failed(struct inst_cel_run *run, struct inst_err *err) {
    inst_cel_fail(run, INST_CEL_HOST_FAILED, "%s", err->message ? err->message : "failed");
    inst_err_clear(err);
    return false;
}

bool inst_cel_ref(struct inst_cel_run *run, const struct inst_cel_value *args,
                  struct inst_cel_value *out) {
    const struct inst_value *entity = args[0].u.json;
    const struct inst_value *id = entity ? inst_getz(entity, "id") : NULL;
    struct inst_value *list = inst_arena_zalloc(run->arena, sizeof *list);
    struct inst_err err = {0};
    if (!list)
        return inst_cel_out_of_memory(run);
    *list = inst_array(NULL, 0);
    if (id && !inst_is_nullish(id)) {
        if (!run->host || !run->host->ref)
            return inst_cel_fail(run, INST_CEL_INTERNAL_ERROR, "ref is not available here");
        if (++run->refs > INST_CEL_MAX_REFS)
            return inst_cel_fail(run, INST_CEL_TOO_COSTLY, "the rule asks for more than %u refs",
                                 INST_CEL_MAX_REFS);
        if (run->host->ref(run->host->ctx, (enum inst_cel_object)args[0].object, entity,
                           args[1].u.str, args[1].len, run->arena, list, &err) != INST_OK)
            return host_failed(run, &err);
    }
    *out = inst_cel_of_json(list, false);
    return inst_cel_spend(run, list->len);
}

bool inst_cel_limit(struct inst_cel_run *run, const struct inst_cel_value *args,
                    struct inst_cel_value *out) {
    struct inst_value key;
    struct inst_cel_limit answer;
    struct inst_err err = {0};
    int64_t tokens = args[2].tag == INST_CEL_V_INT ? args[2].u.i : 1;
    if (!inst_cel_to_json(&args[1], run->arena, &key))
        return inst_cel_fail(run, INST_CEL_TOO_COSTLY,
                             "the key of a rate limit has too many parts");
    if (!run->host || !run->host->limit)
        return inst_cel_fail(run, INST_CEL_INTERNAL_ERROR, "rateLimit is not available here");
    if (run->host->limit(run->host->ctx, args[0].u.str, args[0].len, &key, tokens, &answer, &err) !=
        INST_OK)
        return host_failed(run, &err);
    *out = inst_cel_bool(true);
    if (answer.is_allowed)
        return true;
    inst_cel_fail(run, INST_CEL_RATE_LIMITED, "Your request exceeded the rate limit.");
    run->error.retry_at_ms = answer.retry_at_ms;
    run->error.remaining = answer.remaining;
    return false;
}
