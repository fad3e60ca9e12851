/* weakhash.jsonl (instaql.md 6.2): {input, weakHash, legacy}. */
#include "vectors.h"

#include "instaql/hash.h"

vec_handler_fn vec_weakhash;

static void check(struct vec_case *c, const char *member, bool ok, const char *actual) {
    struct inst_value value = inst_cstring(actual);
    if (!ok) {
        vec_fail(c, "%s: out of memory", member);
        return;
    }
    vec_expect_json(c, member, vec_get(c, member), &value);
}

void vec_weakhash(struct vec_case *c) {
    struct inst_value input = vec_js(c, vec_get(c, "input"));
    char hash[INST_QUERY_HASH_TEXT + 1];
    check(c, "weakHash", inst_query_hash(&input, hash), hash);
    check(c, "legacy", inst_query_hash_legacy(&input, hash), hash);
}
