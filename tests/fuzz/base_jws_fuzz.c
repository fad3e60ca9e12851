/*
 * Any bytes as a signed token, as a key, as a sealed secret: nothing that was not signed passes.
 * Input: a key set's member as JSON, a newline, the token.
 */
#include "base/digest.h"
#include "base/json.h"
#include "base/jws.h"
#include "base/seal.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t key[INST_SEAL_KEY] = {1};
    const char *text = (const char *)data;
    const char *line = size > 0 ? memchr(text, '\n', size) : NULL;
    size_t key_len = line ? (size_t)(line - text) : 0;
    const char *token = line ? line + 1 : text;
    size_t len = size - (size_t)(token - text);
    struct inst_arena arena;
    struct inst_value jwk = {0};
    struct inst_jws jws;
    char *secret;
    size_t secret_len;
    inst_arena_init(&arena);
    if (inst_jws_read(&arena, token, len, &jws) == INST_OK) {
        FUZZ_REQUIRE(jws.header.tag == INST_OBJECT && jws.payload.tag == INST_OBJECT);
        FUZZ_REQUIRE(jws.signed_len < len);
        if (inst_json_parse(&arena, text, key_len, &jwk, NULL) == INST_OK)
            inst_jws_verify(&jws, inst_jws_alg(&jws), &jwk);
    }
    FUZZ_REQUIRE(!inst_unseal(key, "x", token, len, &secret, &secret_len));
    inst_arena_free(&arena);
    return 0;
}
