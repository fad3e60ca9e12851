/*
 * curl_api.h - libcurl, loaded when the first request is made: a program that makes none pays for
 * none of its start time and memory.
 */
#ifndef INST_IO_CURL_API_H
#define INST_IO_CURL_API_H

#include "base/err.h"

/* Its macros would take the table's members for calls of their own. */
#define CURL_DISABLE_TYPECHECK 1
#include <curl/curl.h>

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

struct inst_curl {
    CURLcode (*global_init)(long flags);
    CURL *(*easy_init)(void);
    void (*easy_cleanup)(CURL *easy);
    CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
    CURLcode (*easy_perform)(CURL *easy);
    CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
    const char *(*easy_strerror)(CURLcode code);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_cleanup)(CURLM *multi);
    CURLMcode (*multi_setopt)(CURLM *multi, CURLMoption option, ...);
    CURLMcode (*multi_add_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_remove_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_socket_action)(CURLM *multi, curl_socket_t fd, int events, int *running);
    CURLMcode (*multi_assign)(CURLM *multi, curl_socket_t fd, void *data);
    CURLMsg *(*multi_info_read)(CURLM *multi, int *left);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free_all)(struct curl_slist *list);
};

/* Fills the table from the first library of the list (ends with NULL; NULL: Debian's names) that
 * is there. It stays loaded to the end of the process. err: "io-error" that names the package. */
enum inst_status inst_curl_load(struct inst_curl *curl, const char *const *libraries,
                                struct inst_err *err);

#endif
