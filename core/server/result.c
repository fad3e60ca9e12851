#include "server/result.h"

#include "base/json.h"
#include "base/text.h"

void inst_result_hash_bytes(const char *bytes, size_t len, uint64_t seed,
                            struct inst_result_hash *hash) {
    hash->a += inst_text_hash(bytes, len, seed);
    hash->b += inst_text_hash(bytes, len, ~seed);
}

static void write_entity(struct inst_buf *buf, struct inst_store *store, uint32_t e) {
    struct inst_value id = store->ops->entity_id(store, e);
    inst_json_write(buf, &id);
}

static void write_triple(struct inst_buf *buf, struct inst_store *store,
                         const struct inst_collected_triple *collected) {
    const struct inst_triple *triple = &collected->triple;
    inst_buf_add_char(buf, '[');
    write_entity(buf, store, triple->e);
    inst_buf_add_char(buf, ',');
    inst_json_write(buf, &collected->attr->id);
    inst_buf_add_char(buf, ',');
    if (collected->attr->is_ref && triple->ref != 0)
        write_entity(buf, store, triple->ref);
    else if (triple->v.tag == INST_ENTITY)
        write_entity(buf, store, (uint32_t)triple->v.u.entity);
    else if (triple->v.tag == INST_UNDEFINED)
        inst_buf_add_str(buf, "null");
    else
        inst_json_write(buf, &triple->v);
    inst_buf_add_char(buf, ',');
    if (triple->t == INST_NO_TIME)
        inst_buf_add_str(buf, "null");
    else
        inst_buf_add_int(buf, triple->t);
    inst_buf_add_char(buf, ']');
}

static void write_page(struct inst_buf *buf, struct inst_store *store,
                       const struct inst_collected_page *page) {
    inst_json_write(buf, &page->etype);
    inst_buf_add_str(buf, ":{\"start-cursor\":");
    if (page->is_empty)
        inst_buf_add_str(buf, "null");
    else
        write_triple(buf, store, &page->start);
    inst_buf_add_str(buf, ",\"end-cursor\":");
    if (page->is_empty)
        inst_buf_add_str(buf, "null");
    else
        write_triple(buf, store, &page->end);
    inst_buf_addf(buf, ",\"has-next-page?\":%s,\"has-previous-page?\":%s}",
                  page->has_next ? "true" : "false", page->has_previous ? "true" : "false");
}

static void write_pages(struct inst_buf *buf, struct inst_store *store,
                        const struct inst_collected *collected) {
    inst_buf_add_char(buf, '{');
    for (size_t i = 0; i < collected->page_count; i++) {
        if (i > 0)
            inst_buf_add_char(buf, ',');
        write_page(buf, store, &collected->pages[i]);
    }
    inst_buf_add_char(buf, '}');
}

static void write_counts(struct inst_buf *buf, const struct inst_collected *collected) {
    inst_buf_add_char(buf, '{');
    for (size_t i = 0; i < collected->count_count; i++) {
        if (i > 0)
            inst_buf_add_char(buf, ',');
        inst_json_write(buf, &collected->counts[i].etype);
        inst_buf_add_str(buf, ":{\"count\":");
        inst_buf_add_int(buf, (int64_t)collected->counts[i].count);
        inst_buf_add_char(buf, '}');
    }
    inst_buf_add_char(buf, '}');
}

void inst_result_write_rows(struct inst_buf *buf, struct inst_store *store,
                            const struct inst_collected *collected, uint64_t seed,
                            struct inst_result_hash *hash) {
    inst_buf_add_str(buf, "[{\"data\":{\"datalog-result\":{\"join-rows\":[[");
    for (size_t i = 0; i < collected->triple_count; i++) {
        if (i > 0)
            inst_buf_add_char(buf, ',');
        size_t start = buf->len;
        write_triple(buf, store, &collected->triples[i]);
        if (!buf->failed)
            inst_result_hash_bytes(buf->data + start, buf->len - start, seed, hash);
    }
    inst_buf_add_str(buf, "]]}");
    size_t start = buf->len;
    if (collected->page_count > 0) {
        inst_buf_add_str(buf, ",\"page-info\":");
        write_pages(buf, store, collected);
    }
    if (collected->count_count > 0) {
        inst_buf_add_str(buf, ",\"aggregate\":");
        write_counts(buf, collected);
    }
    if (!buf->failed)
        inst_result_hash_bytes(buf->data + start, buf->len - start, seed + 1, hash);
    inst_buf_add_str(buf, "},\"child-nodes\":[]}]");
}

void inst_result_write_meta(struct inst_buf *buf, struct inst_store *store,
                            const struct inst_collected *meta) {
    inst_buf_add_str(buf, "{\"page-info\":");
    write_pages(buf, store, meta);
    inst_buf_add_str(buf, ",\"aggregate\":");
    write_counts(buf, meta);
    inst_buf_add_char(buf, '}');
}
