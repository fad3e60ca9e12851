/*
 * main.c - `vectors_run DIR [NAME...]`: runs every *.jsonl of DIR, or only those named.
 */
#include "vectors.h"

#include "runner.h"

#include <stdio.h>
#include <string.h>

/* One row a file; a handler is built when its floor is (VEC_HAVE_<name> comes from CMake). */
#ifdef VEC_HAVE_DATES
vec_handler_fn vec_dates;
#endif
#ifdef VEC_HAVE_WEAKHASH
vec_handler_fn vec_weakhash;
#endif
#ifdef VEC_HAVE_INSTAQL
vec_handler_fn vec_instaql;
#endif
#ifdef VEC_HAVE_INSTAML
vec_handler_fn vec_instaml;
#endif
#ifdef VEC_HAVE_STORE_TRANSACT
vec_handler_fn vec_store_transact;
#endif
#ifdef VEC_HAVE_QUERY_VALIDATION
vec_handler_fn vec_query_validation;
#endif
#ifdef VEC_HAVE_TX_VALIDATION
vec_handler_fn vec_tx_validation;
#endif
#ifdef VEC_HAVE_SCHEMA_PLAN
vec_handler_fn vec_schema_plan;
#endif
#ifdef VEC_HAVE_CEL
vec_handler_fn vec_cel;
#endif

#ifdef VEC_HAVE_CONFORMANCE
vec_handler_fn vec_conformance;
#endif

static const struct vec_handler handlers[] = {
#ifdef VEC_HAVE_DATES
    {"dates", vec_dates},
#endif
#ifdef VEC_HAVE_WEAKHASH
    {"weakhash", vec_weakhash},
#endif
#ifdef VEC_HAVE_INSTAQL
    {"instaql", vec_instaql},
#endif
#ifdef VEC_HAVE_INSTAML
    {"instaml", vec_instaml},
#endif
#ifdef VEC_HAVE_STORE_TRANSACT
    {"store-transact", vec_store_transact},
#endif
#ifdef VEC_HAVE_QUERY_VALIDATION
    {"query-validation", vec_query_validation},
#endif
#ifdef VEC_HAVE_TX_VALIDATION
    {"tx-validation", vec_tx_validation},
#endif
#ifdef VEC_HAVE_SCHEMA_PLAN
    {"schema-plan", vec_schema_plan},
#endif
#ifdef VEC_HAVE_CEL
    {"cel", vec_cel},
#endif
#ifdef VEC_HAVE_CONFORMANCE
    {"conformance", vec_conformance},
#endif
    {NULL, NULL},
};

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0); /* what was found stays found when a handler crashes */
    if (argc < 2) {
        fprintf(stderr, "usage: vectors_run DIR [NAME...]\n"
                        "  NAME  a file of DIR without .jsonl, e.g. dates\n");
        return 2;
    }
    return vec_run_dir(argv[1], argv + 2, (size_t)(argc - 2), handlers);
}
