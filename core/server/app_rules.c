/* app_rules.c - where an app's rules are kept: as a note of its data file. */
#include "base/json.h"
#include "server/engine.h"
#include "server/permissions.h"
#include "server/refusal.h"

#define NOTE "rules"

static enum inst_status read_note(struct inst_app *app, struct inst_rules **out,
                                  struct inst_err *err) {
    struct inst_arena arena;
    struct inst_buf text;
    struct inst_value code = inst_null();
    bool found = false;
    inst_arena_init(&arena);
    inst_buf_init(&text);
    enum inst_status st = app->db->db_ops->get_note(app->db, NOTE, &text, &found, err);
    if (st == INST_OK && text.failed)
        st = inst_err_nomem(err);
    if (st == INST_OK && found)
        st = inst_json_parse(&arena, text.data, text.len, &code, err);
    if (st == INST_OK)
        st = inst_rules_new(&code, out, err);
    inst_buf_free(&text);
    inst_arena_free(&arena);
    return st;
}

enum inst_status inst_app_rules(struct inst_app *app, struct inst_rules **out,
                                struct inst_err *err) {
    enum inst_status st = INST_OK;
    if (app->rules == NULL)
        st = read_note(app, &app->rules, err);
    *out = app->rules;
    return st;
}

bool inst_app_has_rules(struct inst_app *app) { return inst_rules_code(app->rules)->len > 0; }

enum inst_status inst_check_rules(const struct inst_value *code, struct inst_arena *arena,
                                  struct inst_err *err) {
    struct inst_value errors;
    struct inst_buf text, list;
    enum inst_status st = inst_rules_validate(code, arena, &errors, err);
    if (st != INST_OK || errors.len == 0)
        return st;
    inst_buf_init(&text);
    inst_buf_init(&list);
    for (uint32_t i = 0; i < errors.len; i++) {
        const struct inst_value *message = inst_getz(&errors.u.items[i], "message");
        inst_buf_add_str(&text, i > 0 ? ", " : "");
        inst_buf_add(&text, message->u.str, message->len);
    }
    inst_buf_add_str(&list, "{\"data-type\":\"rule\",\"input\":");
    inst_write_bounded(&list, code);
    inst_buf_add_str(&list, ",\"errors\":");
    inst_json_write(&list, &errors);
    inst_buf_add_char(&list, '}');
    if (text.failed || list.failed) {
        st = inst_err_nomem(err);
    } else {
        st = inst_err_set(err, "validation-failed", 400, "Validation failed for rule: %s",
                          text.data);
        inst_err_hint(err, list.data);
    }
    inst_buf_free(&text);
    inst_buf_free(&list);
    return st;
}

enum inst_status inst_app_set_rules(struct inst_app *app, const struct inst_value *code,
                                    struct inst_err *err) {
    struct inst_rules *rules = NULL;
    struct inst_buf text;
    enum inst_status st = inst_check_rules(code, &app->server->scratch, err);
    if (st == INST_OK)
        st = inst_rules_new(code, &rules, err);
    if (st != INST_OK)
        return st;
    inst_buf_init(&text);
    inst_json_write(&text, inst_rules_code(rules));
    st = text.failed ? inst_err_nomem(err) : inst_app_set_note(app, NOTE, text.data, text.len, err);
    inst_buf_free(&text);
    if (st != INST_OK) {
        inst_rules_free(rules);
        return st;
    }
    inst_rules_free(app->rules);
    app->rules = rules;
    inst_live_rules_changed(app->live);
    return INST_OK;
}
