#include "io_server_http_fixture.h"

#include "io/sqlite_app_db.h"
#include "server/jobs_internal.h"
#include "server/limits.h"

/* Background jobs (server/jobs.h, transactions.md 14.5): more rows than one turn takes, so that
 * what happens between the pieces is met. */

#define MANY 2500u

static const char schema[] =
    "{'entities':{'todos':{'attrs':{"
    "'title':{'valueType':'json','required':false,'config':{'indexed':false,'unique':false}},"
    "'due':{'valueType':'json','required':false,'config':{'indexed':true,'unique':false}},"
    "'n':{'valueType':'number','required':false,'config':{'indexed':false,'unique':false}}}},"
    "'users':{'attrs':{}}},"
    "'links':{'owner':{'forward':{'on':'todos','label':'owner','has':'many'},"
    "'reverse':{'on':'users','label':'todos','has':'many'}}}}";

static struct world world;
static struct connection *admin, *user;
static char dir[32];
static struct inst_arena arena; /* what tests keep of answers */

static int set_up(void **state) {
    (void)state;
    world_open_dir(&world, dir, schema);
    inst_arena_init(&arena);
    admin = enter(&world, true);
    user = enter(&world, false);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    disconnect(admin);
    disconnect(user);
    inst_arena_free(&arena);
    world_close_dir(&world, dir);
    return 0;
}

static struct inst_app *app(void) {
    struct inst_app *found;
    assert_int_equal(inst_app_get(world.server, world.app.id, &found, NULL), INST_OK);
    return found;
}

/* ---- many rows, put beside the engine ---- */

static const struct inst_attr *attr_of(const char *label) {
    const struct inst_attr *attr =
        inst_attrs_forward(app()->catalog->attrs, "todos", 5, label, strlen(label));
    assert_non_null(attr);
    return attr;
}

/* Entities 1 to count with an id each and, where write says so, a value. */
static void fill(unsigned count, const char *label,
                 bool (*write)(unsigned n, struct inst_value *out)) {
    struct inst_app_db *db = app()->db;
    const struct inst_attr *id_attr = attr_of("id"), *attr = attr_of(label);
    struct inst_err err = {0};
    assert_int_equal(db->db_ops->begin(db, &err), INST_OK);
    for (unsigned n = 1; n <= count; n++) {
        struct inst_uuid id;
        struct inst_value v = inst_cstring(uuid_text(n));
        uint32_t e;
        bool is_new;
        inst_uuid_parse(uuid_text(n), INST_UUID_TEXT, &id);
        assert_int_equal(db->db_ops->make_entity(db, &id, &e, &is_new, &err), INST_OK);
        if (is_new)
            assert_int_equal(db->db_ops->put(db, e, id_attr, &v, e, 1000 + n, NULL, &err), INST_OK);
        if (write(n, &v))
            assert_int_equal(db->db_ops->put(db, e, attr, &v, 0, 1000 + n, NULL, &err), INST_OK);
    }
    assert_int_equal(db->db_ops->commit(db, &err), INST_OK);
}

/* Texts and numbers, zero and null among them: their places are all over the index. */
static bool write_mixed(unsigned n, struct inst_value *out) {
    static char text[32];
    if (n % 5 == 0)
        return false;
    if (n % 7 == 0) {
        *out = n % 14 == 0 ? inst_null() : inst_number((double)n - 1500);
        return true;
    }
    snprintf(text, sizeof text, "t%u", n);
    *out = inst_cstring(text);
    return true;
}

static bool write_text(unsigned n, struct inst_value *out) {
    static char text[32];
    snprintf(text, sizeof text, "t%u", n);
    *out = inst_cstring(text);
    return true;
}

static bool write_number(unsigned n, struct inst_value *out) {
    *out = inst_number(n);
    return true;
}

/* As dates: numbers and texts. */
static bool write_date(unsigned n, struct inst_value *out) {
    static char text[40];
    *out = inst_number(86400000.0 * n);
    if (n % 2 == 0) {
        snprintf(text, sizeof text, "2024-01-%02uT00:00:%02u.000Z", n % 28 + 1, n % 60);
        *out = inst_cstring(text);
    }
    return true;
}

static void check_file(void) {
    struct inst_err err = {0};
    if (inst_sqlite_app_db_check(app()->db, &err) != INST_OK)
        fail_msg("%s", err.message);
}

/* ---- jobs ---- */

static char job_id[INST_UUID_TEXT + 1];

static const struct inst_value *keep(const struct inst_value *v) {
    struct inst_value *copy = inst_arena_alloc(&arena, sizeof *copy);
    assert_true(inst_value_dup(&arena, v, copy));
    return copy;
}

static void add_job(const char *type, const char *label, const char *more) {
    char body[300];
    snprintf(body, sizeof body, "{'attr-id':'@todos.%s','job-type':'%s'%s}", label, type, more);
    const struct inst_value *job =
        inst_getz(done(&world, "POST", "/dash/apps/{app}/indexing-jobs", ADMIN, body), "job");
    memcpy(job_id, inst_getz(job, "id")->u.str, INST_UUID_TEXT);
    expect_text(inst_getz(job, "job_status"), "waiting");
    expect_text(inst_getz(job, "job_type"), type);
}

static const struct inst_value *job_now(void) {
    char target[120];
    snprintf(target, sizeof target, "/dash/apps/{app}/indexing-jobs/%s", job_id);
    return keep(inst_getz(done(&world, "GET", target, ADMIN, NULL), "job"));
}

static const char *status_now(void) {
    static char text[32];
    const struct inst_value *status = inst_getz(job_now(), "job_status");
    snprintf(text, sizeof text, "%.*s", (int)status->len, status->u.str);
    return text;
}

static double number_of(const struct inst_value *object, const char *key) {
    const struct inst_value *v = inst_getz(object, key);
    assert_true(v != NULL && v->tag == INST_NUMBER);
    return v->u.num;
}

/* Turns until nothing is left; how many. */
static unsigned finish(void) {
    unsigned turns = 0;
    while (inst_server_is_pending(world.server)) {
        turn(&world);
        assert_true(++turns < 3000);
    }
    check_file();
    return turns;
}

/* Turns until the job is in that stage. */
static void go_to(const char *stage) {
    for (unsigned turns = 0; turns < 1000; turns++) {
        const struct inst_value *name = inst_getz(job_now(), "job_stage");
        if (inst_is_string(name, stage))
            return;
        turn(&world);
    }
    fail_msg("never in stage %s", stage);
}

static bool has_flag(const char *label, const char *flag) {
    return inst_get_true(&attr_of(label)->json, flag);
}

static void expect_completed(void) {
    const struct inst_value *job = job_now();
    expect_text(inst_getz(job, "job_status"), "completed");
    assert_int_equal(inst_getz(job, "error")->tag, INST_NULL);
    assert_int_equal(inst_getz(job, "done_at")->tag, INST_STRING);
}

static void expect_errored(const char *error) {
    const struct inst_value *job = job_now();
    expect_text(inst_getz(job, "job_status"), "errored");
    expect_text(inst_getz(job, "error"), error);
}

static size_t count_of(const char *query) {
    char body[400];
    snprintf(body, sizeof body, "{'query':{'todos':{'$':{'where':%s,'fields':['id']}}}}", query);
    return inst_getz(done(&world, "POST", "/admin/query", ADMIN, body), "todos")->len;
}

#define SET(n, label, value)                                                                       \
    "[['add-triple','#" n "','@todos.id','#" n "'],['add-triple','#" n "','@todos." label          \
    "'," value "]]"

static void indexes_in_pieces_while_others_are_served(void **state) {
    (void)state;
    fill(MANY, "title", write_mixed);
    size_t texts = count_of("{'title':'t1'}");
    assert_int_equal(texts, 1);
    add_job("index", "title", "");
    unsigned turns = 0;
    /* Every piece: a write, a query by value of what moved and of what did not, one that is refused
     * until all have. */
    go_to("update-triples");
    assert_true(has_flag("title", "index?") && has_flag("title", "indexing?"));
    while (strcmp(status_now(), "completed") != 0) {
        char steps[200], long_text[1100];
        turn(&world);
        turns++;
        snprintf(steps, sizeof steps,
                 "[['add-triple','#%u','@todos.id','#%u'],['add-triple','#%u','@todos.title','new "
                 "%u'],['add-triple','#%u','@todos.title',%u],['retract-triple','#%u',"
                 "'@todos.title','t%u']]",
                 9000 + turns, 9000 + turns, 9000 + turns, turns, 3 + 5 * turns, turns, 901 + turns,
                 901 + turns);
        transact(&world, user, steps);
        if (!has_flag("title", "indexing?"))
            break;
        assert_int_equal(count_of("{'title':'t2498'}"), 1);
        assert_int_equal(count_of("{'title':'t1'}"), 1);
        memset(long_text, 'x', sizeof long_text);
        snprintf(long_text + sizeof long_text - 6, 6, "'");
        char *big;
        assert_true(asprintf(&big, "[['add-triple','#1','@todos.title','%.1040s']]", long_text) >
                    0);
        say(&world, user, "{'op':'transact','client-event-id':'t','tx-steps':%s}", big);
        free(big);
        turn(&world);
        forget_messages(user);
        check_file();
    }
    assert_true(turns >= 2); /* of three turns each: sizes, rows, nulls */
    finish();
    expect_completed();
    const struct inst_value *job = job_now();
    assert_true(number_of(job, "work_completed") >= MANY);
    assert_true(number_of(job, "work_estimate") >= MANY);
    assert_false(has_flag("title", "indexing?"));
    /* What has no value is null now: found by the index. */
    assert_int_equal(count_of("{'title':{'$in':['t1','t2498','new 1']}}"), 3);
    assert_true(count_of("{'title':{'$isNull':true}}") >= MANY / 5);
    expect_state(&world, 5, "todos.id=#5 todos.title=null");
}

static void a_long_value_stops_an_index(void **state) {
    (void)state;
    fill(MANY, "title", write_text);
    char *steps;
    static char text[1101];
    memset(text, 'x', 1100);
    assert_true(asprintf(&steps, SET("7000", "title", "'%s'"), text) > 0);
    transact(&world, user, steps);
    free(steps);
    add_job("index", "title", "");
    finish();
    expect_errored("triple-too-large-error");
    assert_false(has_flag("title", "index?") || has_flag("title", "indexing?"));
    const struct inst_value *sample = inst_getz(job_now(), "invalid_triples_sample");
    assert_int_equal(sample->len, 1);
    expect_text(inst_getz(&sample->u.items[0], "entity_id"), uuid_text(7000));
    expect_text(inst_getz(&sample->u.items[0], "json_type"), "string");
}

static void unique_holds_while_it_comes_and_after(void **state) {
    (void)state;
    fill(MANY, "title", write_text);
    add_job("unique", "title", "");
    go_to("update-triples");
    turn(&world);
    turn(&world);
    assert_true(has_flag("title", "unique?") && has_flag("title", "setting-unique?"));
    finish();
    expect_completed();
    assert_false(has_flag("title", "setting-unique?"));
    refused(&world, user, SET("9000", "title", "'t77'"), "record-not-unique",
            "`title` is a unique attribute on `todos` and an entity already exists with "
            "`todos.title` = \"t77\"");
    add_job("remove-unique", "title", "");
    finish();
    expect_completed();
    transact(&world, user, SET("9000", "title", "'t77'"));
}

/* t2500 is moved last: what repeats it early is met by the job, what repeats t1 late is refused. */
static void a_value_repeated_meanwhile(void **state) {
    (void)state;
    fill(MANY, "title", write_text);
    add_job("unique", "title", "");
    go_to("update-triples");
    for (int i = 0; i < 2; i++) /* sizes, then the first rows */
        turn(&world);
    expect_text(inst_getz(job_now(), "job_stage"), "update-triples");
    refused(&world, user, SET("9000", "title", "'t1'"), "record-not-unique",
            "`title` is a unique attribute on `todos` and an entity already exists with "
            "`todos.title` = \"t1\"");
    transact(&world, user, SET("9001", "title", "'t2500'"));
    finish();
    expect_errored("triple-not-unique-error");
    expect_text(inst_getz(job_now(), "invalid_unique_value"), "t2500");
    const struct inst_value *sample = inst_getz(job_now(), "invalid_triples_sample");
    assert_int_equal(sample->len, 2);
    assert_false(has_flag("title", "unique?") || has_flag("title", "setting-unique?"));
    /* And the rows are back where an attr without an index has them. */
    transact(&world, user, SET("9002", "title", "'t2500'"));
    assert_int_equal(count_of("{'title':'t2500'}"), 3);
}

static void checks_types(void **state) {
    (void)state;
    fill(MANY, "title", write_text);
    add_job("check-data-type", "title", ",'checked-data-type':'string'");
    go_to("revalidate");
    assert_true(has_flag("title", "checking-data-type?"));
    refused(&world, user, SET("9000", "title", "5"), "validation-failed",
            "Invalid value type for todos.title. Value must be a string but the provided value "
            "type is number.");
    finish();
    expect_completed();
    expect_text(inst_getz(&attr_of("title")->json, "checked-data-type"), "string");
    assert_false(has_flag("title", "checking-data-type?"));
    add_job("remove-data-type", "title", "");
    finish();
    assert_null(inst_getz(&attr_of("title")->json, "checked-data-type"));
    transact(&world, user, SET("9000", "title", "5"));
    add_job("check-data-type", "title", ",'checked-data-type':'string'");
    finish();
    expect_errored("invalid-triple-error");
    assert_null(inst_getz(&attr_of("title")->json, "checked-data-type"));
    struct inst_buf text;
    inst_buf_init(&text);
    inst_json_write(&text, inst_getz(job_now(), "invalid_triples_sample"));
    char wanted[200];
    snprintf(wanted, sizeof wanted, "[{\"entity_id\":\"%s\",\"value\":5,\"json_type\":\"number\"}]",
             uuid_text(9000));
    assert_string_equal(text.data, wanted);
    inst_buf_free(&text);
}

/* An index of values becomes one of instants. */
static void dates_move_to_their_instants(void **state) {
    (void)state;
    fill(MANY, "due", write_date);
    add_job("check-data-type", "due", ",'checked-data-type':'date'");
    go_to("update-triples");
    turn(&world);
    transact(&world, user, SET("3", "due", "'1971-01-01'"));
    transact(&world, user, SET("2499", "due", "'1972-01-01'"));
    check_file();
    finish();
    expect_completed();
    assert_int_equal(count_of("{'due':{'$lt':'1970-01-03T00:00:00.000Z'}}"), 1);
    assert_int_equal(count_of("{'due':'1971-01-01T00:00:00.000Z'}"), 2); /* and day 365 */
    assert_int_equal(count_of("{'due':{'$lte':'1972-01-01'}}"), 366);
    add_job("remove-data-type", "due", "");
    finish();
    expect_completed();
    add_job("remove-index", "due", "");
    finish();
    expect_completed();
    assert_false(has_flag("due", "index?"));
    assert_int_equal(count_of("{'due':'1971-01-01'}"), 1);
}

static void requires_what_is_there(void **state) {
    (void)state;
    fill(MANY, "title", write_mixed);
    add_job("required", "title", "");
    finish();
    expect_errored("missing-required-error");
    const struct inst_value *data = inst_getz(job_now(), "error_data");
    expect_text(inst_getz(data, "etype"), "todos");
    expect_text(inst_getz(data, "label"), "title");
    assert_int_equal(inst_getz(data, "entity-ids")->len, 10);
    assert_true(number_of(data, "count") > 10);
    assert_int_equal(inst_getz(job_now(), "invalid_triples_sample")->len, 10);
    assert_false(has_flag("title", "required?"));
    fill(MANY, "n", write_number);
    add_job("required", "n", "");
    go_to("revalidate");
    refused(&world, user, "[['add-triple','#9000','@todos.id','#9000']]", "validation-failed",
            "Missing required attribute `todos/n`: #9000");
    finish();
    expect_completed();
    assert_true(has_flag("n", "required?"));
    add_job("remove-required", "n", "");
    finish();
    expect_completed();
    transact(&world, user, "[['add-triple','#9000','@todos.id','#9000']]");
}

/* ---- restarts ---- */

static void restart(void) {
    disconnect(admin);
    disconnect(user);
    inst_server_free(world.server);
    world_start(&world);
    admin = enter(&world, true);
    user = enter(&world, false);
}

static void goes_on_after_a_restart(void **state) {
    (void)state;
    fill(MANY, "title", write_text);
    add_job("unique", "title", "");
    for (int i = 0; i < 40 && strcmp(status_now(), "completed") != 0; i++) {
        restart();
        turn(&world);
        check_file();
    }
    /* Two of three stages take several turns, and each begins anew with a restart. */
    assert_string_equal(status_now(), "processing");
    finish();
    expect_completed();
    restart();
    expect_completed();
    refused(&world, user, SET("9000", "title", "'t77'"), "record-not-unique",
            "`title` is a unique attribute on `todos` and an entity already exists with "
            "`todos.title` = \"t77\"");
}

/* ---- by update-attr ---- */

static void update_attr_over_many_rows_is_a_job(void **state) {
    (void)state;
    char steps[400];
    fill(MANY, "title", write_mixed);
    snprintf(steps, sizeof steps, "[['update-attr',{'id':'@todos.title','index?':true}]]");
    transact(&world, admin, steps);
    assert_true(has_flag("title", "index?") && has_flag("title", "indexing?"));
    assert_true(inst_server_is_pending(world.server));
    restart(); /* the flag alone brings it back */
    assert_true(inst_server_is_pending(world.server));
    finish();
    assert_false(has_flag("title", "indexing?"));
    expect_state(&world, 5, "todos.id=#5 todos.title=null");
    /* Before it is done the other way round is asked for. */
    transact(&world, admin, "[['update-attr',{'id':'@todos.title','unique?':true}]]");
    turn(&world);
    transact(&world, admin, "[['update-attr',{'id':'@todos.title','unique?':false}]]");
    finish();
    assert_false(has_flag("title", "unique?") || has_flag("title", "setting-unique?"));
    /* A new attr gets its nulls likewise. */
    transact(&world, admin,
             "[['add-attr',{'id':'cccccccc-0000-4000-8000-000000000001','forward-identity':"
             "['cccccccc-0000-4000-8001-000000000001','todos','extra'],'value-type':'blob',"
             "'cardinality':'one','unique?':false,'index?':true}]]");
    assert_true(has_flag("extra", "indexing?"));
    finish();
    learn_attrs(&world);
    expect_state(&world, 5, "todos.extra=null todos.id=#5 todos.title=null");
}

/* The youngest job is the one to look at. */
static void find_job(const char *type) {
    const struct inst_job *job = app()->jobs->first;
    assert_non_null(job);
    while (job->next != NULL)
        job = job->next;
    memcpy(job_id, job->id, INST_UUID_TEXT);
    expect_text(inst_getz(job_now(), "job_type"), type);
}

#define UPDATE(label, flags) "[['update-attr',{'id':'@todos." label "'," flags "}]]"

static void update_attr_requires_over_many_rows(void **state) {
    (void)state;
    fill(MANY, "n", write_number);
    transact(&world, admin, UPDATE("n", "'required?':true"));
    find_job("required");
    assert_true(has_flag("n", "setting-required?") && !has_flag("n", "required?"));
    turn(&world);
    restart(); /* the flag or the note brings it back */
    assert_true(inst_server_is_pending(world.server));
    find_job("required");
    go_to("revalidate");
    assert_true(has_flag("n", "required?") && !has_flag("n", "setting-required?"));
    refused(&world, user, "[['add-triple','#9000','@todos.id','#9000']]", "validation-failed",
            "Missing required attribute `todos/n`: #9000");
    restart();
    finish();
    expect_completed();
    assert_true(number_of(job_now(), "work_completed") >= 2.0 * MANY);
    /* What holds already is not looked at again. */
    transact(&world, admin, UPDATE("n", "'required?':true,'index?':false"));
    assert_false(inst_server_is_pending(world.server));
    transact(&world, admin, UPDATE("n", "'required?':false"));
    assert_false(has_flag("n", "required?"));
}

static void update_attr_requires_what_is_not_there(void **state) {
    (void)state;
    fill(MANY, "title", write_mixed);
    fill(MANY, "n", write_number);
    /* A count tells that some have none. */
    refused(&world, admin, UPDATE("title", "'required?':true"), "validation-failed",
            "Validation failed for attributes: Can't update attribute `title` to required because "
            "`todos` already have entities without it");
    assert_false(has_flag("title", "setting-required?"));
    /* A null is met by the job alone. */
    transact(&world, admin, "[['add-triple','#77','@todos.n',null]]");
    transact(&world, admin, UPDATE("n", "'required?':true"));
    find_job("required");
    finish();
    expect_errored("missing-required-error");
    const struct inst_value *data = inst_getz(job_now(), "error_data");
    assert_int_equal(inst_getz(data, "entity-ids")->len, 1);
    assert_false(has_flag("n", "required?") || has_flag("n", "setting-required?"));
    restart(); /* and is not tried again */
    assert_false(inst_server_is_pending(world.server));
}

static void update_attr_is_taken_back(void **state) {
    (void)state;
    fill(MANY, "n", write_number);
    transact(&world, admin, UPDATE("n", "'required?':true"));
    find_job("required");
    /* Of another change the wish is no part. */
    transact(&world, admin, UPDATE("n", "'on-delete':null"));
    assert_true(has_flag("n", "setting-required?"));
    transact(&world, admin, UPDATE("n", "'required?':false"));
    finish();
    expect_errored("invalid-attr-state-error");
    assert_false(has_flag("n", "required?") || has_flag("n", "setting-required?"));
    transact(&world, admin, UPDATE("n", "'required?':true"));
    transact(&world, admin, "[['delete-attr','@todos.n']]");
    finish();
    transact(&world, admin, "[['restore-attr','@todos.n']]");
    finish();
    assert_false(has_flag("n", "required?") || has_flag("n", "setting-required?"));
}

/* Entities 1 to count with a link each to 5000. */
static void link_all(unsigned count) {
    struct inst_app_db *db = app()->db;
    const struct inst_attr *owner = attr_of("owner");
    struct inst_value none = inst_undefined();
    struct inst_err err = {0};
    assert_int_equal(db->db_ops->begin(db, &err), INST_OK);
    for (unsigned n = 1; n <= count; n++) {
        struct inst_uuid id;
        uint32_t e, to;
        bool is_new;
        inst_uuid_parse(uuid_text(n), INST_UUID_TEXT, &id);
        assert_int_equal(db->db_ops->make_entity(db, &id, &e, &is_new, &err), INST_OK);
        inst_uuid_parse(uuid_text(5000), INST_UUID_TEXT, &id);
        assert_int_equal(db->db_ops->make_entity(db, &id, &to, &is_new, &err), INST_OK);
        assert_int_equal(db->db_ops->put(db, e, owner, &none, to, 1000 + n, NULL, &err), INST_OK);
    }
    assert_int_equal(db->db_ops->commit(db, &err), INST_OK);
}

static void update_attr_to_one_over_many_links(void **state) {
    (void)state;
    link_all(MANY);
    transact(&world, admin, "[['add-triple','#2000','@todos.owner','#5001']]");
    transact(&world, admin, UPDATE("owner", "'cardinality':'one'"));
    find_job("cardinality");
    assert_true(attr_of("owner")->is_many && attr_of("owner")->is_setting_cardinality);
    finish();
    expect_errored("triple-not-unique-error");
    assert_int_equal(inst_getz(job_now(), "invalid_triples_sample")->len, 1);
    assert_true(attr_of("owner")->is_many && !attr_of("owner")->is_setting_cardinality);
    transact(&world, admin, "[['retract-triple','#2000','@todos.owner','#5001']]");
    transact(&world, admin, UPDATE("owner", "'cardinality':'one'"));
    find_job("cardinality");
    /* One that comes between the two looks is met by the second. */
    transact(&world, user, "[['add-triple','#1','@todos.owner','#5001']]");
    restart();
    finish();
    expect_errored("triple-not-unique-error");
    transact(&world, admin, "[['retract-triple','#1','@todos.owner','#5001']]");
    transact(&world, admin, UPDATE("owner", "'cardinality':'one'"));
    find_job("cardinality");
    finish();
    expect_completed();
    assert_false(attr_of("owner")->is_many || attr_of("owner")->is_setting_cardinality);
    transact(&world, user, "[['add-triple','#1','@todos.owner','#5001']]");
    expect_state(&world, 1, "todos.owner=#5001");
    /* The other way there is nothing to look at. */
    transact(&world, admin, UPDATE("owner", "'cardinality':'many'"));
    assert_true(attr_of("owner")->is_many);
    assert_false(inst_server_is_pending(world.server));
}

static bool note_id(void *ctx, const char *app_id) {
    snprintf(ctx, INST_UUID_TEXT + 1, "%s", app_id);
    return true;
}

/* The app that is noted as at work; "" when none is. */
static const char *at_work(void) {
    static char id[INST_UUID_TEXT + 1];
    id[0] = '\0';
    assert_int_equal(inst_apps_ops.manage->each_working(world.apps, note_id, id, NULL), INST_OK);
    return id;
}

static void goes_on_when_the_server_starts(void **state) {
    (void)state;
    fill(MANY, "title", write_text);
    for (int by_step = 0; by_step < 2; by_step++) {
        unsigned turns = 0;
        assert_string_equal(at_work(), "");
        if (by_step)
            transact(&world, admin, UPDATE("title", "'unique?':true"));
        else
            add_job("index", "title", "");
        assert_string_equal(at_work(), world.app.id);
        disconnect(admin);
        disconnect(user);
        inst_server_free(world.server);
        world_start(&world);
        /* Nobody opens the app. */
        while (inst_server_is_pending(world.server)) {
            turn(&world);
            assert_true(++turns < 100);
        }
        assert_true(turns > 3);
        assert_string_equal(at_work(), "");
        assert_non_null(world.server->apps);
        assert_false(has_flag("title", "indexing?") || has_flag("title", "setting-unique?"));
        assert_true(has_flag("title", by_step ? "unique?" : "index?"));
        admin = enter(&world, true);
        user = enter(&world, false);
    }
    /* A note that outlived its work, or its app, is dropped at the next start. */
    const char *gone = "99999999-0000-4000-8000-000000000001";
    const struct inst_app_manage_ops *manage = inst_apps_ops.manage;
    assert_int_equal(manage->set_working(world.apps, world.app.id, true, NULL), INST_OK);
    assert_int_equal(manage->set_working(world.apps, gone, true, NULL), INST_OK);
    restart();
    finish();
    assert_string_equal(at_work(), "");
}

static void few_rows_are_done_at_once(void **state) {
    (void)state;
    fill(100, "title", write_mixed);
    transact(&world, admin, "[['update-attr',{'id':'@todos.title','index?':true}]]");
    assert_false(has_flag("title", "indexing?"));
    assert_false(inst_server_is_pending(world.server));
    expect_state(&world, 5, "todos.id=#5 todos.title=null");
}

static void an_attr_that_is_deleted_meanwhile(void **state) {
    (void)state;
    fill(MANY, "title", write_text);
    add_job("index", "title", "");
    go_to("update-triples");
    for (int i = 0; i < 4; i++)
        turn(&world);
    transact(&world, admin, "[['delete-attr','@todos.title']]");
    finish();
    expect_errored("invalid-attr-state-error");
    assert_int_equal(inst_getz(job_now(), "attr_name")->tag, INST_NULL);
    transact(&world, admin, "[['restore-attr','@todos.title']]");
    finish();
    assert_false(has_flag("title", "index?") || has_flag("title", "indexing?"));
    assert_int_equal(count_of("{'title':'t2499'}"), 1);
}

static void says_what_is_wrong(void **state) {
    (void)state;
    denied(&world, "POST", "/dash/apps/{app}/indexing-jobs", ADMIN,
           "{'attr-id':'@todos.title','job-type':'shine'}", "validation-failed",
           "Validation failed for job-type: Invalid job type shine.");
    denied(&world, "POST", "/dash/apps/{app}/indexing-jobs", ADMIN, "{'job-type':'index'}",
           "param-missing", "Missing parameter: [\"body\" \"attr-id\"]");
    denied(&world, "POST", "/dash/apps/{app}/indexing-jobs", ADMIN,
           "{'attr-id':'@todos.title','job-type':'check-data-type','checked-data-type':'colour'}",
           "param-malformed", "Malformed parameter: [\"body\" \"checked-data-type\"]");
    const struct inst_value *body = denied(&world, "POST", "/dash/apps/{app}/indexing-jobs", ADMIN,
                                           "{'attr-id':'#1','job-type':'index'}",
                                           "record-not-found", "Record not found: attrs");
    expect_text(inst_getz(inst_getz(body, "hint"), "record-type"), "attrs");
    struct answer *refusal =
        call(&world, "POST", "/dash/apps/{app}/indexing-jobs", "authorization: Bearer none",
             "{'attr-id':'@todos.title','job-type':'index'}");
    assert_int_not_equal(refusal->status, 200);
    expect_body(&world,
                done(&world, "GET",
                     "/dash/apps/{app}/indexing-jobs/group/aaaaaaaa-0000-4000-8000-000000000001",
                     ADMIN, NULL),
                "{'jobs':[]}");
    done(&world, "POST", "/dash/apps/{app}/status", ADMIN, "{'status':'read-only'}");
    denied(&world, "POST", "/dash/apps/{app}/indexing-jobs", ADMIN,
           "{'attr-id':'@todos.title','job-type':'index'}", "app-read-only",
           "This app is in read-only mode.");
}

static void a_group_runs_in_order(void **state) {
    (void)state;
    struct inst_err err = {0};
    char group[INST_UUID_TEXT + 1];
    fill(MANY, "title", write_text);
    struct inst_value attr_id = attr_of("title")->id;
    struct inst_job_wish wishes[3] = {
        {.type = inst_cstring("check-data-type"),
         .attr_id = attr_id,
         .checked_data_type = inst_cstring("string")},
        {.type = inst_cstring("index"), .attr_id = attr_id},
        {.type = inst_cstring("required"), .attr_id = attr_id},
    };
    if (inst_jobs_add(app(), wishes, 3, group, &err) != INST_OK)
        fail_msg("%s", err.message);
    char target[120];
    snprintf(target, sizeof target, "/dash/apps/{app}/indexing-jobs/group/%s", group);
    turn(&world);
    const struct inst_value *jobs =
        keep(inst_getz(done(&world, "GET", target, ADMIN, NULL), "jobs"));
    assert_int_equal(jobs->len, 3);
    expect_text(inst_getz(&jobs->u.items[0], "job_status"), "processing");
    expect_text(inst_getz(&jobs->u.items[1], "job_status"), "waiting");
    expect_text(inst_getz(&jobs->u.items[2], "id"), wishes[2].id);
    expect_text(inst_getz(&jobs->u.items[2], "group_id"), group);
    expect_text(inst_getz(&jobs->u.items[2], "attr_name"), "todos.title");
    finish();
    jobs = keep(inst_getz(done(&world, "GET", target, ADMIN, NULL), "jobs"));
    for (uint32_t i = 0; i < 3; i++)
        expect_text(inst_getz(&jobs->u.items[i], "job_status"), "completed");
    assert_int_equal(count_of("{'title':{'$like':'t249%%'}}"), 11);
}

/* Fewer where every step takes fifty times as long. */
static unsigned many_rows(void) {
    const char *preload = getenv("LD_PRELOAD");
    return preload != NULL && strstr(preload, "vgpreload") != NULL ? 6000 : 200000;
}

/* An app of 200,000 rows: no turn touches more than its share, whatever the job. */
static void long_work_comes_in_short_turns(void **state) {
    (void)state;
    unsigned turns = 0, extra = 0, rows = many_rows();
    double before = 0;
    fill(rows, "title", write_number);
    add_job("unique", "title", "");
    while (inst_server_is_pending(world.server)) {
        turn(&world);
        const struct inst_value *job = job_now();
        const struct inst_value *work = inst_getz(job, "work_completed");
        double now = work->tag == INST_NUMBER ? work->u.num : 0;
        bool has_two = turns > 0 && turns % 100 == 0; /* one was the transaction's */
        assert_true(now - before <= (has_two ? 2 : 1) * INST_JOB_TURN_ROWS);
        before = now;
        if (++turns % 100 == 0) {
            char steps[200];
            snprintf(steps, sizeof steps, SET("%u", "title", "'x%u'"), 300000 + turns,
                     300000 + turns, 300000 + turns, turns);
            transact(&world, user, steps);
            extra++;
        }
        inst_arena_reset(&arena);
    }
    expect_completed();
    assert_true(before >= 3.0 * rows);
    assert_true(turns + extra >= 3 * rows / INST_JOB_TURN_ROWS);
    check_file();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(indexes_in_pieces_while_others_are_served, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_long_value_stops_an_index, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unique_holds_while_it_comes_and_after, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_value_repeated_meanwhile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(checks_types, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dates_move_to_their_instants, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requires_what_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(goes_on_after_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(update_attr_over_many_rows_is_a_job, set_up, tear_down),
        cmocka_unit_test_setup_teardown(update_attr_requires_over_many_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(update_attr_requires_what_is_not_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(update_attr_is_taken_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(update_attr_to_one_over_many_links, set_up, tear_down),
        cmocka_unit_test_setup_teardown(goes_on_when_the_server_starts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(few_rows_are_done_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_attr_that_is_deleted_meanwhile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(says_what_is_wrong, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_group_runs_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_work_comes_in_short_turns, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
