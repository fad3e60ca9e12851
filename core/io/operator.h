/*
 * operator.h - what whoever owns a data folder may ask the server that has it open.
 *
 *     DIR/operator.json    {"url","token"}; private, made when the server starts, gone when it ends
 *     POST   /operator/backup {"to"}   copies the databases into the folder `to` (backup.h)
 *     GET    /operator/backup          how far it is
 *     DELETE /operator/backup          gives it up
 *
 * Who can read the file could read the data files, too: the token opens nothing more. It is made
 * anew with every start, and any other request to these paths is answered as an unknown one.
 */
#ifndef INST_IO_OPERATOR_H
#define INST_IO_OPERATOR_H

#include "io/backend.h"

#include <stdbool.h>

#define INST_OPERATOR_FILE "operator.json"

struct inst_operator;

/* dir: the data folder of the backend, which must outlive this. url: where its port is reached on
 * this machine. */
enum inst_status inst_operator_new(struct inst_loop *loop, struct inst_backend *backend,
                                   const char *dir, const char *url, struct inst_operator **out,
                                   struct inst_err *err);
/* true: it was for the operator, and is answered. */
bool inst_operator_answers(struct inst_operator *op, const struct inst_http_request *request,
                           struct inst_http_response *response);
/* NULL is fine. */
void inst_operator_free(struct inst_operator *op);

#endif
