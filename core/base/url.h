/*
 * url.h - parameters of addresses and forms.
 */
#ifndef INST_BASE_URL_H
#define INST_BASE_URL_H

#include "base/buf.h"

struct inst_url_param {
    const char *name;
    const char *value; /* NULL: left out */
};

/* A text as one component: all but letters, digits and -._~ as %XX. */
void inst_url_encode(struct inst_buf *out, const char *text);
/* `name=value&...`, as the body of a form. */
void inst_url_form(struct inst_buf *out, const struct inst_url_param *params, size_t count);
/* The address with the parameters behind those it has, in front of its fragment. */
void inst_url_with(struct inst_buf *out, const char *url, const struct inst_url_param *params,
                   size_t count);

#endif
