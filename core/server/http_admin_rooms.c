/* GET /admin/rooms/presence (http.md 6.4): who is in a room, with whole users. */
#include "base/json.h"
#include "server/http_routes.h"
#include "server/refusal.h"
#include "server/rooms.h"
#include "server/users.h"

static enum inst_status read_name(const struct inst_http_request *request, const char *name,
                                  struct inst_arena *arena, const char **out,
                                  struct inst_err *err) {
    const char *const path[] = {"params", name};
    enum inst_status st = inst_http_param(request, name, arena, out, err);
    if (st != INST_OK)
        return st;
    if (*out == NULL)
        return inst_refuse_missing(err, path, 2);
    struct inst_value input = inst_cstring(*out);
    return (*out)[strspn(*out, " \t\r\n")] != '\0' ? INST_OK
                                                   : inst_refuse_malformed(err, path, 2, &input);
}

/* A room shows of a user the id; an admin is given all of it, null when it is gone. */
static enum inst_status write_user(struct inst_app *app, const struct inst_value *user,
                                   struct inst_buf *out, struct inst_err *err) {
    const struct inst_value *id = inst_get_string(user, "id");
    char text[INST_UUID_TEXT + 1] = "";
    uint32_t e = 0;
    enum inst_status st = INST_OK;
    if (id != NULL && id->len == INST_UUID_TEXT) {
        memcpy(text, id->u.str, INST_UUID_TEXT);
        st = inst_user_by_id(app, text, &e, err);
    }
    if (st == INST_OK && e != 0)
        return inst_user_write(app, e, NULL, out, err);
    if (st == INST_OK)
        inst_buf_add_str(out, "null");
    return st;
}

static enum inst_status write_peer(struct inst_app *app, const struct inst_value *peer,
                                   struct inst_buf *out, struct inst_err *err) {
    enum inst_status st = INST_OK;
    inst_buf_add_char(out, '{');
    for (uint32_t i = 0; st == INST_OK && i < peer->len; i++) {
        const struct inst_member *m = &peer->u.members[i];
        if (i > 0)
            inst_buf_add_char(out, ',');
        inst_json_write_string(out, m->key, m->key_len);
        inst_buf_add_char(out, ':');
        if (m->key_len == 4 && memcmp(m->key, "user", 4) == 0)
            st = write_user(app, &m->value, out, err);
        else
            inst_json_write(out, &m->value);
    }
    inst_buf_add_char(out, '}');
    return st;
}

static enum inst_status answer_presence(struct inst_server *server,
                                        const struct inst_http_request *request,
                                        struct inst_http_response *response, struct inst_err *err) {
    struct inst_arena *arena = &server->scratch;
    const char *type, *id;
    struct inst_app *app;
    struct inst_buf text;
    struct inst_value room;
    enum inst_status st;
    if ((st = inst_http_admin_app(server, request, &app, err)) != INST_OK ||
        (st = read_name(request, "room-type", arena, &type, err)) != INST_OK ||
        (st = read_name(request, "room-id", arena, &id, err)) != INST_OK)
        return st;
    inst_buf_init(&text);
    inst_rooms_write(app, id, strlen(id), &text);
    st =
        text.failed ? inst_err_nomem(err) : inst_json_parse(arena, text.data, text.len, &room, err);
    inst_buf_free(&text);
    inst_buf_add_str(&response->body, "{\"sessions\":{");
    for (uint32_t i = 0; st == INST_OK && i < room.len; i++) {
        const struct inst_member *m = &room.u.members[i];
        if (i > 0)
            inst_buf_add_char(&response->body, ',');
        inst_json_write_string(&response->body, m->key, m->key_len);
        inst_buf_add_char(&response->body, ':');
        st = write_peer(app, &m->value, &response->body, err);
    }
    inst_buf_add_str(&response->body, "}}");
    return st;
}

const struct inst_http_route inst_http_admin_rooms_routes[] = {
    {"GET", "/admin/rooms/presence", answer_presence},
    {NULL, NULL, NULL},
};
