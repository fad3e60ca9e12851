/*
 * lws_limits.h - sizes of the libwebsockets context that the loop makes.
 */
#ifndef INST_IO_LWS_LIMITS_H
#define INST_IO_LWS_LIMITS_H

/* One handshake's headers. On the server's side the listener has parsed the real ones before
 * (http_head.h) and hands over a short form. */
#define INST_LWS_HEADER_BYTES 8192
/* Handshakes at a time; more wait. */
#define INST_LWS_HEADER_POOL 64
/* Read buffer shared by all connections of the context. */
#define INST_LWS_SERVICE_BYTES 32768
/* What each server-side connection keeps to unmask a frame in, most of an idle one's memory: longer
 * frames come in pieces. */
#define INST_LWS_RX_BYTES 2048
/* Given to the kernel at a time; libwebsockets would take the above for it. */
#define INST_LWS_TX_BYTES 32768

#endif
