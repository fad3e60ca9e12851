#include "io/zip.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

/* Debian's name of the library's binary interface. */
#define LIBRARY "libzip.so.4"

struct api {
    __typeof__(zip_open) *open;
    __typeof__(zip_close) *close;
    __typeof__(zip_discard) *discard;
    __typeof__(zip_get_num_entries) *get_num_entries;
    __typeof__(zip_stat_index) *stat_index;
    __typeof__(zip_fopen_index) *fopen_index;
    __typeof__(zip_fread) *fread;
    __typeof__(zip_fclose) *fclose;
    __typeof__(zip_file_strerror) *file_strerror;
    __typeof__(zip_strerror) *strerror;
    __typeof__(zip_error_init_with_code) *error_init_with_code;
    __typeof__(zip_error_strerror) *error_strerror;
    __typeof__(zip_error_fini) *error_fini;
    __typeof__(zip_source_file) *source_file;
    __typeof__(zip_source_free) *source_free;
    __typeof__(zip_file_add) *file_add;
    __typeof__(zip_register_progress_callback_with_state) *register_progress_callback_with_state;
};

struct inst_zip {
    struct api api;
    zip_t *archive;
    zip_file_t *entry; /* being read; NULL: none */
    char *path;
};

struct inst_zip_writer {
    struct api api;
    zip_t *archive;
    char *path;
    void (*progress)(void *ctx, double done);
    void *ctx;
};

/* ---- the library ---- */

static const struct {
    const char *name;
    size_t offset;
} functions[] = {
#define F(name)                                                                                    \
    { "zip_" #name, offsetof(struct api, name) }
    F(open),
    F(close),
    F(discard),
    F(get_num_entries),
    F(stat_index),
    F(fopen_index),
    F(fread),
    F(fclose),
    F(file_strerror),
    F(strerror),
    F(error_init_with_code),
    F(error_strerror),
    F(error_fini),
    F(source_file),
    F(source_free),
    F(file_add),
    F(register_progress_callback_with_state),
#undef F
};

/* The library stays loaded: counted by the loader, and needed by all that was opened. */
static enum inst_status load(struct api *api, struct inst_err *err) {
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return inst_err_set(err, "archive", 0,
                            "ZIP archives need libzip, which is not installed (on Debian: apt-get "
                            "install libzip4).");
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        void *found = dlsym(library, functions[i].name);
        if (!found) {
            dlclose(library);
            return inst_err_set(err, "archive", 0, "This libzip has no function %s.",
                                functions[i].name);
        }
        memcpy((char *)api + functions[i].offset, &found, sizeof found);
    }
    return INST_OK;
}

static enum inst_status open_archive(const struct api *api, const char *path, int flags,
                                     zip_t **out, struct inst_err *err) {
    int code = 0;
    *out = api->open(path, flags, &code);
    if (*out)
        return INST_OK;
    zip_error_t why;
    api->error_init_with_code(&why, code);
    enum inst_status status =
        inst_err_set(err, "archive", 0, "%s cannot be opened: %s", path, api->error_strerror(&why));
    api->error_fini(&why);
    return status;
}

/* ---- reading ---- */

static enum inst_status failed(struct inst_zip *zip, struct inst_err *err) {
    return inst_err_set(err, "archive", 0, "%s cannot be read: %s", zip->path,
                        zip->entry ? zip->api.file_strerror(zip->entry)
                                   : zip->api.strerror(zip->archive));
}

enum inst_status inst_zip_open(const char *path, struct inst_zip **out, struct inst_err *err) {
    struct inst_zip *zip = calloc(1, sizeof *zip);
    if (!zip || !(zip->path = strdup(path))) {
        free(zip);
        return inst_err_nomem(err);
    }
    enum inst_status status = load(&zip->api, err);
    if (status == INST_OK)
        status = open_archive(&zip->api, path, ZIP_RDONLY, &zip->archive, err);
    if (status != INST_OK) {
        inst_zip_close(zip);
        return status;
    }
    *out = zip;
    return INST_OK;
}

uint64_t inst_zip_count(const struct inst_zip *zip) {
    zip_int64_t count = zip->api.get_num_entries(zip->archive, 0);
    return count > 0 ? (uint64_t)count : 0;
}

enum inst_status inst_zip_entry(struct inst_zip *zip, uint64_t i, const char **name, uint64_t *size,
                                struct inst_err *err) {
    zip_stat_t stat;
    if (zip->api.stat_index(zip->archive, i, 0, &stat) != 0)
        return failed(zip, err);
    if (!(stat.valid & ZIP_STAT_NAME) || !(stat.valid & ZIP_STAT_SIZE))
        return inst_err_set(err, "archive", 0, "%s: entry %llu has no name or no size", zip->path,
                            (unsigned long long)i);
    *name = stat.name;
    *size = stat.size;
    return INST_OK;
}

static void end_entry(struct inst_zip *zip) {
    if (zip->entry)
        zip->api.fclose(zip->entry);
    zip->entry = NULL;
}

enum inst_status inst_zip_begin(struct inst_zip *zip, uint64_t i, struct inst_err *err) {
    end_entry(zip);
    zip->entry = zip->api.fopen_index(zip->archive, i, 0);
    return zip->entry ? INST_OK : failed(zip, err);
}

enum inst_status inst_zip_read(struct inst_zip *zip, void *bytes, size_t cap, size_t *len,
                               struct inst_err *err) {
    *len = 0;
    if (!zip->entry)
        return INST_OK;
    zip_int64_t n = zip->api.fread(zip->entry, bytes, cap);
    if (n < 0)
        return failed(zip, err);
    *len = (size_t)n;
    return INST_OK;
}

void inst_zip_close(struct inst_zip *zip) {
    if (!zip)
        return;
    end_entry(zip);
    if (zip->archive)
        zip->api.discard(zip->archive);
    free(zip->path);
    free(zip);
}

/* ---- writing ---- */

enum inst_status inst_zip_create(const char *path, struct inst_zip_writer **out,
                                 struct inst_err *err) {
    struct inst_zip_writer *writer = calloc(1, sizeof *writer);
    if (!writer || !(writer->path = strdup(path))) {
        free(writer);
        return inst_err_nomem(err);
    }
    enum inst_status status = load(&writer->api, err);
    if (status == INST_OK)
        status = open_archive(&writer->api, path, ZIP_CREATE | ZIP_EXCL, &writer->archive, err);
    if (status != INST_OK) {
        inst_zip_discard(writer);
        return status;
    }
    *out = writer;
    return INST_OK;
}

enum inst_status inst_zip_add(struct inst_zip_writer *writer, const char *name, const char *file,
                              struct inst_err *err) {
    zip_source_t *source = writer->api.source_file(writer->archive, file, 0, -1);
    if (source && writer->api.file_add(writer->archive, name, source, ZIP_FL_ENC_UTF_8) >= 0)
        return INST_OK;
    if (source)
        writer->api.source_free(source);
    return inst_err_set(err, "archive", 0, "%s: %s cannot be added: %s", writer->path, name,
                        writer->api.strerror(writer->archive));
}

static void on_progress(zip_t *archive, double done, void *ctx) {
    struct inst_zip_writer *writer = ctx;
    (void)archive;
    writer->progress(writer->ctx, done);
}

enum inst_status inst_zip_finish(struct inst_zip_writer *writer,
                                 void (*progress)(void *ctx, double done), void *ctx,
                                 struct inst_err *err) {
    enum inst_status status = INST_OK;
    writer->progress = progress;
    writer->ctx = ctx;
    if (progress)
        writer->api.register_progress_callback_with_state(writer->archive, 0.001, on_progress, NULL,
                                                          writer);
    if (writer->api.close(writer->archive) == 0)
        writer->archive = NULL;
    else
        status = inst_err_set(err, "archive", 0, "%s cannot be written: %s", writer->path,
                              writer->api.strerror(writer->archive));
    inst_zip_discard(writer);
    return status;
}

void inst_zip_discard(struct inst_zip_writer *writer) {
    if (!writer)
        return;
    if (writer->archive)
        writer->api.discard(writer->archive);
    free(writer->path);
    free(writer);
}
