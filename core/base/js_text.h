/*
 * js_text.h - JavaScript's String(value), as it shows in messages and comparisons.
 */
#ifndef INST_BASE_JS_TEXT_H
#define INST_BASE_JS_TEXT_H

#include "base/buf.h"
#include "base/value.h"

/* Objects are "[object Object]", arrays their elements' texts joined by commas (null and undefined
 * empty), dates as Date.prototype.toString writes them in UTC. */
void inst_js_text(struct inst_buf *buf, const struct inst_value *v);

#endif
