#include "io/http_peers.h"

#include "base/text.h"
#include "rules/rate_limit.h"
#include "server/table.h"

#include <stdlib.h>
#include <string.h>

struct inst_http_peer {
    struct inst_table_key key;
    size_t count;
};

struct inst_http_peers {
    const struct inst_env *env;
    struct inst_http_peers_config config;
    uint64_t seed;
    struct inst_table by_ip; /* -> struct inst_http_peer */
    size_t count;
    struct inst_rate_limits *rates; /* NULL: no limit */
    struct inst_rate_limit_config rate;
};

enum inst_status inst_http_peers_new(const struct inst_env *env,
                                     const struct inst_http_peers_config *config,
                                     struct inst_http_peers **out, struct inst_err *err) {
    struct inst_http_peers *peers = calloc(1, sizeof *peers);
    if (!peers)
        return inst_err_nomem(err);
    peers->env = env;
    peers->config = *config;
    env->random(env->ctx, (uint8_t *)&peers->seed, sizeof peers->seed);
    inst_table_init(&peers->by_ip);
    peers->rate.count = 1;
    peers->rate.limits[0] = (struct inst_rate_limit){
        .capacity = config->rate * INST_HTTP_RATE_BURST_S,
        .amount = config->rate * INST_HTTP_RATE_BURST_S,
        .period_ms = 1000 * INST_HTTP_RATE_BURST_S,
    };
    /* Less than one token would never let anything pass. */
    if (peers->rate.limits[0].capacity < 1)
        peers->rate.limits[0].capacity = 1;
    if (config->rate > 0 && inst_rate_limits_new(peers->seed, &peers->rates, err) != INST_OK) {
        free(peers);
        return INST_FAILED;
    }
    *out = peers;
    return INST_OK;
}

void inst_http_peers_free(struct inst_http_peers *peers) {
    if (!peers)
        return;
    inst_rate_limits_free(peers->rates);
    inst_table_free(&peers->by_ip);
    free(peers);
}

static struct inst_table_key key_of(const struct inst_http_peers *peers, const char *ip) {
    size_t len = strlen(ip);
    return (struct inst_table_key){inst_text_hash(ip, len, peers->seed),
                                   inst_text_hash(ip, len, ~peers->seed)};
}

static struct inst_http_peer *find_or_add(struct inst_http_peers *peers, const char *ip) {
    struct inst_table_key key = key_of(peers, ip);
    struct inst_http_peer *peer = inst_table_get(&peers->by_ip, key);
    if (peer)
        return peer;
    peer = calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    peer->key = key;
    if (!inst_table_put(&peers->by_ip, key, peer)) {
        free(peer);
        return NULL;
    }
    return peer;
}

static void forget_if_empty(struct inst_http_peers *peers, struct inst_http_peer *peer) {
    if (peer->count > 0)
        return;
    inst_table_remove(&peers->by_ip, peer->key);
    free(peer);
}

static enum inst_peer_refusal add(struct inst_http_peers *peers, const char *ip,
                                  struct inst_http_peer **out) {
    struct inst_http_peer *peer = find_or_add(peers, ip);
    if (!peer)
        return INST_PEER_FULL;
    if (ip[0] && peers->config.max_per_ip > 0 && peer->count >= peers->config.max_per_ip) {
        forget_if_empty(peers, peer);
        return INST_PEER_TOO_MANY;
    }
    peer->count++;
    *out = peer;
    return INST_PEER_WELCOME;
}

enum inst_peer_refusal inst_http_peers_join(struct inst_http_peers *peers, const char *ip,
                                            struct inst_http_peer **out) {
    if (peers->config.max_connections > 0 && peers->count >= peers->config.max_connections)
        return INST_PEER_FULL;
    enum inst_peer_refusal refusal = add(peers, ip, out);
    if (refusal == INST_PEER_WELCOME)
        peers->count++;
    return refusal;
}

enum inst_peer_refusal inst_http_peers_move(struct inst_http_peers *peers,
                                            struct inst_http_peer **peer, const char *ip) {
    struct inst_http_peer *before = *peer;
    struct inst_table_key key = key_of(peers, ip);
    if (before->key.a == key.a && before->key.b == key.b)
        return INST_PEER_WELCOME;
    enum inst_peer_refusal refusal = add(peers, ip, peer);
    if (refusal != INST_PEER_WELCOME)
        return refusal;
    before->count--;
    forget_if_empty(peers, before);
    return INST_PEER_WELCOME;
}

void inst_http_peers_leave(struct inst_http_peers *peers, struct inst_http_peer *peer) {
    if (!peer)
        return;
    peers->count--;
    peer->count--;
    forget_if_empty(peers, peer);
}

size_t inst_http_peers_count(const struct inst_http_peers *peers) { return peers->count; }

bool inst_http_peers_may_ask(struct inst_http_peers *peers, const char *ip, int *retry_after_s) {
    static const char name[] = "http";
    struct inst_value key = inst_cstring(ip);
    struct inst_cel_limit limit;
    if (!peers->rates)
        return true;
    int64_t now = peers->env->now_ms(peers->env->ctx);
    /* Out of memory: let it pass, it fails where it can be told. */
    if (inst_rate_limits_take(peers->rates, &peers->rate, name, sizeof name - 1, &key, 1, now,
                              &limit, NULL) != INST_OK)
        return true;
    *retry_after_s = limit.retry_at_ms > now ? (int)((limit.retry_at_ms - now + 999) / 1000) : 1;
    return limit.is_allowed;
}
