#include "server/viewer.h"

#include <stdio.h>
#include <string.h>

/* Upgraded guests of one user. */
#define MAX_GUESTS 1024

void inst_viewer_who(const struct inst_viewer *viewer, char out[INST_VIEWER_WHO_MAX]) {
    if (viewer->is_admin)
        snprintf(out, INST_VIEWER_WHO_MAX, "{\"admin\":true}");
    else if (viewer->user[0] != '\0')
        snprintf(out, INST_VIEWER_WHO_MAX, "{\"user\":\"%s\"}", viewer->user);
    else
        snprintf(out, INST_VIEWER_WHO_MAX, "null");
}

static enum inst_status read_guests(struct inst_view *view, const struct inst_attr *primary,
                                    struct inst_store *store, struct inst_arena *arena,
                                    struct inst_err *err) {
    struct inst_scan scan = {.attr = primary, .ref = view->user};
    struct inst_cursor cursor;
    struct inst_triple triple;
    int got;
    view->guests = inst_arena_alloc(arena, MAX_GUESTS * sizeof *view->guests);
    if (view->guests == NULL)
        return inst_err_nomem(err);
    enum inst_status st = store->ops->scan(store, &scan, &cursor, err);
    if (st != INST_OK)
        return st;
    while ((got = store->ops->next(&cursor, &triple, err)) == 1 && view->guest_count < MAX_GUESTS)
        view->guests[view->guest_count++] = triple.e;
    store->ops->close(&cursor);
    return got < 0 ? INST_FAILED : INST_OK;
}

enum inst_status inst_view_begin(struct inst_view *view, const char *user, struct inst_store *store,
                                 struct inst_arena *arena, struct inst_err *err) {
    *view = (struct inst_view){0};
    if (user[0] != '\0')
        view->user = store->ops->entity(store, user, strlen(user));
    const struct inst_attr *primary =
        inst_attrs_forward(store->attrs, "$users", 6, "linkedPrimaryUser", 17);
    return view->user != 0 && primary != NULL ? read_guests(view, primary, store, arena, err)
                                              : INST_OK;
}

int inst_view_shows(void *ctx, const struct inst_attr *attr, const struct inst_triple *triple,
                    struct inst_err *err) {
    const struct inst_view *view = ctx;
    const struct inst_value *etype = &attr->forward.etype;
    (void)err;
    if (etype->len == 0 || etype->u.str[0] != '$')
        return 1;
    if (view->user == 0 || !inst_is_string(etype, "$users"))
        return 0;
    if (triple->e == view->user)
        return 1;
    for (size_t i = 0; i < view->guest_count; i++)
        if (view->guests[i] == triple->e)
            return 1;
    return 0;
}
