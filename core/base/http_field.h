/*
 * http_field.h - one header field of HTTP, as text.
 */
#ifndef INST_BASE_HTTP_FIELD_H
#define INST_BASE_HTTP_FIELD_H

struct inst_http_field {
    const char *name;  /* of what was received: in lower case */
    const char *value; /* as sent: bytes above 0x7f are possible, control bytes are not */
};

#endif
