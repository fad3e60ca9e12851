#include "io/curl_api.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* The first is in the package libcurl4, the second in libcurl3-gnutls. */
static const char *const debian[] = {"libcurl.so.4", "libcurl-gnutls.so.4", NULL};

static const struct {
    const char *name;
    size_t offset;
} functions[] = {
#define F(name)                                                                                    \
    { "curl_" #name, offsetof(struct inst_curl, name) }
    F(global_init),  F(easy_init),        F(easy_cleanup),        F(easy_setopt),
    F(easy_getinfo), F(easy_strerror),    F(multi_init),          F(multi_cleanup),
    F(multi_setopt), F(multi_add_handle), F(multi_remove_handle), F(multi_socket_action),
    F(multi_assign), F(multi_info_read),  F(slist_append),        F(slist_free_all),
    F(easy_perform),
#undef F
};

enum inst_status inst_curl_load(struct inst_curl *curl, const char *const *libraries,
                                struct inst_err *err) {
    void *library = NULL;
    for (const char *const *name = libraries ? libraries : debian; *name && !library; name++)
        library = dlopen(*name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return inst_err_set(err, "io-error", 0,
                            "HTTP requests need libcurl, which is not installed (on Debian: "
                            "apt-get install libcurl4).");
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *found = dlsym(library, functions[i].name);
        if (!found) {
            dlclose(library);
            return inst_err_set(err, "io-error", 0, "This libcurl has no function %s.",
                                functions[i].name);
        }
        memcpy((char *)curl + functions[i].offset, &found, sizeof found);
    }
    /* Counted by libcurl; never undone, as nothing says when the last user is gone. */
    if (curl->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return inst_err_set(err, "io-error", 0, "libcurl could not be started.");
    return INST_OK;
}
