#include "dataplane/dialects/gemini_answer.h"

#include "dataplane/dialects/carry.h"
#include "dataplane/dialects/gemini_logprobs.h"
#include "lib/base/encode.h"

#define LIMIT_SOURCES_BYTES ((size_t)1 << 20)

/* --- sources ---------------------------------------------------------------------------------- */

void
gemini_sources_init(struct gemini_sources *s)
{
    buf_init(&s->chunks, LIMIT_SOURCES_BYTES);
    buf_init(&s->supports, LIMIT_SOURCES_BYTES);
    s->count = 0;
}

void
gemini_sources_free(struct gemini_sources *s)
{
    buf_free(&s->chunks);
    buf_free(&s->supports);
}

static int
add_chunk(struct gemini_sources *s, const struct canon_citation *c)
{
    struct json_emit e = json_emit_into(&s->chunks);
    e.comma = s->count > 0;
    if (c->origin == DIALECT_GEMINI && c->raw.len && c->raw.at[0] == '{') {
        emit_raw(&e, c->raw);
        return e.err;
    }
    emit_map(&e);
    emit_name(&e, "web");
    emit_map(&e);
    emit_opt_text(&e, "uri", c->url);
    emit_opt_text(&e, "title", c->title);
    emit_end_map(&e);
    emit_end_map(&e);
    return e.err;
}

static int
add_support(struct gemini_sources *s, const struct canon_citation *c,
            const struct gemini_places *places, size_t part)
{
    struct json_emit e = json_emit_into(&s->supports);
    int64_t start = gemini_places_byte(places, c->start), end = gemini_places_byte(places, c->end);
    if (start < 0 || end < start)
        return 0;
    e.comma = s->supports.len > 0;
    emit_map(&e);
    emit_name(&e, "segment");
    emit_map(&e);
    if (part)
        emit_int_member(&e, "partIndex", (int64_t)part);
    emit_int_member(&e, "startIndex", start);
    emit_int_member(&e, "endIndex", end);
    emit_end_map(&e);
    emit_name(&e, "groundingChunkIndices");
    emit_list(&e);
    emit_int(&e, (int64_t)s->count);
    emit_end_list(&e);
    emit_end_map(&e);
    return e.err;
}

int
gemini_sources_add(struct gemini_sources *s, const struct canon_citation *c,
                   const struct gemini_places *places, size_t part)
{
    if (s->count == LIMIT_CITATIONS)
        return 0;
    int err = add_chunk(s, c);
    if (!err)
        err = add_support(s, c, places, part);
    s->count++;
    return err;
}

static void
write_list(struct json_emit *e, const char *name, const struct buf *items)
{
    emit_name(e, name);
    emit_list(e);
    if (items->len)
        emit_raw(e, buf_slice(items));
    emit_end_list(e);
}

void
gemini_sources_write(struct json_emit *e, const struct gemini_sources *s)
{
    if (s->count == 0)
        return;
    emit_name(e, "groundingMetadata");
    emit_map(e);
    write_list(e, "groundingChunks", &s->chunks);
    write_list(e, "groundingSupports", &s->supports);
    emit_end_map(e);
}

/* --- parts ------------------------------------------------------------------------------------ */

static bool
is_map(struct slice text)
{
    struct json_span root;
    struct json_error why;
    return text.len && json_scan(text, &json_limits_default, NULL, 0, NULL, &root, &why) == 0 &&
           root.kind == JSON_MAP;
}

void
gemini_write_arguments(struct json_emit *e, struct slice arguments)
{
    emit_name(e, "args");
    arguments = slice_trim(arguments);
    if (is_map(arguments)) {
        emit_raw(e, arguments);
        return;
    }
    emit_map(e);
    if (arguments.len && !slice_is(arguments, "null"))
        emit_text_member(e, "arguments", arguments);
    emit_end_map(e);
}

static int
carried(const struct canon_part *p, struct arena *a, struct slice *ret)
{
    struct slice text;
    int err = carry_pack(a, p, &text);
    if (err)
        return err == ERR_NOMEM ? err : (*ret = (struct slice){0}, 0); /* too long: not replayed */
    char *at = arena_alloc(a, BASE64_BYTES(text.len));
    if (!at)
        return ERR_NOMEM;
    *ret = slice_make(at, base64_encode(text.at, text.len, at));
    return 0;
}

/* Also of a bare signature there is a text, as Google says it: SDKs drop parts without any. */
static void
write_text(struct json_emit *e, struct slice text, bool is_thought, struct slice signature)
{
    emit_map(e);
    emit_text_member(e, "text", text.at ? text : SLICE(""));
    if (is_thought)
        emit_bool_member(e, "thought", true);
    if (signature.len)
        emit_text_member(e, "thoughtSignature", signature);
    emit_end_map(e);
}

/* Thoughts, and what another dialect needs back. */
static int
write_state(struct json_emit *e, const struct canon_part *p, bool show, struct arena *a)
{
    struct slice signature = p->signature, text = show ? p->text : (struct slice){0};
    bool has_state = p->kind == PART_OPAQUE || p->signature.len || p->encrypted.len;
    if (p->origin != DIALECT_GEMINI) {
        signature = (struct slice){0};
        int err = has_state ? carried(p, a, &signature) : 0;
        if (err)
            return err;
    }
    if (text.len == 0 && signature.len == 0)
        return 0;
    write_text(e, text, true, signature);
    return 1;
}

static void
write_call(struct json_emit *e, const struct canon_part *p)
{
    emit_map(e);
    emit_name(e, "functionCall");
    emit_map(e);
    if (p->id.len)
        emit_text_member(e, "id", p->id);
    emit_text_member(e, "name", p->name);
    gemini_write_arguments(e, p->arguments);
    emit_end_map(e);
    if (p->origin == DIALECT_GEMINI && p->signature.len)
        emit_text_member(e, "thoughtSignature", p->signature);
    emit_end_map(e);
}

static int
write_media(struct json_emit *e, const struct canon_part *p)
{
    const struct canon_media *m = &p->media;
    bool is_inline = m->data.len > 0;
    if (!is_inline && m->url.len == 0)
        return 0;
    emit_map(e);
    emit_name(e, is_inline ? "inlineData" : "fileData");
    emit_map(e);
    emit_text_member(e, "mimeType", m->mime.len ? m->mime : SLICE("application/octet-stream"));
    emit_text_member(e, is_inline ? "data" : "fileUri", is_inline ? m->data : m->url);
    emit_end_map(e);
    emit_end_map(e);
    return 1;
}

int
gemini_write_part(struct json_emit *e, const struct canon_part *p, bool show, struct arena *a)
{
    struct slice signature = p->origin == DIALECT_GEMINI ? p->signature : (struct slice){0};
    switch (p->kind) {
    case PART_TEXT:
    case PART_REFUSAL:
        if (p->text.len || signature.len)
            write_text(e, p->text, false, signature);
        return p->text.len || signature.len;
    case PART_REASONING:
        return write_state(e, p, show, a);
    case PART_OPAQUE:
        if (p->origin != DIALECT_GEMINI)
            return write_state(e, p, false, a);
        emit_raw(e, p->raw);
        return 1;
    case PART_TOOL_CALL:
        write_call(e, p);
        return 1;
    case PART_AUDIO:
        if (p->text.len)
            write_text(e, p->text, false, (struct slice){0});
        return write_media(e, p) || p->text.len;
    case PART_IMAGE:
    case PART_FILE:
        return write_media(e, p);
    case PART_TOOL_RESULT:
        break;
    }
    return 0;
}

/* --- whole answers ---------------------------------------------------------------------------- */

static int
add_sources(struct gemini_sources *s, const struct canon_part *p, size_t part, struct arena *a)
{
    struct gemini_places places = {.count = 0};
    int err = p->citation_count ? gemini_places_add(&places, p->text, a) : 0;
    for (size_t i = 0; i < p->citation_count && !err; i++)
        err = gemini_sources_add(s, &p->citations[i], &places, part);
    return err;
}

static int
write_parts(struct json_emit *e, const struct canon_choice_answer *c, bool show,
            struct gemini_sources *sources, struct arena *a)
{
    size_t written = 0;
    int err = 0;
    emit_name(e, "content");
    emit_map(e);
    emit_name(e, "parts");
    emit_list(e);
    for (size_t i = 0; i < c->count && err >= 0; i++) {
        err = gemini_write_part(e, &c->parts[i], show, a);
        if (err >= 0 && add_sources(sources, &c->parts[i], written, a))
            err = ERR_NOMEM;
        written += err > 0;
    }
    emit_end_list(e);
    emit_str_member(e, "role", "model");
    emit_end_map(e);
    return err < 0 ? err : 0;
}

static int
write_candidate(struct json_emit *e, const struct canon_answer *answer, size_t index, bool show,
                struct arena *a)
{
    const struct canon_choice_answer *c = &answer->choices[index];
    struct gemini_sources sources;
    gemini_sources_init(&sources);
    emit_map(e);
    int err = write_parts(e, c, show, &sources, a);
    emit_str_member(e, "finishReason",
                    gemini_finish_word(c->finish, c->native_finish, answer->origin));
    emit_int_member(e, "index", (int64_t)index);
    gemini_sources_write(e, &sources);
    if (c->logprobs_raw.len) {
        emit_name(e, "logprobsResult");
        gemini_write_logprobs(e, c->logprobs_raw);
    }
    emit_end_map(e);
    gemini_sources_free(&sources);
    return err;
}

int
gemini_write_answer(const struct canon_request *q, const struct canon_answer *answer,
                    const struct answer_names *names, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    struct arena a;
    int err = 0;
    arena_init(&a, 0);
    emit_map(&e);
    emit_name(&e, "candidates");
    emit_list(&e);
    for (size_t i = 0; i < answer->choice_count && !err; i++)
        err = write_candidate(&e, answer, i, q->reasoning.show == TRI_YES, &a);
    emit_end_list(&e);
    emit_name(&e, "usageMetadata");
    gemini_write_usage(&e, &answer->usage);
    emit_text_member(&e, "modelVersion", names->model);
    emit_text_member(&e, "responseId", names->id);
    emit_end_map(&e);
    arena_free(&a);
    return err ? err : e.err;
}
