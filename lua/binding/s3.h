/*
 * s3.h - the option `s3` of a table at index 1.
 */
#ifndef INST_LUA_S3_H
#define INST_LUA_S3_H

#include "context.h"

#include "io/s3.h"

/* s3 = {endpoint=, bucket=, region=, accessKey=, secretKey=, caFile=}; false: there is none. Its
 * texts stay on the stack. */
bool inst_lua_s3_option(lua_State *L, struct inst_s3_config *s3);

#endif
