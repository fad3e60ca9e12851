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
/* How far an app's transactions may run ahead of the clock to have times of their own, ms. */
#define INST_TX_AHEAD_MS 1000
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
/* Sign-ins of the CLI that wait for an operator, and for how long (http.md 8.1). */
#define INST_SERVER_MAX_LOGINS 1000u
#define INST_SERVER_LOGIN_MS (2 * 60 * 1000)
/* Apps kept open without a session. */
#define INST_SERVER_MAX_IDLE_APPS 64u
/* Queries of one app that are kept compiled, those that ran last; the others are compiled again
 * when they run. A compiled query is ten times the size of all else that is kept of one. */
#define INST_SERVER_MAX_COMPILED 1024u
/* Values that the permission rules of one query or transaction read through refs. */
#define INST_SERVER_MAX_REF_VALUES 1000000u
/* Labels of a ref's path. */
#define INST_SERVER_MAX_REF_LABELS 32u
/* Steps (cel_run.h) that the permission rules of one query or transaction take together. */
#define INST_SERVER_MAX_RULE_STEPS 50000000u
/* Sync tables of one session. */
#define INST_SERVER_MAX_SYNCS 100u
/* Durable sync subscriptions of one app; past it those not used for longest are forgotten. */
#define INST_SERVER_MAX_KEPT_SYNCS 10000u
/* Entities, and transactions, of one message of a sync table (session.md 3.8), and about its bytes.
 */
#define INST_SYNC_BATCH 100u
#define INST_SYNC_BATCH_BYTES (1u << 20)
/* One transaction goes in one message, which clients read whole: a larger one ends the sync. */
#define INST_SYNC_MAX_BYTES (INST_JSON_MAX_BYTES - (2u << 20))
/* How long after its last use a kept subscription is noted as used again. */
#define INST_SYNC_USED_MS (24 * 3600 * 1000)
/* Snapshots that get a piece in one turn, and rows looked at for one. */
#define INST_SYNC_TURN_LOADS 8u
#define INST_SYNC_TURN_ROWS 2000u
/* Records of the log, and their bytes, that one turn reads for an app's sync tables. */
#define INST_SYNC_TURN_RECORDS 500u
#define INST_SYNC_TURN_BYTES (4u << 20)
/* Entities that change while a snapshot of their table is being read, and what is kept of them. */
#define INST_SYNC_MAX_TOUCHED 200000u
#define INST_SYNC_MAX_TOUCHED_BYTES (32u << 20)
/* Streams that one session writes, and as many that it reads. */
#define INST_SERVER_MAX_STREAMS 1000u
/* Bytes of a stream that become one file (session.md 3.9), and that may wait for the disk. */
#define INST_STREAM_FLUSH_BYTES (1u << 20)
#define INST_STREAM_MAX_BUFFER (64u << 20)
/* A reader of a stream whose connection has not taken so many bytes is told to come back. */
#define INST_STREAM_MAX_BACKLOG (16u << 20)
/* What is sent in pieces waits while its connection has so many bytes not taken. */
#define INST_SERVER_SEND_AHEAD (1u << 20)
/* Paths of files, bytes: an indexed value, with room for its frame. */
#define INST_FILES_MAX_PATH 1000u
/* Content type and disposition of a file, bytes. */
#define INST_FILES_MAX_HEADER 1000u
/* Files that one request deletes. */
#define INST_FILES_MAX_BULK 1000u
/* Addresses for one upload each that were given out and not used yet; past it the oldest ends. */
#define INST_FILES_MAX_PENDING 1024u
/* How long such an address is good (http.md 5.4). */
#define INST_FILES_PENDING_MS (5ll * 60 * 1000)
/* Rows that a change of an attr's flags may touch at once, inside its transaction; more are a job's
 * (jobs.h). */
#define INST_SERVER_AT_ONCE_ROWS 2000u
/* Rows that the jobs of one app touch in one turn, and their steps. */
#define INST_JOB_TURN_ROWS 1000u
#define INST_JOB_TURN_STEPS 100u
/* A job's estimate of its rows counts no further. */
#define INST_JOB_MAX_ESTIMATE 1000000u
/* Jobs of one app that wait, and that are over and still shown; past it the oldest are forgotten.
 */
#define INST_JOB_MAX_OPEN 1000u
#define INST_JOB_MAX_KEPT 1000u
/* Triples that a job which failed shows (transactions.md 14.5). */
#define INST_JOB_MAX_SAMPLE 10u
/* Records of the log, their bytes, and changes that one read of a feed looks at (feed.h). */
#define INST_FEED_TURN_RECORDS 5000u
#define INST_FEED_TURN_BYTES (8u << 20)
#define INST_FEED_TURN_CHANGES 1000u
/* Entities of a feed's window, and about the bytes of what is kept of them. */
#define INST_FEED_WINDOW_ENTITIES 20000u
#define INST_FEED_WINDOW_BYTES (32u << 20)
/* About the bytes of the windows of all requests that wait, which share them, and again of those
 * that are kept; and what each may always have. */
#define INST_FEED_ALL_WINDOWS_BYTES (128u << 20)
#define INST_FEED_MIN_WINDOW_BYTES (1u << 20)
/* Feeds of one app that are kept for whoever reads on. */
#define INST_FEED_MAX_KEPT 2u
/* One answer's changes, unless it is asked for another number, and at most; about its bytes; and
 * how long, ms, it reads on when nothing fits what is asked for. */
#define INST_FEED_ANSWER_CHANGES 100u
#define INST_FEED_MAX_ANSWER_CHANGES 1000u
#define INST_FEED_ANSWER_BYTES (4u << 20)
#define INST_FEED_ANSWER_MS 2000
/* Namespaces that a request names, how long it waits, s, and requests that wait at a time:
 * of one app, and in all. */
#define INST_FEED_MAX_ETYPES 1000u
#define INST_FEED_MAX_WAIT_S 30
#define INST_FEED_APP_POLLS 8u
#define INST_FEED_MAX_POLLS 500u
/* Webhooks of one app, active and in all; the address of one, bytes. */
#define INST_WEBHOOK_MAX_ACTIVE 100u
#define INST_WEBHOOK_MAX 500u
#define INST_WEBHOOK_MAX_URL 2048u
/* Events that one page shows; attempts that one keeps; bytes of an answer that are kept. */
#define INST_WEBHOOK_PAGE 100u
#define INST_WEBHOOK_MAX_ATTEMPTS 100u
#define INST_WEBHOOK_MAX_TEXT 256u
/* Changes of one event that are kept with it, bytes as JSON. */
#define INST_WEBHOOK_MAX_DATA (256u << 10)
/* Deliveries on their way, of one app and of all; events of one turn that are settled or cleared
 * away without one. */
#define INST_WEBHOOK_APP_DELIVERIES 10u
#define INST_WEBHOOK_DELIVERIES 100u
#define INST_WEBHOOK_TURN_EVENTS 200u
/* How long, ms, nothing is tried when the disk refused. */
#define INST_WEBHOOK_STALL_MS 1000
/* App titles, bytes. */
#define INST_SERVER_MAX_TITLE 255u

/* Rooms that one session is in. */
#define INST_SERVER_MAX_ROOMS 1000u
/* A room's id, bytes. */
#define INST_SERVER_MAX_ROOM_ID 1024u
/* What one session shows in one room, and one topic message, bytes as JSON. */
#define INST_SERVER_MAX_PRESENCE (256u << 10)
#define INST_SERVER_MAX_BROADCAST (1u << 20)
/* What all of a room show together: a newcomer gets it as one message. */
#define INST_SERVER_MAX_ROOM_BYTES (16u << 20)
/* Comparisons to find the edits of one session's presence. */
#define INST_EDITS_MAX_STEPS 100000u

/* Keys of one attr in one read-set; past it the set depends on the whole attr. */
#define INST_READ_SET_MAX_KEYS 256u
/* Changed triples that are looked at to see whether a live query must run again; more, and it does.
 */
#define INST_LIVE_MAX_TOUCHES 8u
/* Names in one read-set; past it every change of an attr wakes it. */
#define INST_READ_SET_MAX_NAMES 512u

#endif
