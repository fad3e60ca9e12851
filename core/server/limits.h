/*
 * limits.h - every limit of the backend engine, by name.
 */
#ifndef INST_SERVER_LIMITS_H
#define INST_SERVER_LIMITS_H

#include "base/json.h"

/* One message of a connection, bytes. Nesting is limited by INST_JSON_MAX_DEPTH. */
#define INST_SERVER_MAX_MESSAGE INST_JSON_MAX_BYTES
/* tx-steps of one transaction. */
#define INST_SERVER_MAX_STEPS 250000u
/* Live queries of one session. */
#define INST_SERVER_MAX_QUERIES 5000u
/* Messages of one session that wait for the group's commit, bytes; past it the connection is
 * closed: it sends faster than the disk commits. */
#define INST_SERVER_MAX_WAITING (64u << 20)
/* A member of the failing message (or of a hint) that is longer is left out of the error. */
#define INST_SERVER_ECHO_MAX (64u << 10)
/* A stored value of an indexed, unique or link attr, bytes as binary JSON (transactions.md 9). */
#define INST_SERVER_MAX_INDEXED 1024u
/* How deep arrays and objects of a stored value may nest: what carries it to clients nests it some
 * levels deeper, and they read no deeper than INST_JSON_MAX_DEPTH either. */
#define INST_SERVER_MAX_VALUE_DEPTH (INST_JSON_MAX_DEPTH - 100)
/* Apps kept open without a session. */
#define INST_SERVER_MAX_IDLE_APPS 64u
/* Queries of one app that are kept compiled, those that ran last; the others are compiled again
 * when they run. A compiled query is ten times the size of all else that is kept of one. */
#define INST_SERVER_MAX_COMPILED 1024u
/* App titles, bytes. */
#define INST_SERVER_MAX_TITLE 255u

/* Keys of one attr in one read-set; past it the set depends on the whole attr. */
#define INST_READ_SET_MAX_KEYS 256u
/* Names in one read-set; past it every change of an attr wakes it. */
#define INST_READ_SET_MAX_NAMES 512u

#endif
