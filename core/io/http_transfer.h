/*
 * http_transfer.h - bodies that are not kept in memory: an upload on its way to the disk, a file on
 * its way out. Part of one connection of http_server.c, which says when its socket is ready.
 */
#ifndef INST_IO_HTTP_TRANSFER_H
#define INST_IO_HTTP_TRANSFER_H

#include "io/file_upload.h"
#include "io/http_chunked.h"
#include "io/http_head.h"

#include <stdint.h>

struct inst_http_transfer {
    struct inst_file_upload *upload; /* NULL: none is coming in */
    bool is_sending;                 /* a file is going out */
    int content;                     /* open while it is */
    uint64_t at;                     /* next byte of it */
    uint64_t left;
};

enum inst_transfer {
    INST_TRANSFER_DONE, /* out: all is sent. In: the disk has to do its part first */
    INST_TRANSFER_WAIT, /* for the socket */
    INST_TRANSFER_LOST, /* the connection, or the file */
};

/* ---- in ---- */
/* What arrived behind the head belongs to the upload first: gives how many bytes it took. */
size_t inst_http_transfer_first(struct inst_http_transfer *transfer, const char *bytes, size_t len);
/* Reads from the socket for as long as there is room; *count gets how many bytes. */
enum inst_transfer inst_http_transfer_receive(struct inst_http_transfer *transfer, int fd,
                                              size_t *count);
/* A body in chunks: decodes *len raw bytes, moves those that wait for the disk to the front and
 * says in *len how many they are. DONE: the body has ended, *len are not part of it. *refused gets
 * the status to refuse the request with, else 0. */
enum inst_transfer inst_http_transfer_chunks(struct inst_http_transfer *transfer,
                                             struct inst_chunked *chunked, char *raw, size_t *len,
                                             int *refused);
/* Has the disk to do its part before more can be read? */
bool inst_http_transfer_is_busy(const struct inst_http_transfer *transfer);

/* ---- out ---- */
/* Begins to send what the request asks for of an open file, which is then the transfer's to close:
 * writes the answer's head. */
void inst_http_transfer_begin(struct inst_http_transfer *transfer, struct inst_buf *out,
                              const struct inst_http_head *head,
                              const struct inst_http_response *response, int content, uint64_t size,
                              bool keep_alive);
/* Sends on; nothing to send is done. Gives others their turn after a while. */
enum inst_transfer inst_http_transfer_send(struct inst_http_transfer *transfer, int fd,
                                           size_t *count);

/* Lets go of everything; the upload is cancelled. */
void inst_http_transfer_end(struct inst_http_transfer *transfer);

#endif
