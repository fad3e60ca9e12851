/*
 * Rooms of a reactor, against a server played by hand: what is sent when, what listeners are told,
 * and edits applied to the letter.
 */
#include "client_fixture.h"

#include "client/patch.h"
#include "client/rooms.h"

/* ---- listeners ---- */

struct heard {
    struct fixture *f;
    uint64_t sub;
    int count;
    char *presence; /* {"user"?, "peers", "isLoading", "error"?} */
    char *data, *peer;
    void (*then)(struct heard *); /* what a call does */
};

static char *presence_json(struct fixture *f, const struct inst_presence_slice *slice) {
    struct inst_object_builder b;
    struct inst_value v;
    inst_object_begin(&b, &f->arena);
    if (slice->user) {
        inst_object_addz(&b, "user", *slice->user);
    }
    inst_object_addz(&b, "peers", *slice->peers);
    inst_object_addz(&b, "isLoading", inst_bool(slice->is_loading));
    if (slice->has_error) {
        inst_object_addz(&b, "error", inst_cstring(slice->error.err->message));
    }
    assert_true(inst_object_end(&b, &v));
    return json_of(f, &v);
}

static void on_presence(void *ctx, const struct inst_presence_slice *slice) {
    struct heard *h = ctx;
    h->count++;
    h->presence = presence_json(h->f, slice);
    if (h->then) {
        h->then(h);
    }
}

static void on_topic(void *ctx, const struct inst_value *data, const struct inst_value *peer) {
    struct heard *h = ctx;
    h->count++;
    h->data = json_of(h->f, data);
    h->peer = peer ? json_of(h->f, peer) : NULL;
    if (h->then) {
        h->then(h);
    }
}

static struct heard *new_heard(struct fixture *f) {
    struct heard *h = inst_arena_zalloc(&f->arena, sizeof(*h));
    h->f = f;
    return h;
}

static struct heard *watch_with(struct fixture *f, const char *room,
                                const struct inst_presence_options *options) {
    struct heard *h = new_heard(f);
    struct inst_err err = {0};
    if (inst_reactor_subscribe_presence(f->r, "chat", room, options, on_presence, h, &h->sub,
                                        &err) != INST_OK) {
        fail_msg("%s", err.message);
    }
    assert_true(h->sub != 0);
    return h;
}

static struct heard *watch(struct fixture *f, const char *room) {
    return watch_with(f, room, NULL);
}

static struct heard *listen(struct fixture *f, const char *room, const char *topic) {
    struct heard *h = new_heard(f);
    assert_int_equal(
        inst_reactor_subscribe_topic(f->r, "chat", room, topic, on_topic, h, &h->sub, NULL),
        INST_OK);
    return h;
}

static void join(struct fixture *f, const char *room, const char *presence) {
    struct inst_value v = presence ? value_of(f, presence) : inst_undefined();
    assert_int_equal(inst_reactor_join_room(f->r, "chat", room, presence ? &v : NULL, NULL),
                     INST_OK);
}

static void publish(struct fixture *f, const char *room, const char *partial) {
    struct inst_value v = value_of(f, partial);
    assert_int_equal(inst_reactor_publish_presence(f->r, room, &v, NULL), INST_OK);
}

static void shout(struct fixture *f, const char *room, const char *topic, const char *data) {
    struct inst_value v = value_of(f, data);
    assert_int_equal(inst_reactor_publish_topic(f->r, room, topic, &v, NULL), INST_OK);
}

static void told(struct heard *h, int count, const char *presence) {
    assert_int_equal(h->count, count);
    assert_non_null(h->presence);
    char *expected = text_of(presence);
    assert_string_equal(h->presence, expected);
    free(expected);
}

static void reads(struct fixture *f, const char *room, const char *presence) {
    struct inst_presence_slice slice;
    assert_int_equal(inst_reactor_get_presence(f->r, room, NULL, &f->arena, &slice, NULL), INST_OK);
    if (!presence) {
        assert_null(slice.peers);
        return;
    }
    char *expected = text_of(presence);
    assert_string_equal(presence_json(f, &slice), expected);
    free(expected);
}

/* ---- the server's side ---- */

/* The next message is this one, but for its event id. */
static void says(struct fixture *f, const char *message) {
    struct inst_value v = sent(f);
    struct inst_object_builder b;
    inst_object_begin(&b, &f->arena);
    assert_int_equal(inst_get_string(&v, "client-event-id")->len, INST_UUID_TEXT);
    for (uint32_t i = 0; i < v.len; i++) {
        const struct inst_member *m = &v.u.members[i];
        if (m->key_len != 15 || memcmp(m->key, "client-event-id", 15) != 0) {
            inst_object_add(&b, m->key, m->key_len, m->value);
        }
    }
    assert_true(inst_object_end(&b, &v));
    check_json(f, &v, message);
}

#define JOIN(room, data) "{'op':'join-room','room-type':'chat','room-id':'" room "'" data "}"
#define SET(room, data) "{'op':'set-presence','room-id':'" room "','data':" data "}"
#define LEAVE(room) "{'op':'leave-room','room-id':'" room "'}"
#define JOINED(room) "{'op':'join-room-ok','room-id':'" room "'}"
#define LEFT(room) "{'op':'leave-room-ok','room-id':'" room "'}"
#define WHOLE(room, entries) "{'op':'refresh-presence','room-id':'" room "','data':{" entries "}}"
#define ENTRY(id, data) "'" id "':{'peer-id':'" id "','user':null,'data':" data "}"
#define EDITS(room, edits) "{'op':'patch-presence','room-id':'" room "','edits':[" edits "]}"
#define SHOUT(room, topic, peer, data)                                                             \
    "{'op':'server-broadcast','room-id':'" room "','topic':'" topic "','data':{'peer-id':'" peer   \
    "','user':null,'data':" data "}}"

static struct fixture *connected(void) {
    struct fixture *f = fixture_new(NULL);
    authenticate(f);
    return f;
}

/* In room r with one other, who shows {'n':1}; the listener was told twice. */
static struct heard *in_room(struct fixture *f) {
    struct heard *h = watch(f, "r");
    says(f, JOIN("r", ""));
    assert_int_equal(h->count, 0);
    receive(f, JOINED("r"));
    receive(f, WHOLE("r", ENTRY("$session", "{}") "," ENTRY("$p", "{'n':1}")));
    told(h, 1,
         "{'user':{'peerId':'$session'},'peers':{'$p':{'n':1,'peerId':'$p'}},"
         "'isLoading':false}");
    expect_silence(f);
    h->count = 0;
    return h;
}

/* ---- joining and leaving ---- */

static void test_joining(void **state) {
    (void)state;
    struct fixture *f = connected();
    join(f, "r", "{'name':'ada'}");
    says(f, JOIN("r", ",'data':{'name':'ada'}"));
    reads(f, "r", "{'user':{'name':'ada','peerId':'$session'},'peers':{},'isLoading':true}");
    join(f, "r", "{'name':'late'}"); /* shown already */
    struct heard *h = watch(f, "r");
    told(h, 1, "{'user':{'name':'ada','peerId':'$session'},'peers':{},'isLoading':true}");
    expect_silence(f);
    receive(f, JOINED("r"));
    says(f, SET("r", "{'name':'ada'}"));
    expect_silence(f);
    receive(f, WHOLE("r", ENTRY("$session", "{'name':'ada'}") "," ENTRY("$b", "{'name':'bob'}")));
    told(h, 2,
         "{'user':{'name':'ada','peerId':'$session'},"
         "'peers':{'$b':{'name':'bob','peerId':'$b'}},'isLoading':false}");
    /* the last listener's end is the end of the stay */
    inst_reactor_unsubscribe(f->r, h->sub);
    says(f, LEAVE("r"));
    reads(f, "r", NULL);
    receive(f, LEFT("r"));
    expect_silence(f);
    fixture_free(f);
}

static void test_before_the_connection(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    join(f, "r", "{'a':1}");
    publish(f, "r", "{'b':2}");
    shout(f, "r", "t", "1");
    shout(f, "r", "t", "[2]");
    join(f, "gone", NULL);
    inst_reactor_leave_room(f->r, "gone");
    authenticate(f);
    says(f, JOIN("r", ",'data':{'a':1,'b':2}"));
    expect_silence(f);
    receive(f, JOINED("r"));
    says(f, SET("r", "{'a':1,'b':2}"));
    says(f, "{'op':'client-broadcast','room-id':'r','roomType':'chat','topic':'t','data':1}");
    says(f, "{'op':'client-broadcast','room-id':'r','roomType':'chat','topic':'t','data':[2]}");
    shout(f, "r", "t", "null");
    says(f, "{'op':'client-broadcast','room-id':'r','roomType':'chat','topic':'t','data':null}");
    expect_silence(f);
    fixture_free(f);
}

static void test_reconnecting(void **state) {
    (void)state;
    struct fixture *f = connected();
    struct heard *h = in_room(f);
    publish(f, "r", "{'me':1}");
    says(f, SET("r", "{'me':1}"));
    assert_int_equal(h->count, 1);
    inst_reactor_closed(f->r);
    told(h, 2,
         "{'user':{'me':1,'peerId':'$session'},'peers':{'$p':{'n':1,'peerId':'$p'}},"
         "'isLoading':true}");
    publish(f, "r", "{'me':2}");
    shout(f, "r", "t", "'kept'");
    expect_output(f, INST_OUTPUT_CONNECT);
    inst_reactor_opened(f->r);
    sent_op(f, "init");
    receive(f, "{'op':'init-ok','session-id':'$second','attrs':[]}");
    says(f, JOIN("r", ",'data':{'me':2}"));
    receive(f, JOINED("r"));
    says(f, SET("r", "{'me':2}"));
    says(f, "{'op':'client-broadcast','room-id':'r','roomType':'chat','topic':'t','data':'kept'}");
    receive(f, WHOLE("r", ENTRY("$second", "{'me':2}")));
    told(h, h->count, "{'user':{'me':2,'peerId':'$second'},'peers':{},'isLoading':false}");
    fixture_free(f);
}

/* The reactor replaces a connection that is still good: nothing of the old session is sent on it,
 * and all of it on the new one. */
static void test_replacing_the_connection(void **state) {
    (void)state;
    struct fixture *f = connected();
    struct heard *h = in_room(f);
    join(f, "left", NULL);
    says(f, JOIN("left", ""));
    inst_reactor_leave_room(f->r, "left");
    receive(f, "{'op':'app-status-changed','status':'disabled'}");
    receive(f, "{'op':'app-status-changed','status':'active'}");
    expect_output(f, INST_OUTPUT_CLOSE);
    authenticate(f);
    says(f, JOIN("r", ""));
    expect_silence(f);
    receive(f, JOINED("r"));
    receive(f, WHOLE("r", ENTRY("$q", "{}")));
    told(h, 2, "{'user':{'peerId':'$session'},'peers':{'$q':{'peerId':'$q'}},'isLoading':false}");
    fixture_free(f);
}

/* At most one join or leave waits for its answer; what is wanted then counts. */
static void test_changing_minds(void **state) {
    (void)state;
    struct fixture *f = connected();
    join(f, "r", NULL);
    says(f, JOIN("r", ""));
    inst_reactor_leave_room(f->r, "r");
    join(f, "r", "{'a':1}");
    inst_reactor_leave_room(f->r, "r");
    expect_silence(f);
    receive(f, JOINED("r"));
    says(f, LEAVE("r"));
    join(f, "r", "{'a':2}");
    expect_silence(f);
    receive(f, WHOLE("r", ENTRY("$p", "{}"))); /* of the stay that is over */
    receive(f, LEFT("r"));
    says(f, JOIN("r", ",'data':{'a':2}"));
    inst_reactor_leave_room(f->r, "r");
    receive(f, JOINED("r"));
    says(f, LEAVE("r"));
    receive(f, LEFT("r"));
    receive(f, JOINED("r"));
    receive(f, LEFT("r"));
    receive(f, WHOLE("r", ENTRY("$p", "{}")));
    expect_silence(f);
    reads(f, "r", NULL);
    fixture_free(f);
}

/* A join that is still unanswered showed what the former stay did: the new one shows nothing. */
static void test_a_former_stay_is_not_shown(void **state) {
    (void)state;
    struct fixture *f = connected();
    join(f, "r", "{'a':1}");
    says(f, JOIN("r", ",'data':{'a':1}"));
    inst_reactor_leave_room(f->r, "r");
    join(f, "r", NULL);
    receive(f, JOINED("r"));
    says(f, SET("r", "{}"));
    expect_silence(f);
    reconnect(f);
    says(f, JOIN("r", ""));
    receive(f, JOINED("r"));
    expect_silence(f);
    fixture_free(f);
}

/* Upstream may tell a quick leave and join as no change: the peers known before go on. */
static void test_peers_outlive_a_quick_return(void **state) {
    (void)state;
    struct fixture *f = connected();
    struct heard *h = in_room(f);
    inst_reactor_unsubscribe(f->r, h->sub);
    says(f, LEAVE("r"));
    h = watch(f, "r");
    assert_int_equal(h->count, 0);
    receive(f, EDITS("r", "[['$p','data','n'],'r',2]"));
    receive(f, LEFT("r"));
    says(f, JOIN("r", ""));
    receive(f, JOINED("r"));
    receive(f, EDITS("r", "[['$p','data','m'],'+',3]"));
    told(h, h->count,
         "{'user':{'peerId':'$session'},'peers':{'$p':{'n':2,'m':3,'peerId':'$p'}},"
         "'isLoading':false}");
    fixture_free(f);
}

static void test_staying_for_listeners(void **state) {
    (void)state;
    struct fixture *f = connected();
    struct heard *h = in_room(f), *other = watch(f, "r"), *topic = listen(f, "r", "t");
    inst_reactor_leave_room(f->r, "r");
    inst_reactor_unsubscribe(f->r, h->sub);
    inst_reactor_unsubscribe(f->r, other->sub);
    expect_silence(f);
    inst_reactor_unsubscribe(f->r, topic->sub);
    says(f, LEAVE("r"));
    inst_reactor_unsubscribe(f->r, topic->sub);
    expect_silence(f);
    fixture_free(f);
}

/* ---- presence ---- */

static void test_publishing(void **state) {
    (void)state;
    struct fixture *f = connected();
    struct heard *h = in_room(f);
    publish(f, "r", "{'a':1,'b':{'c':1}}");
    says(f, SET("r", "{'a':1,'b':{'c':1}}"));
    told(h, 1,
         "{'user':{'a':1,'b':{'c':1},'peerId':'$session'},"
         "'peers':{'$p':{'n':1,'peerId':'$p'}},'isLoading':false}");
    publish(f, "r", "{'a':null,'b':{'d':1}}");
    says(f, SET("r", "{'a':null,'b':{'d':1}}"));
    publish(f, "r", "{}");
    says(f, SET("r", "{'a':null,'b':{'d':1}}"));
    assert_int_equal(h->count, 2);
    struct inst_err err = {0};
    struct inst_value v = value_of(f, "[1]");
    assert_int_equal(inst_reactor_publish_presence(f->r, "r", &v, &err), INST_FAILED);
    assert_string_equal(err.message, "Presence must be an object, got object.");
    v = value_of(f, "{}");
    assert_int_equal(inst_reactor_publish_presence(f->r, "elsewhere", &v, &err), INST_FAILED);
    assert_string_equal(err.type, "validation-failed");
    assert_string_equal(err.message, "You have not entered this room yet.");
    assert_int_equal(inst_reactor_publish_topic(f->r, "elsewhere", "t", &v, &err), INST_FAILED);
    inst_err_clear(&err);
    expect_silence(f);
    fixture_free(f);
}

static void test_slices(void **state) {
    (void)state;
    struct fixture *f = connected();
    struct inst_value keys = value_of(f, "['a','peerId']"), peers = value_of(f, "['$p','$nobody']");
    struct inst_presence_options only_a = {.keys = &keys};
    struct inst_presence_options one = {.peers = &peers, .without_user = true};
    struct heard *a = watch_with(f, "r", &only_a), *p = watch_with(f, "r", &one);
    says(f, JOIN("r", ""));
    receive(f, JOINED("r"));
    receive(f, WHOLE("r", ENTRY("$p", "{'a':1,'b':1}") "," ENTRY("$q", "{'b':[1]}")));
    told(a, 1,
         "{'user':{'peerId':'$session'},'peers':{'$p':{'a':1,'peerId':'$p'},"
         "'$q':{'peerId':'$q'}},'isLoading':false}");
    told(p, 1, "{'peers':{'$p':{'a':1,'b':1,'peerId':'$p'}},'isLoading':false}");
    receive(f, EDITS("r", "[['$q','data','b'],'r',2]"));
    assert_int_equal(a->count + p->count, 2); /* neither sees it */
    receive(f, EDITS("r", "[['$p','data','b'],'r',2]"));
    assert_int_equal(a->count, 1);
    told(p, 2, "{'peers':{'$p':{'a':1,'b':2,'peerId':'$p'}},'isLoading':false}");
    receive(f, WHOLE("r", ENTRY("$p", "{'a':1,'b':2}") "," ENTRY("$q", "{'b':[1]}")));
    assert_int_equal(a->count + p->count, 3); /* the same again */
    receive(f, WHOLE("r", ENTRY("$q", "null")));
    told(a, 2, "{'user':{'peerId':'$session'},'peers':{'$q':{'peerId':'$q'}},'isLoading':false}");
    told(p, 3, "{'peers':{},'isLoading':false}");
    fixture_free(f);
}

/* ---- edits ---- */

static void test_edits(void **state) {
    (void)state;
    struct fixture *f = connected();
    struct heard *h = in_room(f);
    receive(f, EDITS("r", "[['$q'],'+',{'peer-id':'$q','data':{'l':[1,2]}}],"
                          "[['$p','data','n'],'-'],"       /* emptied, and there all the same */
                          "[['$q','data','l',1],'+','x']," /* in front of 2 */
                          "[['$q','data','l',0],'r','y']," /* [y,x,2] */
                          "[['$q','data','l',2],'-'],"     /* [y,x] */
                          "[['$q','data','o','deep',0],'+',1]" /* made on the way */));
    told(h, 1,
         "{'user':{'peerId':'$session'},'peers':{'$p':{'peerId':'$p'},"
         "'$q':{'l':['y','x'],'o':{'deep':[1]},'peerId':'$q'}},'isLoading':false}");
    receive(f, EDITS("r", "[['$q','data','o','deep',0],'-'],[['$q','data','l'],'-'],"
                          "[['$session','data','l',0],'+',1]," /* of ourselves */
                          "[['$q','user'],'r',{'id':'u'}]"));
    told(h, 2,
         "{'user':{'peerId':'$session'},'peers':{'$p':{'peerId':'$p'},"
         "'$q':{'o':{'deep':[]},'peerId':'$q'}},'isLoading':false}");
    receive(f, EDITS("r", "[['$p'],'-'],[['$q','data'],'r',{}],[['$nobody'],'-']"));
    told(h, 3, "{'user':{'peerId':'$session'},'peers':{'$q':{'peerId':'$q'}},'isLoading':false}");
    receive(f, EDITS("r", "[['$q','data'],'-']"));
    assert_int_equal(h->count, 3);
    receive(f, EDITS("r", "[[],'r',{" ENTRY("$s", "{'all':'new'}") "}]"));
    told(h, 4,
         "{'user':{'peerId':'$session'},'peers':{'$s':{'all':'new','peerId':'$s'}},"
         "'isLoading':false}");
    fixture_free(f);
}

static void test_nonsense(void **state) {
    static const char *const messages[] = {
        EDITS("r", "5"),
        EDITS("r", "[]"),
        EDITS("r", "[['$p']]"),
        EDITS("r", "['$p','+',1]"),
        EDITS("r", "[[7],'+',1]"),
        EDITS("r", "[['$p','data',-1],'+',1]"),
        EDITS("r", "[['$p','data',0.5],'+',1]"),
        EDITS("r", "[['$p','data',1e30],'+',1]"),
        EDITS("r", "[['$p','data',null],'+',1]"),
        EDITS("r", "[['$p','data','n'],'*',1]"),
        EDITS("r", "[['$p','data','n'],'++',1]"),
        EDITS("r", "[['$p','data','n'],7,1]"),
        "{'op':'patch-presence','room-id':'r'}",
        "{'op':'patch-presence','room-id':'r','edits':{}}",
        "{'op':'patch-presence','edits':[]}",
        "{'op':'refresh-presence','room-id':'r','data':[]}",
        "{'op':'refresh-presence','room-id':7,'data':{}}",
        EDITS("elsewhere", "[['$p'],'-']"),
        WHOLE("elsewhere", ENTRY("$p", "{}")),
        JOINED("elsewhere"),
        LEFT("elsewhere"),
        SHOUT("elsewhere", "t", "$p", "1"),
        "{'op':'server-broadcast','room-id':'r','topic':'t'}",
        "{'op':'server-broadcast','room-id':'r'}",
        "{'op':'set-presence-ok','room-id':'r'}",
        "{'op':'client-broadcast-ok','room-id':'r'}",
        LEFT("r"), /* nobody asked */
        JOINED("r"),
    };
    (void)state;
    struct fixture *f = connected();
    struct heard *h = in_room(f), *topic = listen(f, "r", "t");
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        receive(f, messages[i]);
    }
    assert_int_equal(h->count, 0);
    assert_int_equal(topic->count, 1); /* the one without data */
    expect_silence(f);
    reads(f, "r",
          "{'user':{'peerId':'$session'},'peers':{'$p':{'n':1,'peerId':'$p'}},"
          "'isLoading':false}");
    fixture_free(f);
}

/* What an edit cannot reach it leaves alone; an index past the end is the end. */
static void test_patch(void **state) {
    static const struct {
        const char *root, *path;
        char op;
        const char *value, *result;
    } cases[] = {
        {"{'a':1}", "['b']", '+', "2", "{'a':1,'b':2}"},
        {"{'a':1}", "['a']", '+', "2", "{'a':2}"},
        {"{'a':1}", "['a']", '-', "0", "{}"},
        {"{'a':1}", "['b']", '-', "0", "{'a':1}"},
        {"{'b':1}", "['7']", '+', "2", "{'7':2,'b':1}"},
        {"{'b':1}", "[7]", '+', "2", "{'7':2,'b':1}"},
        {"{'7':1}", "[7]", '-', "0", "{}"},
        {"{'a':{'b':1}}", "['a','b']", '-', "0", "{'a':{}}"},
        {"{'a':1}", "['a','b']", '-', "0", "{'a':1}"},
        {"{'a':1}", "['a','b']", '+', "2", "{'a':{'b':2}}"},
        {"{'a':null}", "['a',0]", 'r', "2", "{'a':[2]}"},
        {"{}", "['a',3,'b']", '+', "1", "{'a':[{'b':1}]}"},
        {"[1,2,3]", "[0]", '+', "0", "[0,1,2,3]"},
        {"[1,2,3]", "[3]", '+', "4", "[1,2,3,4]"},
        {"[1,2,3]", "[4294967294]", '+', "4", "[1,2,3,4]"},
        {"[1,2,3]", "[9]", 'r', "4", "[1,2,3,4]"},
        {"[1,2,3]", "[1]", 'r', "4", "[1,4,3]"},
        {"[1,2,3]", "['1']", 'r', "4", "[1,4,3]"},
        {"[1,2,3]", "[2]", '-', "0", "[1,2]"},
        {"[1,2,3]", "[3]", '-', "0", "[1,2,3]"},
        {"[1]", "[0]", '-', "0", "[]"},
        {"[]", "[0]", '-', "0", "[]"},
        {"[]", "[0]", '+', "{}", "[{}]"},
        {"[[1],[2]]", "[1,0]", '-', "0", "[[1],[]]"},
        {"[1]", "['x']", '+', "2", "[1]"},
        {"[1]", "['x','y']", '+', "2", "[1]"},
        {"5", "['x']", '+', "2", "{'x':2}"},
        {"'text'", "[0]", '+', "2", "[2]"},
        {"'text'", "[0]", '-', "0", "'text'"},
    };
    (void)state;
    struct fixture *f = fixture_new(NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct inst_value root = value_of(f, cases[i].root), before = root;
        struct inst_value path = value_of(f, cases[i].path), value = value_of(f, cases[i].value);
        char *former = json_of(f, &root);
        assert_true(
            inst_patch_apply(&f->arena, &root, path.u.items, path.len, cases[i].op, &value));
        check_json(f, &root, cases[i].result);
        assert_string_equal(json_of(f, &before), former); /* never changed in place */
    }
    fixture_free(f);
}

/* Thousands of edits of one peer do not pile up. */
static void test_edits_are_compacted(void **state) {
    (void)state;
    struct fixture *f = connected();
    struct heard *h = in_room(f);
    inst_reactor_unsubscribe(f->r, h->sub);
    join(f, "r", NULL);
    for (int i = 0; i < 20000; i++) {
        receivef(f, EDITS("r", "[['$p','data','text'],'%c','%064d']"), i ? 'r' : '+', i);
    }
    assert_true(f->r->first_room->first_peer->arena.total < 200000);
    fixture_free(f);
}

/* ---- topics ---- */

static void test_topics(void **state) {
    (void)state;
    struct fixture *f = connected();
    struct heard *h = in_room(f), *t = listen(f, "r", "t"), *u = listen(f, "r", "u");
    receive(f, SHOUT("r", "t", "$p", "{'x':[1]}"));
    assert_int_equal(t->count, 1);
    assert_int_equal(u->count + h->count, 0);
    assert_string_equal(t->data, "{\"x\":[1]}");
    assert_string_equal(t->peer, "{\"n\":1}");
    receive(f, SHOUT("r", "t", "$stranger", "null"));
    assert_string_equal(t->data, "null");
    assert_null(t->peer);
    publish(f, "r", "{'me':1}");
    receive(f, SHOUT("r", "t", "$session", "1")); /* upstream never sends it; it would be ours */
    assert_string_equal(t->peer, "{\"me\":1}");
    inst_reactor_unsubscribe(f->r, t->sub);
    receive(f, SHOUT("r", "t", "$p", "2"));
    assert_int_equal(t->count, 3);
    /* the peer is who it was when the message came */
    receive(f, "[" SHOUT("r", "u", "$p", "1") "," EDITS("r", "[['$p','data','n'],'r',2]") "]");
    assert_string_equal(u->peer, "{\"n\":1}");
    fixture_free(f);
}

static void test_what_waits_is_bounded(void **state) {
    (void)state;
    struct fixture *f = fixture_new(NULL);
    struct inst_err err = {0};
    char *large = malloc(1 << 20);
    memset(large, 'x', 1 << 20);
    struct inst_value v = inst_string(large, 1 << 20);
    join(f, "r", NULL);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(inst_reactor_publish_topic(f->r, "r", "t", &v, &err), INST_OK);
    }
    assert_int_equal(inst_reactor_publish_topic(f->r, "r", "t", &v, &err), INST_FAILED);
    assert_string_equal(err.type, "limit-exceeded");
    inst_err_clear(&err);
    free(large);
    char room[20];
    for (int i = 1; i < INST_REACTOR_MAX_ROOMS; i++) {
        snprintf(room, sizeof(room), "r%d", i);
        join(f, room, NULL);
    }
    assert_int_equal(inst_reactor_join_room(f->r, "chat", "more", NULL, &err), INST_FAILED);
    assert_string_equal(err.type, "limit-exceeded");
    join(f, "r7", NULL);
    inst_reactor_leave_room(f->r, "r7");
    join(f, "more", NULL);
    inst_err_clear(&err);
    fixture_free(f);
}

/* ---- callbacks ---- */

static void stop_self(struct heard *h) { inst_reactor_unsubscribe(h->f->r, h->sub); }

static void test_ending_inside(void **state) {
    (void)state;
    struct fixture *f = connected();
    struct heard *h = in_room(f), *other = watch(f, "r");
    h->then = stop_self;
    receive(f, EDITS("r", "[['$p','data','n'],'r',2]"));
    assert_int_equal(h->count, 1);
    assert_int_equal(other->count, 2);
    other->then = stop_self; /* the last one: the room is left from inside its own call */
    receive(f, EDITS("r", "[['$p','data','n'],'r',3]"));
    assert_int_equal(h->count, 1);
    assert_int_equal(other->count, 3);
    says(f, LEAVE("r"));
    struct heard *t = listen(f, "s", "t");
    says(f, JOIN("s", ""));
    receive(f, JOINED("s"));
    t->then = stop_self;
    receive(f, "[" SHOUT("s", "t", "$p", "1") "," SHOUT("s", "t", "$p", "2") "]");
    assert_int_equal(t->count, 1);
    says(f, LEAVE("s"));
    fixture_free(f);
}

static void shut_down(struct heard *h) { inst_reactor_shutdown(h->f->r); }

static void test_shutdown(void **state) {
    (void)state;
    struct fixture *f = connected();
    struct heard *h = in_room(f), *other = watch(f, "r");
    int before = other->count;
    h->then = shut_down;
    receive(f, EDITS("r", "[['$p','data','n'],'r',2]"));
    assert_int_equal(h->count, 1);
    assert_int_equal(other->count, before);
    struct inst_err err = {0};
    uint64_t id = 5;
    assert_int_equal(inst_reactor_join_room(f->r, "t", "r", NULL, &err), INST_FAILED);
    assert_string_equal(err.type, "shutdown");
    assert_int_equal(
        inst_reactor_subscribe_presence(f->r, "t", "r", NULL, on_presence, h, &id, &err),
        INST_FAILED);
    assert_int_equal(id, 0);
    assert_int_equal(inst_reactor_publish_topic(f->r, "r", "t", NULL, &err), INST_FAILED);
    inst_reactor_leave_room(f->r, "r");
    reads(f, "r", NULL);
    inst_err_clear(&err);
    fixture_free(f);
}

/* ---- errors ---- */

#define REFUSED(op, room)                                                                          \
    "{'op':'error','type':'validation-failed','message':'no','status':400,'original-event':{"      \
    "'op':'" op "','room-id':'" room "'}}"

static void test_refusals(void **state) {
    (void)state;
    struct fixture *f = connected();
    struct heard *h = watch(f, "r");
    says(f, JOIN("r", ""));
    receive(f, REFUSED("join-room", "r"));
    told(h, 1, "{'user':{'peerId':'$session'},'peers':{},'isLoading':true,'error':'no'}");
    publish(f, "r", "{'a':1}"); /* waits */
    expect_silence(f);
    reconnect(f);
    says(f, JOIN("r", ",'data':{'a':1}"));
    receive(f, JOINED("r"));
    says(f, SET("r", "{'a':1}"));
    told(h, h->count,
         "{'user':{'a':1,'peerId':'$session'},'peers':{},'isLoading':true,"
         "'error':'no'}"); /* nothing of the room was heard yet */
    receive(f, WHOLE("r", ENTRY("$session", "{'a':1}")));
    told(h, h->count, "{'user':{'a':1,'peerId':'$session'},'peers':{},'isLoading':false}");
    int count = h->count;
    receive(f, REFUSED("set-presence", "r"));
    told(h, count + 1,
         "{'user':{'a':1,'peerId':'$session'},'peers':{},'isLoading':false,"
         "'error':'no'}");
    receive(f, "{'op':'set-presence-ok','room-id':'r'}");
    told(h, count + 2, "{'user':{'a':1,'peerId':'$session'},'peers':{},'isLoading':false}");
    receive(f, "{'op':'join-room-error','room-id':'r','error':'full'}");
    told(h, count + 3,
         "{'user':{'a':1,'peerId':'$session'},'peers':{},'isLoading':false,"
         "'error':'full'}");
    receive(f, REFUSED("client-broadcast", "elsewhere"));
    inst_reactor_unsubscribe(f->r, h->sub);
    says(f, LEAVE("r"));
    receive(f, REFUSED("leave-room", "r"));
    join(f, "r", NULL);
    says(f, JOIN("r", ""));
    inst_reactor_leave_room(f->r, "r");
    receive(f, REFUSED("join-room", "r"));
    reads(f, "r", NULL);
    expect_silence(f);
    fixture_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joining),
        cmocka_unit_test(test_before_the_connection),
        cmocka_unit_test(test_reconnecting),
        cmocka_unit_test(test_replacing_the_connection),
        cmocka_unit_test(test_changing_minds),
        cmocka_unit_test(test_a_former_stay_is_not_shown),
        cmocka_unit_test(test_peers_outlive_a_quick_return),
        cmocka_unit_test(test_staying_for_listeners),
        cmocka_unit_test(test_publishing),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_edits),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_patch),
        cmocka_unit_test(test_edits_are_compacted),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_what_waits_is_bounded),
        cmocka_unit_test(test_ending_inside),
        cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
