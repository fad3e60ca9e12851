#include "server/users.h"

#include "base/date.h"
#include "base/digest.h"
#include "base/json.h"
#include "server/permissions.h"
#include "server/refusal.h"
#include "server/rows.h"

/* ---- e-mail addresses: the original's pattern ---- */

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

static bool is_local(char c) {
    return is_letter(c) || (c != '\0' && strchr("!#$%&'*+/=?^_`{|}~-", c));
}

/* Atoms with a dot between each two. */
static bool is_local_part(const char *text, size_t len) {
    bool wants_atom = true;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '.' && !is_local(text[i]))
            return false;
        if (text[i] == '.' && wants_atom)
            return false;
        wants_atom = text[i] == '.';
    }
    return !wants_atom;
}

/* Two labels or more, each with a letter or digit at both ends. */
static bool is_domain(const char *text, size_t len) {
    size_t dots = 0;
    for (size_t i = 0; i < len; i++) {
        bool is_start = i == 0 || text[i - 1] == '.';
        bool is_end = i + 1 == len || text[i + 1] == '.';
        if (text[i] == '.') {
            if (is_start || is_end)
                return false;
            dots++;
        } else if (!is_letter(text[i]) && (text[i] != '-' || is_start || is_end)) {
            return false;
        }
    }
    return dots > 0;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool inst_email_read(const char *text, size_t len, char out[INST_USERS_MAX_EMAIL + 1]) {
    while (len > 0 && is_space(text[0])) {
        text++;
        len--;
    }
    while (len > 0 && is_space(text[len - 1]))
        len--;
    if (len > INST_USERS_MAX_EMAIL)
        return false;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
    out[len] = '\0';
    const char *at = memchr(out, '@', len);
    if (at == NULL)
        return false;
    size_t local = (size_t)(at - out);
    return is_local_part(out, local) && is_domain(at + 1, len - local - 1);
}

/* ---- finding ---- */

static void hash_token(const struct inst_uuid *token, char out[INST_SHA256_HEX + 1]) {
    inst_sha256_hex(token->bytes, sizeof token->bytes, out);
}

/* The row of a token. The index narrowed it down; what was found is compared whatever that did. */
static enum inst_status find_token(struct inst_app *app, const struct inst_uuid *token, uint32_t *e,
                                   struct inst_err *err) {
    char hash[INST_SHA256_HEX + 1];
    struct inst_value kept;
    hash_token(token, hash);
    struct inst_value v = inst_string(hash, INST_SHA256_HEX);
    enum inst_status st = inst_row_find(app, "$userRefreshTokens", "hashedToken", &v, e, err);
    if (st != INST_OK || *e == 0)
        return st;
    st = inst_row_value(app, *e, "$userRefreshTokens", "hashedToken", &kept, err);
    if (st == INST_OK && (kept.tag != INST_STRING || kept.len != INST_SHA256_HEX ||
                          !inst_secret_equal(kept.u.str, hash, INST_SHA256_HEX)))
        *e = 0;
    return st;
}

/* *user is 0 unless it is one. */
static enum inst_status keep_user(struct inst_app *app, uint32_t *user, struct inst_err *err) {
    int64_t created = INST_NO_TIME;
    enum inst_status st = INST_OK;
    if (*user != 0)
        st = inst_row_time(app, *user, "$users", &created, err);
    if (created == INST_NO_TIME)
        *user = 0;
    return st;
}

enum inst_status inst_user_by_token(struct inst_app *app, const struct inst_uuid *token,
                                    uint32_t *user, struct inst_err *err) {
    uint32_t e;
    *user = 0;
    enum inst_status st = find_token(app, token, &e, err);
    if (st == INST_OK)
        st = inst_row_link(app, e, "$userRefreshTokens", "$user", user, err);
    return st == INST_OK ? keep_user(app, user, err) : st;
}

enum inst_status inst_user_by_email(struct inst_app *app, const char *email, uint32_t *user,
                                    struct inst_err *err) {
    struct inst_value v = inst_cstring(email);
    enum inst_status st = inst_row_find(app, "$users", "email", &v, user, err);
    return st == INST_OK ? keep_user(app, user, err) : st;
}

enum inst_status inst_user_by_id(struct inst_app *app, const char *id, uint32_t *user,
                                 struct inst_err *err) {
    *user = app->db->store.ops->entity(&app->db->store, id, strlen(id));
    return keep_user(app, user, err);
}

enum inst_status inst_user_refuse(struct inst_err *err) {
    return inst_refuse_not_found(err, "app-user", "[{}]");
}

/* ---- what others are shown ---- */

/* Computed, so that no attr may stand in their place. */
static bool is_computed(const struct inst_value *label) {
    static const char *const names[] = {"app_id", "created_at", "isGuest", "refresh_token"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (inst_is_string(label, names[i]))
            return true;
    return false;
}

struct writing {
    struct inst_app *app;
    uint32_t user;
    struct inst_buf *out;
    bool is_guest;
    bool has_email;
    int64_t created;
};

static enum inst_status write_attr(struct writing *w, const struct inst_attr *attr,
                                   struct inst_err *err) {
    struct inst_store *store = &w->app->db->store;
    const struct inst_value *label = &attr->forward.label;
    struct inst_scan scan = {.attr = attr, .e = w->user};
    struct inst_cursor cursor;
    struct inst_triple triple;
    if (is_computed(label) || (attr->is_ref && attr->is_many))
        return INST_OK;
    enum inst_status st = store->ops->scan(store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    int got = store->ops->next(&cursor, &triple, err);
    if (got == 1) {
        struct inst_value id, *v = &triple.v;
        if (inst_attr_names_entity(attr)) {
            id = store->ops->entity_id(store, triple.ref);
            v = &id;
        }
        inst_buf_add_char(w->out, ',');
        inst_json_write(w->out, label);
        inst_buf_add_char(w->out, ':');
        inst_json_write(w->out, v);
        if (inst_is_string(label, "id"))
            w->created = triple.t;
        if (attr->is_system && inst_is_string(label, "type"))
            w->is_guest = inst_is_string(v, "guest");
        w->has_email = w->has_email || inst_is_string(label, "email");
    }
    store->ops->close(&cursor);
    return got < 0 ? INST_FAILED : INST_OK;
}

/* Second precision (http.md 1.1). */
static void write_time(struct inst_buf *out, int64_t ms) {
    char text[INST_DATE_TEXT_MAX];
    size_t len = inst_date_iso((double)ms, text);
    inst_buf_add_str(out, ",\"created_at\":\"");
    inst_buf_add(out, text, len > 5 ? len - 5 : len);
    inst_buf_add_str(out, "Z\"");
}

enum inst_status inst_user_write(struct inst_app *app, uint32_t user, const struct inst_uuid *token,
                                 struct inst_buf *out, struct inst_err *err) {
    struct writing w = {.app = app, .user = user, .out = out, .created = INST_NO_TIME};
    const struct inst_attr *const *attrs;
    char text[INST_UUID_TEXT + 1];
    enum inst_status st = INST_OK;
    size_t count = inst_attrs_of(app->db->store.attrs, "$users", 6, &attrs);
    inst_buf_addf(out, "{\"app_id\":\"%s\"", app->info.id);
    for (size_t i = 0; st == INST_OK && i < count; i++)
        st = write_attr(&w, attrs[i], err);
    if (st != INST_OK)
        return st;
    if (!w.has_email)
        inst_buf_add_str(out, ",\"email\":null");
    if (w.created != INST_NO_TIME)
        write_time(out, w.created);
    inst_buf_addf(out, ",\"isGuest\":%s", w.is_guest ? "true" : "false");
    if (token != NULL) {
        inst_uuid_print(token, text);
        inst_buf_addf(out, ",\"refresh_token\":\"%s\"", text);
        inst_wipe(text, sizeof text);
    }
    inst_buf_add_char(out, '}');
    return out->failed ? inst_err_nomem(err) : INST_OK;
}

enum inst_status inst_user_is_guest(struct inst_app *app, uint32_t user, bool *is_guest,
                                    struct inst_err *err) {
    struct inst_value type;
    enum inst_status st = inst_row_value(app, user, "$users", "type", &type, err);
    *is_guest = st == INST_OK && inst_is_string(&type, "guest");
    return st;
}

/* ---- making ---- */

static enum inst_status refuse_extra(const struct inst_value *fields, struct inst_err *err,
                                     const char *fmt, const struct inst_member *field) {
    struct inst_buf text;
    inst_buf_init(&text);
    inst_buf_addf(&text, fmt, (int)field->key_len, field->key);
    enum inst_status st =
        text.failed ? inst_err_nomem(err)
                    : inst_refuse_validation(err, "extra-fields", fields, NULL, "%s", text.data);
    inst_buf_free(&text);
    return st;
}

static enum inst_status check_extra(struct inst_app *app, const struct inst_value *fields,
                                    struct inst_err *err) {
    static const char unknown[] = "Unknown field: %.*s. It must be defined in your $users schema.";
    for (uint32_t i = 0; fields != NULL && i < fields->len; i++) {
        const struct inst_member *field = &fields->u.members[i];
        const struct inst_attr *attr =
            inst_attrs_forward(app->db->store.attrs, "$users", 6, field->key, field->key_len);
        if (attr == NULL)
            return refuse_extra(fields, err, unknown, field);
        if (attr->is_system)
            return refuse_extra(fields, err, "Cannot set system field: %.*s", field);
    }
    return INST_OK;
}

/* `{id, email?, ...extra}`: what the rule sees as data, as new data and as auth. */
static bool make_record(struct inst_arena *arena, const struct inst_new_user *user,
                        struct inst_value *out) {
    const struct inst_value *fields = user->extra_fields;
    struct inst_object_builder b;
    inst_object_begin(&b, arena);
    inst_object_addz(&b, "id", inst_cstring(user->id));
    if (user->email != NULL)
        inst_object_addz(&b, "email", inst_cstring(user->email));
    for (uint32_t i = 0; fields != NULL && i < fields->len; i++)
        inst_object_add(&b, fields->u.members[i].key, fields->u.members[i].key_len,
                        fields->u.members[i].value);
    return inst_object_end(&b, out);
}

static enum inst_status ask_rule(struct inst_app *app, struct inst_rules *rules,
                                 const struct inst_new_user *user, bool *is_allowed,
                                 struct inst_err *err) {
    const struct inst_viewer nobody = {.from = user->from};
    struct inst_arena *arena = &app->server->scratch;
    struct inst_rule_input input = {.etype = inst_cstring("$users")};
    struct inst_permissions permissions;
    struct inst_value record;
    struct inst_cel_value value;
    const struct inst_rule *rule;
    if (!make_record(arena, user, &record))
        return inst_err_nomem(err);
    inst_permissions_init(&permissions, app, rules, &nobody, &app->db->store, arena);
    permissions.auth = input.data = input.new_data = &record;
    permissions.has_auth = true;
    enum inst_status st =
        inst_permissions_rule(&permissions, &input.etype, INST_RULE_CREATE, NULL, &rule, err);
    if (st == INST_OK)
        st = inst_permissions_evaluate(&permissions, rule, &input, &value, err);
    *is_allowed = st == INST_OK && inst_cel_allows(&value);
    inst_permissions_release(&permissions);
    return st;
}

/* Exactly `$users.allow.create` is asked (http.md 4.4). Without it anybody may sign up, but say
 * nothing more of himself. */
static enum inst_status check_rule(struct inst_app *app, const struct inst_new_user *user,
                                   struct inst_err *err) {
    struct inst_rules *rules;
    bool is_allowed = user->extra_fields == NULL || user->extra_fields->len == 0;
    enum inst_status st = inst_app_rules(app, &rules, err);
    if (st != INST_OK)
        return st;
    const struct inst_value *own = inst_getz(inst_rules_code(rules), "$users");
    const struct inst_value *allow = own != NULL ? inst_getz(own, "allow") : NULL;
    const struct inst_value *create = allow != NULL ? inst_getz(allow, "create") : NULL;
    if (create != NULL && !inst_is_nullish(create))
        st = ask_rule(app, rules, user, &is_allowed, err);
    return st != INST_OK || is_allowed ? st : inst_refuse_permission(err, "$users", "create");
}

enum inst_status inst_user_check_new(struct inst_app *app, const struct inst_new_user *user,
                                     struct inst_err *err) {
    enum inst_status st = check_extra(app, user->extra_fields, err);
    return st == INST_OK && !user->is_admin ? check_rule(app, user, err) : st;
}

static bool set_extra(struct inst_row_steps *steps, const struct inst_new_user *user) {
    const struct inst_value *fields = user->extra_fields;
    for (uint32_t i = 0; fields != NULL && i < fields->len; i++) {
        const struct inst_member *field = &fields->u.members[i];
        char *label = inst_arena_dup(&steps->app->server->scratch, field->key, field->key_len);
        if (label == NULL)
            return false;
        inst_row_set(steps, user->id, "$users", label, field->value);
    }
    return true;
}

enum inst_status inst_user_create(struct inst_app *app, const struct inst_new_user *user,
                                  struct inst_err *err) {
    struct inst_row_steps steps;
    inst_row_begin(&steps, app);
    inst_row_set(&steps, user->id, "$users", "id", inst_cstring(user->id));
    if (user->email != NULL)
        inst_row_set(&steps, user->id, "$users", "email", inst_cstring(user->email));
    if (user->type != NULL)
        inst_row_set(&steps, user->id, "$users", "type", inst_cstring(user->type));
    if (user->image_url != NULL)
        inst_row_set(&steps, user->id, "$users", "imageURL", inst_cstring(user->image_url));
    return set_extra(&steps, user) ? inst_row_write(&steps, err) : inst_err_nomem(err);
}

enum inst_status inst_user_link_guest(struct inst_app *app, const char *guest, const char *user,
                                      struct inst_err *err) {
    struct inst_row_steps steps;
    inst_row_begin(&steps, app);
    inst_row_set(&steps, guest, "$users", "linkedPrimaryUser", inst_cstring(user));
    return inst_row_write(&steps, err);
}

enum inst_status inst_user_delete(struct inst_app *app, uint32_t user, struct inst_err *err) {
    struct inst_row_steps steps;
    char id[INST_UUID_TEXT + 1];
    inst_row_begin(&steps, app);
    if (inst_row_id(app, user, id))
        inst_row_delete(&steps, id, "$users");
    return inst_row_write(&steps, err);
}

/* ---- refresh tokens ---- */

enum inst_status inst_token_create(struct inst_app *app, const char *user, struct inst_uuid *token,
                                   struct inst_err *err) {
    struct inst_row_steps steps;
    char id[INST_UUID_TEXT + 1], hash[INST_SHA256_HEX + 1];
    inst_uuid_make_text(app->server->env, id);
    inst_uuid_make(app->server->env, token);
    hash_token(token, hash);
    inst_row_begin(&steps, app);
    inst_row_set(&steps, id, "$userRefreshTokens", "id", inst_cstring(id));
    inst_row_set(&steps, id, "$userRefreshTokens", "hashedToken", inst_cstring(hash));
    inst_row_set(&steps, id, "$userRefreshTokens", "$user", inst_cstring(user));
    return inst_row_write(&steps, err);
}

static enum inst_status delete_tokens(struct inst_app *app, const uint32_t *tokens, size_t count,
                                      struct inst_err *err) {
    char(*ids)[INST_UUID_TEXT + 1] = inst_arena_alloc(&app->server->scratch, count * sizeof *ids);
    struct inst_row_steps steps;
    if (ids == NULL)
        return inst_err_nomem(err);
    inst_row_begin(&steps, app);
    steps.at_any_status = true; /* signing out always works (session.md 6.6) */
    for (size_t i = 0; i < count; i++)
        if (inst_row_id(app, tokens[i], ids[i]))
            inst_row_delete(&steps, ids[i], "$userRefreshTokens");
    return inst_row_write(&steps, err);
}

enum inst_status inst_token_delete(struct inst_app *app, const struct inst_uuid *token,
                                   struct inst_err *err) {
    uint32_t e;
    enum inst_status st = find_token(app, token, &e, err);
    return st == INST_OK && e != 0 ? delete_tokens(app, &e, 1, err) : st;
}

/* Tokens that are deleted at a time. */
#define TOKENS_AT_ONCE 500

enum inst_status inst_token_delete_all(struct inst_app *app, uint32_t user, struct inst_err *err) {
    uint32_t tokens[TOKENS_AT_ONCE];
    size_t count;
    enum inst_status st;
    do {
        st = inst_row_find_links(app, "$userRefreshTokens", "$user", user, tokens, TOKENS_AT_ONCE,
                                 &count, err);
        if (st == INST_OK && count > 0)
            st = delete_tokens(app, tokens, count, err);
    } while (st == INST_OK && count == TOKENS_AT_ONCE);
    return st;
}
