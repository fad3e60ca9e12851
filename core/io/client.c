#include "io/client.h"

#include <stdlib.h>
#include <string.h>

struct inst_client {
    struct inst_driver *driver;
    struct inst_driver *own; /* NULL: not needed so far, or the same */
    uint64_t instance;       /* in the driver's reactor */
    bool is_shut;
};

enum inst_status inst_client_new(struct inst_loop *loop, const struct inst_client_config *config,
                                 struct inst_client **out, struct inst_err *err) {
    struct inst_client *client = calloc(1, sizeof *client);
    if (!client) {
        if (config->disk)
            config->disk->ops->close(config->disk);
        return inst_err_nomem(err);
    }
    enum inst_status status =
        inst_driver_join(loop, config, &client->driver, &client->instance, err);
    if (status != INST_OK) {
        free(client);
        return status;
    }
    *out = client;
    return INST_OK;
}

struct inst_reactor *inst_client_reactor(struct inst_client *client) {
    struct inst_reactor *reactor = inst_driver_reactor(client->driver);
    inst_reactor_set_instance(reactor, client->instance);
    return reactor;
}

/* Who is signed in is the same on both connections. */
static void on_user(void *ctx, const struct inst_value *user) {
    struct inst_client *client = ctx;
    const struct inst_value *token = user ? inst_get_string(user, "refresh_token") : NULL;
    char *text = token ? strndup(token->u.str, token->len) : NULL;
    if (text || !token)
        inst_reactor_set_refresh_token(inst_driver_reactor(client->own), text, NULL);
    free(text);
}

static enum inst_status make_own(struct inst_client *client, struct inst_err *err) {
    uint64_t id;
    enum inst_status status = inst_driver_sibling(client->driver, &client->own, err);
    if (status != INST_OK)
        return status;
    status = inst_reactor_subscribe_user(inst_client_reactor(client), on_user, client, &id, err);
    if (status != INST_OK) {
        inst_driver_forget(client->own, 1);
        inst_driver_release(client->own);
        client->own = NULL;
    }
    return status;
}

struct inst_reactor *inst_client_own_reactor(struct inst_client *client, struct inst_err *err) {
    if (client->own)
        return inst_driver_reactor(client->own);
    if (inst_driver_seclude(client->driver))
        return inst_client_reactor(client);
    return make_own(client, err) == INST_OK ? inst_driver_reactor(client->own) : NULL;
}

void inst_client_set_online(struct inst_client *client, bool is_online) {
    inst_reactor_set_online(inst_driver_reactor(client->driver), is_online);
    if (client->own)
        inst_reactor_set_online(inst_driver_reactor(client->own), is_online);
}

static bool is_user(struct inst_client *client, const struct inst_value *user) {
    const struct inst_value *now = inst_reactor_user(inst_driver_reactor(client->driver));
    if (!now || !user || inst_is_nullish(user))
        return !now && (!user || inst_is_nullish(user));
    return inst_value_equal(now, user);
}

/* The others stay who they are. */
static enum inst_status part(struct inst_client *client, struct inst_err *err) {
    struct inst_driver *driver;
    enum inst_status status = inst_driver_sibling(client->driver, &driver, err);
    if (status != INST_OK)
        return status;
    status = inst_reactor_move_instance(inst_driver_reactor(client->driver), client->instance,
                                        inst_driver_reactor(driver), err);
    if (status != INST_OK) {
        inst_driver_release(driver);
        return status;
    }
    inst_driver_leave(client->driver, client->instance);
    inst_driver_release(client->driver); /* of the others, who have not left */
    client->driver = driver;
    client->instance = 1;
    return INST_OK;
}

enum inst_status inst_client_set_user(struct inst_client *client, const struct inst_value *user,
                                      struct inst_err *err) {
    enum inst_status status = INST_OK;
    if (client->is_shut)
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    bool is_alone = inst_driver_has_storage(client->driver) || is_user(client, user) ||
                    inst_driver_seclude(client->driver);
    if (!is_alone)
        status = part(client, err);
    if (status == INST_OK && client->own)
        status = inst_reactor_set_user(inst_driver_reactor(client->own), user, err);
    return status == INST_OK ? inst_reactor_set_user(inst_client_reactor(client), user, err)
                             : status;
}

enum inst_status inst_client_set_schema(struct inst_client *client, const struct inst_value *schema,
                                        struct inst_err *err) {
    if (client->is_shut)
        return inst_err_set(err, "shutdown", 0, "The client was shut down.");
    bool is_alone = inst_driver_has_storage(client->driver) || inst_driver_seclude(client->driver);
    enum inst_status status = is_alone ? INST_OK : part(client, err);
    return status == INST_OK ? inst_reactor_set_schema(inst_client_reactor(client), schema, err)
                             : status;
}

void inst_client_shutdown(struct inst_client *client) {
    if (client->is_shut)
        return;
    client->is_shut = true;
    if (client->own)
        inst_driver_leave(client->own, 1);
    inst_driver_leave(client->driver, client->instance);
}

bool inst_client_is_finished(const struct inst_client *client) {
    return client->is_shut && inst_driver_is_finished(client->driver);
}

void inst_client_free(struct inst_client *client) {
    if (!client)
        return;
    if (!client->is_shut) {
        if (client->own)
            inst_driver_forget(client->own, 1);
        inst_driver_forget(client->driver, client->instance);
    }
    inst_driver_release(client->own);
    inst_driver_release(client->driver);
    free(client);
}
