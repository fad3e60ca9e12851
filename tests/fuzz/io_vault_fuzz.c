/*
 * Any bytes as a vault's file: refused, or a file that was sealed with the key at hand; and any
 * bytes as its opened entries: refused, or entries that come out the same when sealed and opened.
 */
#include "fuzz.h"
#include "io/vault_format.h"

#include <string.h>

static void check_refusal(struct inst_err *err, const struct inst_vault_entries *entries) {
    FUZZ_REQUIRE(strcmp(err->type, "vault") == 0);
    FUZZ_REQUIRE(err->message[0] != '\0');
    FUZZ_REQUIRE(entries->count == 0 && entries->items == NULL);
    inst_err_clear(err);
}

static void check_same(const struct inst_vault_entries *a, const struct inst_vault_entries *b) {
    FUZZ_REQUIRE(a->count == b->count);
    for (size_t i = 0; i < a->count; i++) {
        const struct inst_secret *found = inst_vault_entries_find(b, a->items[i].name);
        FUZZ_REQUIRE(found && found->len == a->items[i].secret.len);
        FUZZ_REQUIRE(memcmp(found->bytes, a->items[i].secret.bytes, found->len) == 0);
    }
}

static void check_sealing(const struct inst_vault_entries *entries) {
    static const struct inst_vault_key key = {{1}, {2}};
    struct inst_vault_header header;
    struct inst_vault_entries again = {0};
    uint8_t *bytes;
    size_t len;
    FUZZ_REQUIRE(inst_vault_new_header(INST_VAULT_BY_KEY_FILE, 0, &header, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_vault_seal(&header, &key, entries, &bytes, &len, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_vault_read_header("v", bytes, len, &header, NULL) == INST_OK);
    FUZZ_REQUIRE(inst_vault_unseal("v", bytes, len, &header, &key, &again, NULL) == INST_OK);
    check_same(entries, &again);
    inst_vault_entries_free(&again);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct inst_vault_header header;
    struct inst_vault_key key = {{0}, {0}};
    struct inst_vault_entries entries = {0};
    struct inst_err err = {0};
    if (inst_vault_read_header("v", data, size, &header, &err) == INST_OK) {
        memcpy(key.check, header.check, sizeof key.check); /* past the check, to the tag */
        FUZZ_REQUIRE(inst_vault_unseal("v", data, size, &header, &key, &entries, &err) != INST_OK);
    }
    check_refusal(&err, &entries);
    if (inst_vault_read_entries("v", data, size, &entries, &err) == INST_OK) {
        check_sealing(&entries);
        inst_vault_entries_free(&entries);
    } else {
        check_refusal(&err, &entries);
    }
    return 0;
}
