/*
 * canonical.h - JSON with sorted keys: equal texts for equal values, whatever their key order.
 */
#ifndef INST_SERVER_CANONICAL_H
#define INST_SERVER_CANONICAL_H

#include "base/buf.h"
#include "base/value.h"

void inst_canonical_write(struct inst_buf *buf, const struct inst_value *v);

#endif
