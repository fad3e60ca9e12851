#include "schema/system_catalog.h"

#include "schema/attr_shape.h"

#include <stdlib.h>
#include <string.h>

enum flag {
    UNIQUE = 1,
    INDEX = 2,
    REQUIRED = 4,
    REF = 8,
    MANY = 16,
    CASCADE = 32,         /* on-delete */
    CASCADE_REVERSE = 64, /* on-delete-reverse */
};

struct row {
    const char *etype;
    const char *label;
    int flags;
    enum inst_checked_type type;
    const char *reverse_etype; /* or NULL */
    const char *reverse_label;
};

#define STRING INST_CHECKED_STRING
#define NUMBER INST_CHECKED_NUMBER
#define BOOLEAN INST_CHECKED_BOOLEAN
#define NONE INST_CHECKED_NONE

static const struct row rows[] = {
    {"$users", "id", UNIQUE | INDEX, NONE, NULL, NULL},
    {"$users", "email", UNIQUE | INDEX, STRING, NULL, NULL},
    {"$users", "type", 0, STRING, NULL, NULL},
    {"$users", "imageURL", 0, STRING, NULL, NULL},
    {"$users", "linkedPrimaryUser", REF | CASCADE, NONE, "$users", "linkedGuestUsers"},

    {"$files", "id", UNIQUE | INDEX, NONE, NULL, NULL},
    {"$files", "path", UNIQUE | INDEX | REQUIRED, STRING, NULL, NULL},
    {"$files", "size", INDEX | REQUIRED, NUMBER, NULL, NULL},
    {"$files", "content-type", INDEX, STRING, NULL, NULL},
    {"$files", "content-disposition", INDEX, STRING, NULL, NULL},
    {"$files", "location-id", UNIQUE | INDEX | REQUIRED, STRING, NULL, NULL},
    {"$files", "key-version", 0, NUMBER, NULL, NULL},
    {"$files", "url", 0, STRING, NULL, NULL},

    {"$streams", "id", UNIQUE | INDEX, NONE, NULL, NULL},
    {"$streams", "clientId", UNIQUE | INDEX | REQUIRED, STRING, NULL, NULL},
    {"$streams", "machineId", 0, STRING, NULL, NULL},
    {"$streams", "$files", REF | MANY | UNIQUE | CASCADE_REVERSE, NONE, "$files", "$stream"},
    {"$streams", "done", 0, BOOLEAN, NULL, NULL},
    {"$streams", "size", 0, NUMBER, NULL, NULL},
    {"$streams", "hashedReconnectToken", 0, STRING, NULL, NULL},
    {"$streams", "abortReason", 0, STRING, NULL, NULL},

    {"$magicCodes", "id", UNIQUE | INDEX, NONE, NULL, NULL},
    {"$magicCodes", "codeHash", INDEX, STRING, NULL, NULL},
    {"$magicCodes", "email", INDEX, STRING, NULL, NULL},

    {"$userRefreshTokens", "id", UNIQUE | INDEX, NONE, NULL, NULL},
    {"$userRefreshTokens", "hashedToken", UNIQUE | INDEX, STRING, NULL, NULL},
    {"$userRefreshTokens", "$user", INDEX | REF | CASCADE, NONE, "$users", "$userRefreshTokens"},

    {"$oauthProviders", "id", UNIQUE | INDEX, NONE, NULL, NULL},
    {"$oauthProviders", "name", UNIQUE | INDEX, STRING, NULL, NULL},

    {"$oauthUserLinks", "id", UNIQUE | INDEX, NONE, NULL, NULL},
    {"$oauthUserLinks", "sub", INDEX, STRING, NULL, NULL},
    {"$oauthUserLinks", "$user", INDEX | REF | CASCADE, NONE, "$users", "$oauthUserLinks"},
    /* A blob with a reverse identity: so it is in every official app. */
    {"$oauthUserLinks", "$oauthProvider", INDEX | CASCADE, NONE, "$oauthProviders",
     "$oauthUserLinks"},
    {"$oauthUserLinks", "sub+$oauthProvider", UNIQUE | INDEX, STRING, NULL, NULL},

    {"$oauthClients", "id", UNIQUE | INDEX, NONE, NULL, NULL},
    {"$oauthClients", "$oauthProvider", REF | CASCADE, NONE, "$oauthProviders", "$oauthClients"},
    {"$oauthClients", "name", UNIQUE | INDEX, STRING, NULL, NULL},
    {"$oauthClients", "clientId", INDEX, NONE, NULL, NULL},
    {"$oauthClients", "encryptedClientSecret", 0, STRING, NULL, NULL},
    {"$oauthClients", "discoveryEndpoint", 0, STRING, NULL, NULL},
    {"$oauthClients", "meta", 0, NONE, NULL, NULL},
    {"$oauthClients", "redirectTo", 0, STRING, NULL, NULL},
    {"$oauthClients", "useSharedCredentials", 0, BOOLEAN, NULL, NULL},

    {"$oauthCodes", "id", UNIQUE | INDEX, NONE, NULL, NULL},
    {"$oauthCodes", "codeHash", UNIQUE | INDEX, STRING, NULL, NULL},
    {"$oauthCodes", "codeChallengeMethod", 0, STRING, NULL, NULL},
    {"$oauthCodes", "codeChallenge", 0, STRING, NULL, NULL},
    {"$oauthCodes", "userInfo", 0, NONE, NULL, NULL},
    {"$oauthCodes", "$oauthClient", REF | CASCADE, NONE, "$oauthClients", "$oauthCodes"},

    {"$oauthRedirects", "id", UNIQUE | INDEX, NONE, NULL, NULL},
    {"$oauthRedirects", "stateHash", UNIQUE | INDEX, STRING, NULL, NULL},
    {"$oauthRedirects", "cookieHash", 0, STRING, NULL, NULL},
    {"$oauthRedirects", "redirectUrl", 0, STRING, NULL, NULL},
    {"$oauthRedirects", "redirectTo", 0, STRING, NULL, NULL},
    {"$oauthRedirects", "$oauthClient", REF | CASCADE, NONE, "$oauthClients", "$oauthRedirects"},
    {"$oauthRedirects", "codeChallengeMethod", 0, STRING, NULL, NULL},
    {"$oauthRedirects", "codeChallenge", 0, STRING, NULL, NULL},
};

#define ROW_COUNT (sizeof rows / sizeof rows[0])

/* ---- ids ---- */

#define CODE_MAX 12 /* letters of five bits that fit 64 */

struct code {
    const char *name;
    const char *code;
};

static const struct code etype_codes[] = {
    {"$users", "us"},
    {"$magicCodes", "mc"},
    {"$userRefreshTokens", "ur"},
    {"$oauthProviders", "op"},
    {"$oauthUserLinks", "ol"},
    {"$oauthClients", "oc"},
    {"$oauthCodes", "co"},
    {"$oauthRedirects", "or"},
    {"$files", "fi"},
    {"$streams", "st"},
    {NULL, NULL},
};

/* Labels whose code is not simply their lower case. */
static const struct code label_codes[] = {
    {"$oauthClient", "oauclient"},
    {"$oauthProvider", "oprovider"},
    {"$stream", "stream"},
    {"$user", "user"},
    {"abortReason", "abrtreasn"},
    {"codeChallenge", "codechall"},
    {"codeChallengeMethod", "cchalmeth"},
    {"content-disposition", "cdisp"},
    {"content-type", "ctype"},
    {"cookieHash", "cookihash"},
    {"discoveryEndpoint", "discovend"},
    {"encryptedClientSecret", "encclisec"},
    {"hashedReconnectToken", "hashretok"},
    {"hashedToken", "hashedtok"},
    {"key-version", "kv"},
    {"linkedGuestUsers", "lgu"},
    {"linkedPrimaryUser", "lpu"},
    {"location-id", "lid"},
    {"redirectTo", "redirecto"},
    {"redirectUrl", "redireurl"},
    {"sub+$oauthProvider", "subprovid"},
    {"useSharedCredentials", "usesharcr"},
    {"userInfo", "usernfo"},
    {NULL, NULL},
};

static const char *code_of(const struct code *codes, const char *name) {
    for (; codes->name; codes++) {
        if (strcmp(codes->name, name) == 0) {
            return codes->code;
        }
    }
    return NULL;
}

/* The low half's text, `us/email`; false when there is none. */
static bool name_code(const char *etype, const char *label, char out[CODE_MAX + 1]) {
    const char *short_etype = code_of(etype_codes, etype);
    const char *short_label = code_of(etype_codes, label);
    size_t n;
    if (!short_etype) {
        return false;
    }
    if (!short_label) {
        short_label = code_of(label_codes, label);
    }
    if (!short_label) {
        short_label = label;
    }
    n = strlen(short_label);
    if (n == 0 || n + 3 > CODE_MAX) {
        return false;
    }
    memcpy(out, short_etype, 2);
    out[2] = '/';
    for (size_t i = 0; i <= n; i++) {
        char c = short_label[i];
        out[3 + i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return true;
}

/* Eight bytes, five bits a letter from the top, the rest ones; false on another character. */
static bool encode(const char *text, uint8_t out[8]) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxzy/";
    uint64_t bits = UINT64_MAX;
    int shift = 59;
    for (; *text; text++, shift -= 5) {
        const char *at = strchr(letters, *text);
        if (!at) {
            return false;
        }
        bits &= ~((uint64_t)31 << shift);
        bits |= (uint64_t)(at - letters) << shift;
    }
    for (int i = 0; i < 8; i++) {
        out[i] = (uint8_t)(bits >> (56 - 8 * i));
    }
    return true;
}

bool inst_system_id(enum inst_system_id kind, const char *etype, const char *label,
                    char out[INST_UUID_TEXT + 1]) {
    struct inst_uuid uuid;
    char code[CODE_MAX + 1];
    if (!name_code(etype, label, code) || !encode(code, uuid.bytes + 8)) {
        return false;
    }
    encode(kind == INST_SYSTEM_ATTR_ID ? "systemat" : "systemid", uuid.bytes);
    inst_uuid_print(&uuid, out);
    return true;
}

/* ---- the attrs ---- */

static struct inst_value id_value(struct inst_arena *arena, enum inst_system_id kind,
                                  const char *etype, const char *label) {
    char *text = inst_arena_alloc(arena, INST_UUID_TEXT + 1);
    if (!text || !inst_system_id(kind, etype, label, text)) {
        return inst_undefined();
    }
    return inst_string(text, INST_UUID_TEXT);
}

static struct inst_ident ident(struct inst_arena *arena, const char *etype, const char *label) {
    return (struct inst_ident){id_value(arena, INST_SYSTEM_IDENT_ID, etype, label),
                               inst_cstring(etype), inst_cstring(label)};
}

static bool write_row(struct inst_arena *arena, const struct row *row, struct inst_value *out) {
    struct inst_attr_shape shape = {
        .id = id_value(arena, INST_SYSTEM_ATTR_ID, row->etype, row->label),
        .forward = ident(arena, row->etype, row->label),
        .checked_type = row->type,
        .is_ref = row->flags & REF,
        .is_many = row->flags & MANY,
        .is_unique = row->flags & UNIQUE,
        .is_indexed = row->flags & INDEX,
        .is_required = row->flags & REQUIRED,
        .on_delete_cascade = row->flags & CASCADE,
        .on_delete_reverse_cascade = row->flags & CASCADE_REVERSE,
        .is_system = true,
    };
    if (row->reverse_etype) {
        shape.reverse = ident(arena, row->reverse_etype, row->reverse_label);
    }
    return shape.id.tag == INST_STRING && inst_attr_shape_write(arena, &shape, out);
}

static int by_id(const void *a, const void *b) {
    const struct inst_value *x = inst_get_string(a, "id");
    const struct inst_value *y = inst_get_string(b, "id");
    return memcmp(x->u.str, y->u.str, INST_UUID_TEXT);
}

enum inst_status inst_system_attrs(struct inst_arena *arena, struct inst_value *out,
                                   struct inst_err *err) {
    struct inst_value *list = inst_arena_alloc(arena, ROW_COUNT * sizeof *list);
    if (!list) {
        return inst_err_nomem(err);
    }
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (!write_row(arena, &rows[i], &list[i])) {
            return inst_err_nomem(err);
        }
    }
    qsort(list, ROW_COUNT, sizeof *list, by_id);
    *out = inst_array(list, ROW_COUNT);
    return INST_OK;
}

/* ---- names ---- */

static bool is_text(const char *name, const char *text, size_t len) {
    return name && strlen(name) == len && memcmp(name, text, len) == 0;
}

static bool is_value(const char *name, const struct inst_value *v) {
    return is_text(name, v->u.str, v->len);
}

bool inst_system_has_name(const char *etype, size_t etype_len, const char *label,
                          size_t label_len) {
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct row *row = &rows[i];
        if ((is_text(row->etype, etype, etype_len) && is_text(row->label, label, label_len)) ||
            (is_text(row->reverse_etype, etype, etype_len) &&
             is_text(row->reverse_label, label, label_len))) {
            return true;
        }
    }
    return false;
}

bool inst_system_has_link(const struct inst_value *forward_etype,
                          const struct inst_value *forward_label,
                          const struct inst_value *reverse_etype,
                          const struct inst_value *reverse_label) {
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct row *row = &rows[i];
        if ((row->flags & REF) && is_value(row->etype, forward_etype) &&
            is_value(row->label, forward_label) && is_value(row->reverse_etype, reverse_etype) &&
            is_value(row->reverse_label, reverse_label)) {
            return true;
        }
    }
    return false;
}

bool inst_system_is_open_etype(const char *etype, size_t etype_len) {
    return is_text("$users", etype, etype_len) || is_text("$files", etype, etype_len) ||
           is_text("$streams", etype, etype_len);
}

bool inst_system_is_etype(const char *etype, size_t etype_len) {
    return etype_len > 0 && etype[0] == '$';
}

bool inst_system_is_hidden(const char *etype, size_t etype_len, const char *label,
                           size_t label_len) {
    static const char *const of_files[] = {"content-type", "content-disposition", "size",
                                           "location-id",  "key-version",         NULL};
    static const char *const of_streams[] = {"machineId", "hashedReconnectToken", NULL};
    const char *const *labels;
    if (!inst_system_is_etype(etype, etype_len)) {
        return false;
    }
    if (!inst_system_is_open_etype(etype, etype_len)) {
        return true;
    }
    if (is_text("$users", etype, etype_len)) {
        return false;
    }
    for (labels = is_text("$files", etype, etype_len) ? of_files : of_streams; *labels; labels++) {
        if (is_text(*labels, label, label_len)) {
            return true;
        }
    }
    return false;
}
