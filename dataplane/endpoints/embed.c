/* POST /v1/embeddings: OpenAI's shape, for all providers who embed texts. */
#include "dataplane/endpoints/embed.h"

#include "lib/base/encode.h"
#include "lib/json/emit.h"

#include <stdlib.h>
#include <string.h>

/* --- the request ------------------------------------------------------------------------------ */

enum { IN_INPUT, IN_MODEL, IN_ENCODING, IN_DIMENSIONS, IN_USER, IN_TYPE, IN_NAMES };
static const char *const in_names[IN_NAMES] = {
    "input", "model", "encoding_format", "dimensions", "user", "input_type",
};

static int
refuse_tokens(struct dialect_writer *w)
{
    return dialect_refuse(w->why, ERR_DENIED, "input",
                          "'input': provider '%.*s' takes texts, not tokens.",
                          SLICE_ARG(w->target->provider->name));
}

static int
read_texts(struct json_view input, struct dialect_writer *w, struct canon_embeddings *ret)
{
    struct json_view list = input, text;
    struct slice name;
    size_t cursor = 0, count = input.kind == JSON_LIST ? json_view_count(input) : 1;
    struct slice *texts;
    if (input.kind == JSON_ABSENT) {
        w->why->missing = true;
        return dialect_refuse(w->why, ERR_SYNTAX, "input", "The member 'input' is missing.");
    }
    if (count == 0 || count > LIMIT_EMBEDDED_TEXTS)
        return dialect_refuse(w->why, ERR_SYNTAX, "input", "'input' must hold 1 to %d texts.",
                              LIMIT_EMBEDDED_TEXTS);
    if (!(texts = arena_alloc(w->arena, count * sizeof(*texts))))
        return ERR_NOMEM;
    ret->texts = texts;
    while (input.kind == JSON_LIST ? json_view_next(list, &cursor, &name, &text)
                                   : ret->count == 0 && (text = input, true)) {
        if (text.kind == JSON_NUMBER || text.kind == JSON_LIST)
            return refuse_tokens(w);
        int err = json_view_text(text, w->arena, &texts[ret->count++]);
        if (err)
            return err == ERR_NOMEM ? err
                                    : dialect_refuse(w->why, ERR_SYNTAX, "input",
                                                     "'input' must be a text or a list of texts.");
    }
    return 0;
}

static int
read_encoding(struct json_view v, struct dialect_writer *w, struct canon_embeddings *ret)
{
    if (!json_view_is_set(v) || json_view_is(v, "float"))
        return 0;
    if (!json_view_is(v, "base64"))
        return dialect_refuse(w->why, ERR_SYNTAX, "encoding_format",
                              "'encoding_format' must be \"float\" or \"base64\".");
    ret->encoding = ENCODING_BASE64;
    return 0;
}

static int
read_dimensions(struct json_view v, struct dialect_writer *w, struct canon_embeddings *ret)
{
    ret->dimensions = -1;
    if (!json_view_is_set(v))
        return 0;
    ret->dimensions = json_view_int_or(v, -1);
    if (ret->dimensions < 1)
        return dialect_refuse(w->why, ERR_SYNTAX, "dimensions",
                              "'dimensions' must be a positive integer.");
    return 0;
}

/* Members that no provider of another shape knows. */
static int
leave_others(struct json_view top, struct dialect_writer *w)
{
    struct slice name;
    struct json_view v;
    size_t cursor = 0;
    while (json_view_next(top, &cursor, &name, &v)) {
        bool known = !json_view_is_set(v);
        for (size_t i = 0; i < IN_NAMES && !known; i++)
            known = slice_is(name, in_names[i]);
        const char *member = known ? "" : arena_strdup(w->arena, name);
        int err = known     ? 0
                  : !member ? ERR_NOMEM
                            : dialect_leave_out(w, member, "has no such option");
        if (err && err != 1)
            return err;
    }
    return 0;
}

int
embed_read_request(struct slice body, struct dialect_writer *w, struct canon_embeddings *ret)
{
    struct json_view top = json_view_of(body), at[IN_NAMES];
    *ret = (struct canon_embeddings){.dimensions = -1};
    json_view_fields(top, in_names, IN_NAMES, at);
    int err = read_texts(at[IN_INPUT], w, ret);
    if (!err)
        err = read_encoding(at[IN_ENCODING], w, ret);
    if (!err)
        err = read_dimensions(at[IN_DIMENSIONS], w, ret);
    if (!err && (err = json_view_opt_text(at[IN_TYPE], w->arena, &ret->task)) == ERR_SYNTAX)
        err = dialect_refuse(w->why, err, "input_type", "'input_type' must be a text.");
    return err ? err : leave_others(top, w);
}

/* --- the answer ------------------------------------------------------------------------------- */

/* A list of numbers as the base64 of its little-endian 32-bit floats. */
static int
add_packed(struct slice list, struct buf *into)
{
    struct json_view view = {JSON_LIST, list}, v;
    struct slice name;
    size_t cursor = 0, count = json_view_count(view), n = 0;
    unsigned char *packed = malloc(4 * count + 1);
    char *text = buf_reserve(into, BASE64_BYTES(4 * count) + 2);
    int err = packed && text ? 0 : ERR_NOMEM;
    while (!err && json_view_next(view, &cursor, &name, &v)) {
        char digits[64];
        uint32_t bits;
        if (v.kind != JSON_NUMBER || v.raw.len >= sizeof(digits)) {
            err = ERR_PROTOCOL;
            break;
        }
        memcpy(digits, v.raw.at, v.raw.len);
        digits[v.raw.len] = '\0';
        float f = strtof(digits, NULL);
        memcpy(&bits, &f, sizeof(bits));
        for (int i = 0; i < 4; i++)
            packed[n++] = (unsigned char)(bits >> (8 * i));
    }
    if (!err) {
        text[0] = '"';
        size_t len = base64_encode(packed, n, text + 1);
        text[len + 1] = '"';
        buf_commit(into, len + 2);
    }
    free(packed);
    return err;
}

static int
write_vector(struct json_emit *e, const struct canon_embeddings *q, struct slice list, size_t index)
{
    struct buf packed;
    buf_init(&packed, 0);
    int err = q->encoding == ENCODING_BASE64 ? add_packed(list, &packed) : 0;
    emit_map(e);
    emit_str_member(e, "object", "embedding");
    emit_int_member(e, "index", (int64_t)index);
    emit_opt_raw(e, "embedding", q->encoding == ENCODING_BASE64 ? buf_slice(&packed) : list);
    emit_end_map(e);
    buf_free(&packed);
    return err;
}

int
embed_write_answer(const struct canon_embeddings *q, const struct canon_vectors *v,
                   struct slice model, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    int64_t tokens = tokens_input(&v->usage.tokens);
    int err = 0;
    emit_map(&e);
    emit_str_member(&e, "object", "list");
    emit_name(&e, "data");
    emit_list(&e);
    for (size_t i = 0; i < v->count && !err; i++)
        err = write_vector(&e, q, v->vectors_raw[i], i);
    emit_end_list(&e);
    emit_text_member(&e, "model", model);
    emit_name(&e, "usage");
    emit_map(&e);
    emit_int_member(&e, "prompt_tokens", tokens);
    emit_int_member(&e, "total_tokens", tokens);
    emit_end_map(&e);
    emit_end_map(&e);
    return err ? err : e.err;
}

/* --- the endpoint ----------------------------------------------------------------------------- */

static int
route(const struct dialect_target *t, struct arena *a, struct codec_route *ret,
      struct dialect_refusal *why)
{
    const struct embed_provider *p = embed_provider_of(t);
    if (!p)
        return codec_route_openai(t, "/embeddings", a, ret, why);
    *ret = (struct codec_route){.way = CODEC_TRANSLATED};
    return p->address(t, a, &ret->address);
}

static int
write_request(struct slice body, struct dialect_writer *w, void **ret_asked, struct buf *into)
{
    struct canon_embeddings *q = arena_alloc(w->arena, sizeof(*q));
    if (!q)
        return ERR_NOMEM;
    *ret_asked = q;
    int err = embed_read_request(body, w, q);
    return err ? err : embed_provider_of(w->target)->write(q, w, into);
}

static int
read_answer(struct slice answer, const struct codec_exchange *x, struct buf *into,
            struct usage_report *report, const char **ret_why)
{
    const struct canon_embeddings *q = x->asked;
    struct canon_vectors v;
    int err = embed_provider_of(x->target)->read(answer, q->count, x->arena, &v);
    if (!err) {
        usage_merge(report, &v.usage);
        err = embed_write_answer(q, &v, x->model, into);
    }
    if (err == ERR_PROTOCOL)
        *ret_why = "not the vectors that were asked for";
    return err;
}

const struct codec codec_embeddings = {
    .brief = codec_brief_json,
    .route = route,
    .write = write_request,
    .read = read_answer,
};
