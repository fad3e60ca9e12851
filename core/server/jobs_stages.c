#include "base/json.h"
#include "server/jobs_internal.h"
#include "server/limits.h"
#include "server/refusal.h"
#include "server/tx.h"

#include <stdlib.h>

/* A piece of one job's present stage. */
struct work {
    struct inst_tx *tx;
    struct inst_job *job;
    const struct inst_attr *attr;
    size_t limit; /* rows that it may touch */
    size_t rows;  /* that it did */
    bool is_done; /* the stage is over */
};

typedef enum inst_status stage_fn(struct work *w, struct inst_err *err);

struct stage {
    const char *name; /* as the original's; several of ours may be one of those */
    stage_fn *fn;
    bool is_flagged; /* the attr must still say what the job made it say */
};

static struct inst_member named(const char *key, struct inst_value value) {
    return (struct inst_member){key, strlen(key), value};
}

/* ---- the attr's flags ---- */

static enum inst_status set_flags(struct work *w, const struct inst_member *members, size_t count,
                                  struct inst_err *err) {
    struct inst_value id = inst_string(w->job->attr_id, INST_UUID_TEXT);
    enum inst_status st = inst_tx_set_attr(w->tx, &id, members, count, err);
    w->attr = inst_tx_attr_by_id(w->tx, &id);
    return st;
}

/* One flag, and that it is under way (or no more). */
static enum inst_status set_flag(struct work *w, const char *key, bool is_set, const char *busy,
                                 bool is_busy, struct inst_err *err) {
    struct inst_member members[2] = {named(key, inst_bool(is_set)), {0}};
    if (busy != NULL)
        members[1] = named(busy, is_busy ? inst_bool(true) : inst_undefined());
    return set_flags(w, members, busy != NULL ? 2 : 1, err);
}

static enum inst_status set_type(struct work *w, enum inst_checked_type type, bool is_busy,
                                 struct inst_err *err) {
    const char *name = inst_checked_type_name(type);
    struct inst_member members[2] = {
        named("checked-data-type", name[0] != '\0' ? inst_cstring(name) : inst_undefined()),
        named("checking-data-type?", is_busy ? inst_bool(true) : inst_undefined())};
    return set_flags(w, members, 2, err);
}

static enum inst_status set_cardinality(struct work *w, const char *cardinality,
                                        struct inst_err *err) {
    struct inst_member members[2] = {named("cardinality", inst_cstring(cardinality)),
                                     named("setting-cardinality?", inst_undefined())};
    return set_flags(w, members, 2, err);
}

static enum inst_status begin_flags(struct work *w, struct inst_err *err) {
    w->is_done = true;
    switch (w->job->type) {
    case INST_JOB_CHECK_DATA_TYPE:
        return set_type(w, w->job->checked_type, true, err);
    case INST_JOB_REMOVE_DATA_TYPE:
        return set_type(w, INST_CHECKED_NONE, true, err);
    case INST_JOB_INDEX:
        return set_flag(w, "index?", true, "indexing?", true, err);
    case INST_JOB_REMOVE_INDEX:
        return set_flag(w, "index?", false, "indexing?", true, err);
    case INST_JOB_UNIQUE:
        return set_flag(w, "unique?", true, "setting-unique?", true, err);
    case INST_JOB_REMOVE_UNIQUE:
        return set_flag(w, "unique?", false, "setting-unique?", true, err);
    case INST_JOB_REQUIRED:
        return set_flag(w, "required?", true, "setting-required?", false, err);
    case INST_JOB_CARDINALITY:
        return set_cardinality(w, "one", err);
    default:
        return set_flag(w, "required?", false, NULL, false, err);
    }
}

static enum inst_status end_flags(struct work *w, struct inst_err *err) {
    const char *busy = w->job->type <= INST_JOB_REMOVE_DATA_TYPE ? "checking-data-type?"
                       : w->job->type <= INST_JOB_REMOVE_INDEX   ? "indexing?"
                                                                 : "setting-unique?";
    struct inst_member member = named(busy, inst_undefined());
    w->is_done = true;
    return set_flags(w, &member, 1, err);
}

static bool has_flags(const struct inst_job *job, const struct inst_attr *attr) {
    switch (job->type) {
    case INST_JOB_CHECK_DATA_TYPE:
        return attr->is_checking_type && attr->checked_type == job->checked_type;
    case INST_JOB_REMOVE_DATA_TYPE:
        return attr->is_checking_type && attr->checked_type == INST_CHECKED_NONE;
    case INST_JOB_INDEX:
        return attr->is_indexing && attr->is_indexed;
    case INST_JOB_REMOVE_INDEX:
        return attr->is_indexing && !attr->is_indexed;
    case INST_JOB_UNIQUE:
        return attr->is_setting_unique && attr->is_unique;
    case INST_JOB_REMOVE_UNIQUE:
        return attr->is_setting_unique && !attr->is_unique;
    case INST_JOB_REQUIRED:
        return attr->is_required;
    case INST_JOB_CARDINALITY:
        return !attr->is_many;
    default:
        return true;
    }
}

/* Does the attr still ask for the job, which has not made it so yet? */
static bool is_asked_for(const struct inst_job *job, const struct inst_attr *attr) {
    return job->type == INST_JOB_CARDINALITY ? attr->is_setting_cardinality
                                             : attr->is_setting_required;
}

bool inst_job_asked_by(const struct inst_attr *attr, int serial, enum inst_job_type *out) {
    switch (serial) {
    case 0:
        *out = attr->checked_type != INST_CHECKED_NONE ? INST_JOB_CHECK_DATA_TYPE
                                                       : INST_JOB_REMOVE_DATA_TYPE;
        return attr->is_checking_type;
    case 1:
        *out = attr->is_indexed ? INST_JOB_INDEX : INST_JOB_REMOVE_INDEX;
        return attr->is_indexing;
    case 3:
        *out = INST_JOB_REQUIRED;
        return attr->is_setting_required;
    case 4:
        *out = INST_JOB_CARDINALITY;
        return attr->is_setting_cardinality;
    default:
        *out = attr->is_unique ? INST_JOB_UNIQUE : INST_JOB_REMOVE_UNIQUE;
        return attr->is_setting_unique;
    }
}

int inst_job_serial(enum inst_job_type type) { return (int)type / 2; }

/* ---- failing ---- */

/* What the job had made the attr say is taken back. */
static enum inst_status reset_flags(struct work *w, struct inst_err *err) {
    bool is_asked = w->job->is_asked && is_asked_for(w->job, w->attr);
    if (!is_asked && !has_flags(w->job, w->attr))
        return INST_OK;
    switch (w->job->type) {
    case INST_JOB_CHECK_DATA_TYPE:
        return set_type(w, INST_CHECKED_NONE, false, err);
    case INST_JOB_INDEX:
        return set_flag(w, "index?", false, "indexing?", false, err);
    case INST_JOB_UNIQUE:
        return set_flag(w, "unique?", false, "setting-unique?", false, err);
    case INST_JOB_REQUIRED:
        return set_flag(w, "required?", false, "setting-required?", false, err);
    case INST_JOB_CARDINALITY:
        return set_cardinality(w, "many", err);
    default:
        return end_flags(w, err);
    }
}

static enum inst_status fail(struct work *w, enum inst_job_error error, struct inst_err *err) {
    struct inst_job *job = w->job;
    enum inst_status st =
        w->attr != NULL && error != INST_JOB_INVALID_ATTR_STATE ? reset_flags(w, err) : INST_OK;
    if (st != INST_OK)
        return st;
    job->status = INST_JOB_ERRORED;
    job->error = error;
    job->done_ms = w->tx->now;
    /* Rows that were moved for it go back. */
    job->is_tidying = w->attr != NULL && !w->attr->is_ref && job->type < INST_JOB_REQUIRED;
    inst_buf_clear(&job->place);
    return INST_OK;
}

/* ---- what is shown of what was met ---- */

struct sample {
    struct inst_tx *tx;
    struct inst_buf json;
    size_t count; /* met */
};

static void sample_begin(struct sample *sample, struct inst_tx *tx) {
    *sample = (struct sample){.tx = tx};
    inst_buf_init(&sample->json);
    inst_buf_add_char(&sample->json, '[');
}

static void sample_add(struct sample *sample, uint32_t e, const struct inst_value *v) {
    struct inst_buf *json = &sample->json;
    if (sample->count++ >= INST_JOB_MAX_SAMPLE)
        return;
    struct inst_value id = sample->tx->store->ops->entity_id(sample->tx->store, e);
    struct inst_value shown = *v;
    if (v->tag == INST_ENTITY)
        shown = sample->tx->store->ops->entity_id(sample->tx->store, (uint32_t)v->u.entity);
    inst_buf_add_str(json, sample->count > 1 ? ",{\"entity_id\":" : "{\"entity_id\":");
    inst_write_bounded(json, &id);
    inst_buf_add_str(json, ",\"value\":");
    inst_write_bounded(json, &shown);
    inst_buf_addf(json, ",\"json_type\":\"%s\"}", inst_json_type(&shown));
}

/* The JSON becomes the job's; false: out of memory. */
static bool sample_end(struct sample *sample, struct inst_job *job) {
    size_t len;
    inst_buf_add_char(&sample->json, ']');
    free(job->sample);
    job->sample = sample->json.failed ? NULL : inst_buf_take(&sample->json, &len);
    inst_buf_free(&sample->json);
    return job->sample != NULL;
}

/* ---- walks ---- */

struct walk {
    struct work *w;
    struct sample sample;
    enum inst_status st;
    struct inst_err *err;
    const struct inst_attr *attr; /* asked about */
    struct inst_buf ids;          /* JSON, of required */
    uint32_t *lacking;            /* entities without it, of insert-nulls */
    size_t lacking_count;
    uint32_t other;
};

static enum inst_status walk_over(struct walk *walk, const struct inst_attr *attr,
                                  bool (*fn)(void *ctx, const struct inst_triple *triple),
                                  struct inst_err *err) {
    struct work *w = walk->w;
    walk->err = err;
    enum inst_status st = w->tx->db->db_ops->walk(w->tx->db, attr, w->limit, &w->job->place, fn,
                                                  walk, &w->rows, &w->is_done, err);
    return st != INST_OK ? st : walk->st;
}

static enum inst_status end_walk(struct walk *walk, enum inst_status st, enum inst_job_error error,
                                 struct inst_err *err) {
    struct work *w = walk->w;
    bool has_failed = st == INST_OK && walk->sample.count > 0;
    if (has_failed && !sample_end(&walk->sample, w->job))
        st = inst_err_nomem(err);
    inst_buf_free(&walk->sample.json);
    return st == INST_OK && has_failed ? fail(w, error, err) : st;
}

static bool check_type(void *ctx, const struct inst_triple *triple) {
    struct walk *walk = ctx;
    struct inst_attr wanted = *walk->attr;
    wanted.checked_type = walk->w->job->checked_type;
    if (!inst_is_nullish(&triple->v) && !inst_tx_has_checked_type(&wanted, &triple->v))
        sample_add(&walk->sample, triple->e, &triple->v);
    return true;
}

/* Links are uuids whatever their type says. */
static enum inst_status check_types(struct work *w, struct inst_err *err) {
    struct walk walk = {.w = w, .attr = w->attr};
    w->is_done = w->attr->is_ref;
    if (w->is_done)
        return INST_OK;
    sample_begin(&walk.sample, w->tx);
    enum inst_status st = walk_over(&walk, w->attr, check_type, err);
    return end_walk(&walk, st, INST_JOB_INVALID_TRIPLE, err);
}

static bool check_size(void *ctx, const struct inst_triple *triple) {
    struct walk *walk = ctx;
    if (inst_tx_fits_index(&triple->v))
        return true;
    sample_add(&walk->sample, triple->e, &triple->v);
    return false;
}

static enum inst_status check_sizes(struct work *w, struct inst_err *err) {
    struct walk walk = {.w = w, .attr = w->attr};
    w->is_done = w->attr->is_ref;
    if (w->is_done)
        return INST_OK;
    sample_begin(&walk.sample, w->tx);
    enum inst_status st = walk_over(&walk, w->attr, check_size, err);
    return end_walk(&walk, st, INST_JOB_TRIPLE_TOO_LARGE, err);
}

/* ---- unique ---- */

static bool check_repeat(void *ctx, const struct inst_triple *triple) {
    struct walk *walk = ctx;
    struct inst_tx *tx = walk->w->tx;
    if (!walk->attr->is_ref && inst_is_nullish(&triple->v))
        return true;
    walk->st = tx->db->db_ops->find_other(tx->db, walk->attr, &triple->v, triple->ref, triple->e,
                                          &walk->other, walk->err);
    if (walk->st != INST_OK || walk->other == 0)
        return walk->st == INST_OK;
    struct inst_value shown = triple->v;
    struct inst_buf json;
    size_t len;
    if (shown.tag == INST_ENTITY)
        shown = tx->store->ops->entity_id(tx->store, triple->ref);
    inst_buf_init(&json);
    inst_write_bounded(&json, &shown);
    free(walk->w->job->unique_value);
    walk->w->job->unique_value = json.failed ? NULL : inst_buf_take(&json, &len);
    inst_buf_free(&json);
    if (walk->w->job->unique_value == NULL)
        walk->st = inst_err_nomem(walk->err);
    sample_add(&walk->sample, triple->e, &triple->v);
    sample_add(&walk->sample, walk->other, &triple->v);
    return false;
}

static enum inst_status check_repeats(struct work *w, struct inst_err *err) {
    struct walk walk = {.w = w, .attr = w->attr};
    w->is_done = inst_attr_is_id(w->attr);
    if (w->is_done)
        return INST_OK;
    sample_begin(&walk.sample, w->tx);
    enum inst_status st = walk_over(&walk, w->attr, check_repeat, err);
    return end_walk(&walk, st, INST_JOB_TRIPLE_NOT_UNIQUE, err);
}

/* ---- cardinality ---- */

/* Has the entity another link of this attr? */
static bool check_single(void *ctx, const struct inst_triple *triple) {
    struct walk *walk = ctx;
    struct inst_store *store = walk->w->tx->store;
    struct inst_attr many = *walk->attr;
    struct inst_scan scan = {.attr = &many, .e = triple->e};
    many.is_many = true; /* as what is there was written */
    if (store->ops->estimate(store, &scan, 2) < 2)
        return true;
    sample_add(&walk->sample, triple->e, &triple->v);
    return false;
}

static enum inst_status check_all_single(struct work *w, struct inst_err *err) {
    struct walk walk = {.w = w, .attr = w->attr};
    sample_begin(&walk.sample, w->tx);
    enum inst_status st = walk_over(&walk, w->attr, check_single, err);
    return end_walk(&walk, st, INST_JOB_TRIPLE_NOT_UNIQUE, err);
}

/* ---- required, nulls ---- */

static const struct inst_attr *id_attr_of(const struct work *w) {
    const struct inst_value *etype = &w->attr->forward.etype;
    return inst_attrs_id_attr(w->tx->catalog->attrs, etype->u.str, etype->len);
}

static bool check_present(void *ctx, const struct inst_triple *triple) {
    struct walk *walk = ctx;
    struct inst_tx *tx = walk->w->tx;
    struct inst_value null = inst_null();
    enum inst_presence presence;
    walk->st =
        tx->store->ops->presence(tx->store, triple->e, walk->attr, false, &presence, walk->err);
    if (walk->st == INST_OK && presence != INST_PRESENT) {
        if (walk->sample.count < INST_JOB_MAX_SAMPLE) {
            struct inst_value id = tx->store->ops->entity_id(tx->store, triple->e);
            inst_buf_add_str(&walk->ids, walk->ids.len > 0 ? "," : "");
            inst_write_bounded(&walk->ids, &id);
        }
        sample_add(&walk->sample, triple->e, &null);
    }
    return walk->st == INST_OK;
}

/* `error_data`: count is of the piece in which the first were met. */
static bool write_missing(struct walk *walk) {
    struct inst_job *job = walk->w->job;
    struct inst_buf json;
    size_t len;
    inst_buf_init(&json);
    inst_buf_addf(&json, "{\"count\":%zu,\"etype\":", walk->sample.count);
    inst_json_write(&json, &walk->attr->forward.etype);
    inst_buf_add_str(&json, ",\"label\":");
    inst_json_write(&json, &walk->attr->forward.label);
    inst_buf_addf(&json, ",\"entity-ids\":[%s]}", walk->ids.len > 0 ? walk->ids.data : "");
    free(job->error_data);
    job->error_data = json.failed || walk->ids.failed ? NULL : inst_buf_take(&json, &len);
    inst_buf_free(&json);
    return job->error_data != NULL;
}

static enum inst_status check_all_present(struct work *w, struct inst_err *err) {
    struct walk walk = {.w = w, .attr = w->attr};
    const struct inst_attr *id_attr = id_attr_of(w);
    if (id_attr == NULL)
        return fail(w, INST_JOB_MISSING_REQUIRED, err);
    sample_begin(&walk.sample, w->tx);
    inst_buf_init(&walk.ids);
    enum inst_status st = walk_over(&walk, id_attr, check_present, err);
    if (st == INST_OK && walk.sample.count > 0 && !write_missing(&walk))
        st = inst_err_nomem(err);
    inst_buf_free(&walk.ids);
    return end_walk(&walk, st, INST_JOB_MISSING_REQUIRED, err);
}

static bool note_lacking(void *ctx, const struct inst_triple *triple) {
    struct walk *walk = ctx;
    struct inst_tx *tx = walk->w->tx;
    enum inst_presence presence;
    walk->st =
        tx->store->ops->presence(tx->store, triple->e, walk->attr, false, &presence, walk->err);
    if (walk->st == INST_OK && presence == INST_MISSING)
        walk->lacking[walk->lacking_count++] = triple->e;
    return walk->st == INST_OK;
}

/* Nulls for entities of the etype without this indexed blob (transactions.md 8.1). */
static enum inst_status insert_nulls(struct work *w, struct inst_err *err) {
    struct walk walk = {.w = w, .attr = w->attr};
    const struct inst_attr *id_attr = id_attr_of(w);
    struct inst_value null = inst_null();
    w->is_done = w->attr->is_ref || id_attr == NULL || id_attr == w->attr;
    if (w->is_done)
        return INST_OK;
    walk.lacking = inst_arena_alloc(w->tx->arena, w->limit * sizeof *walk.lacking);
    if (walk.lacking == NULL)
        return inst_err_nomem(err);
    enum inst_status st = walk_over(&walk, id_attr, note_lacking, err);
    for (size_t i = 0; st == INST_OK && i < walk.lacking_count; i++)
        st = inst_tx_put(w->tx, walk.lacking[i], w->attr, &null, 0, NULL, err);
    return st;
}

/* ---- rows of the index ---- */

static enum inst_status move_rows(struct work *w, struct inst_err *err) {
    struct inst_attr wanted = *w->attr;
    w->is_done = wanted.is_ref;
    if (w->is_done)
        return INST_OK;
    wanted.is_checking_type = false; /* as it will be */
    w->tx->has_written = true;
    return w->tx->db->db_ops->reindex_some(w->tx->db, &wanted, w->limit, &w->job->place, &w->rows,
                                           &w->is_done, err);
}

/* ---- estimates ---- */

static int64_t count_rows(struct work *w, const struct inst_attr *attr) {
    struct inst_scan scan = {.attr = attr};
    struct inst_store *store = w->tx->store;
    return attr == NULL ? 0 : (int64_t)store->ops->estimate(store, &scan, INST_JOB_MAX_ESTIMATE);
}

/* Every walk over the attr's rows that is to come. */
static enum inst_status estimate(struct work *w, struct inst_err *err) {
    static const int passes[INST_JOB_TYPES] = {3, 1, 2, 1, 3, 1, 2, 0, 2};
    bool is_required = w->job->type == INST_JOB_REQUIRED;
    w->job->work_estimate =
        passes[w->job->type] * count_rows(w, is_required ? id_attr_of(w) : w->attr);
    w->is_done = true;
    (void)err;
    return INST_OK;
}

static enum inst_status estimate_nulls(struct work *w, struct inst_err *err) {
    int64_t rows = w->attr->is_ref ? 0 : count_rows(w, id_attr_of(w));
    w->job->work_estimate += rows > 0 ? rows : 1;
    w->is_done = true;
    (void)err;
    return INST_OK;
}

/* ---- the stages ---- */

static const struct stage check_data_type[] = {
    {"estimate-work", estimate, false},
    {"validate", check_types, false},
    {"update-attr-start", begin_flags, false},
    {"revalidate", check_types, true},
    {"update-triples", move_rows, true},
    {"update-attr-done", end_flags, true},
    {NULL, NULL, false},
};
static const struct stage remove_data_type[] = {
    {"update-attr-start", begin_flags, false},
    {"estimate-work", estimate, true},
    {"update-triples", move_rows, true},
    {"update-attr-done", end_flags, true},
    {NULL, NULL, false},
};
static const struct stage make_index[] = {
    {"update-attr-start", begin_flags, false},
    {"estimate-work", estimate, true},
    {"estimate-work-with-undefineds", estimate_nulls, true},
    {"update-triples", check_sizes, true},
    {"update-triples", move_rows, true},
    {"insert-nulls", insert_nulls, true},
    {"update-attr-done", end_flags, true},
    {NULL, NULL, false},
};
static const struct stage make_unique[] = {
    {"update-attr-start", begin_flags, false},
    {"estimate-work", estimate, true},
    {"update-triples", check_sizes, true},
    {"update-triples", move_rows, true},
    {"update-triples", check_repeats, true},
    {"update-attr-done", end_flags, true},
    {NULL, NULL, false},
};
static const struct stage make_required[] = {
    {"estimate-work", estimate, false},
    {"validate", check_all_present, false},
    {"update-attr", begin_flags, false},
    {"revalidate", check_all_present, true},
    {NULL, NULL, false},
};
static const struct stage remove_required[] = {
    {"update-attr", begin_flags, false},
    {NULL, NULL, false},
};

static const struct stage make_single[] = {
    {"estimate-work", estimate, false},
    {"validate", check_all_single, false},
    {"update-attr", begin_flags, false},
    {"revalidate", check_all_single, true},
    {NULL, NULL, false},
};

static const struct stage *const stages[INST_JOB_TYPES] = {
    [INST_JOB_CHECK_DATA_TYPE] = check_data_type,
    [INST_JOB_REMOVE_DATA_TYPE] = remove_data_type,
    [INST_JOB_INDEX] = make_index,
    [INST_JOB_REMOVE_INDEX] = remove_data_type,
    [INST_JOB_UNIQUE] = make_unique,
    [INST_JOB_REMOVE_UNIQUE] = remove_data_type,
    [INST_JOB_REQUIRED] = make_required,
    [INST_JOB_REMOVE_REQUIRED] = remove_required,
    [INST_JOB_CARDINALITY] = make_single,
};

const char *inst_job_stage_name(enum inst_job_type type, size_t stage) {
    return stages[type][stage].name;
}

size_t inst_job_find_stage(enum inst_job_type type, const struct inst_value *name) {
    for (size_t i = 0; stages[type][i].name != NULL; i++)
        if (inst_is_string(name, stages[type][i].name))
            return i;
    return 0;
}

static void add_work(struct inst_job *job, size_t rows) {
    if (rows > 0)
        job->work_completed = (job->work_completed > 0 ? job->work_completed : 0) + (int64_t)rows;
}

/* The present stage is over. */
static void go_on(struct work *w) {
    struct inst_job *job = w->job;
    inst_buf_clear(&job->place);
    job->stage_work = job->work_completed;
    w->tx->has_written = true;
    if (stages[job->type][job->stage + 1].name != NULL) {
        job->stage++;
        return;
    }
    job->status = INST_JOB_COMPLETED;
    job->done_ms = w->tx->now;
}

static enum inst_status tidy(struct work *w, struct inst_err *err) {
    enum inst_status st = w->attr == NULL ? INST_OK : move_rows(w, err);
    if (st == INST_OK && (w->is_done || w->attr == NULL)) {
        w->job->is_tidying = false;
        w->tx->has_written = true;
    }
    return st;
}

/* Is it the machine's failure (no memory, the disk), not that of the data? */
static bool is_of_machine(enum inst_status st, const struct inst_err *err) {
    static const char *const types[] = {"out-of-memory", "data-file", "sql-exception"};
    bool is_known = st == INST_NOMEM || err->type == NULL;
    for (size_t i = 0; !is_known && i < sizeof types / sizeof *types; i++)
        is_known = strcmp(err->type, types[i]) == 0;
    return is_known;
}

static enum inst_status run_stage(struct work *w, struct inst_err *err) {
    const struct stage *stage = &stages[w->job->type][w->job->stage];
    bool is_wanted = w->attr != NULL && !w->attr->is_system;
    if (is_wanted && stage->is_flagged)
        is_wanted = has_flags(w->job, w->attr);
    else if (is_wanted && w->job->is_asked)
        is_wanted = is_asked_for(w->job, w->attr);
    if (!is_wanted)
        return fail(w, INST_JOB_INVALID_ATTR_STATE, err);
    enum inst_status st = stage->fn(w, err);
    if (st != INST_OK && !is_of_machine(st, err)) {
        inst_err_clear(err);
        st = fail(w, INST_JOB_UNEXPECTED, err);
    }
    return st;
}

enum inst_status inst_job_step(struct inst_tx *tx, struct inst_job *job, size_t *budget,
                               struct inst_err *err) {
    struct inst_value id = inst_string(job->attr_id, INST_UUID_TEXT);
    struct work w = {.tx = tx, .job = job, .attr = inst_tx_attr_by_id(tx, &id), .limit = *budget};
    job->is_dirty = true;
    if (job->is_tidying) {
        enum inst_status st = tidy(&w, err);
        *budget -= w.rows < *budget ? w.rows : *budget;
        return st;
    }
    enum inst_status st = run_stage(&w, err);
    if (st != INST_OK)
        return st;
    *budget -= w.rows < *budget ? w.rows : *budget;
    add_work(job, w.rows);
    if (job->status == INST_JOB_ERRORED)
        tx->has_written = true;
    else if (w.is_done)
        go_on(&w);
    return INST_OK;
}
