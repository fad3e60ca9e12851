#include "io/http_asked.h"

#include <stdlib.h>
#include <string.h>

static const char *keep(char **at, const struct inst_slice *slice) {
    char *text = *at;
    memcpy(text, slice->str, slice->len);
    text[slice->len] = '\0';
    *at += slice->len + 1;
    return text;
}

static void keep_fields(struct inst_http_asked *asked, char **at,
                        const struct inst_http_head *head) {
    for (size_t i = 0; i < head->field_count; i++) {
        char *name = *at;
        asked->fields[i].name = keep(at, &head->fields[i].name);
        for (char *c = name; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c |= 0x20;
        asked->fields[i].value = keep(at, &head->fields[i].value);
    }
    asked->request.fields = asked->fields;
    asked->request.field_count = head->field_count;
}

int inst_http_asked_make(struct inst_http_asked *asked, const struct inst_http_head *head,
                         size_t head_len, const char *body, size_t body_len) {
    /* Pieces of the head and a NUL behind each. */
    asked->text = malloc(head_len + 2 * head->field_count + 3);
    if (!asked->text)
        return -1;
    char *at = asked->text;
    bool is_head = inst_slice_is(&head->method, "HEAD");
    if (!inst_http_decode_path(&head->path, at))
        return 400;
    asked->request =
        (struct inst_http_request){.path = at, .body = body, .body_len = body_len, .ip = ""};
    at += strlen(at) + 1;
    asked->request.query = keep(&at, &head->query);
    asked->request.method = keep(&at, &head->method);
    if (is_head)
        asked->request.method = "GET";
    keep_fields(asked, &at, head);
    return 0;
}
