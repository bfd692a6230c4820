/* What an encoder keeps of an answer, bounded, and its items as JSON. */
#include "dataplane/dialects/carry.h"
#include "dataplane/dialects/responses_internal.h"

#include <stdlib.h>
#include <string.h>

/* --- what is kept ----------------------------------------------------------------------------- */

int
responses_hold(struct responses_encoding *s, struct buf *b, struct slice text)
{
    if (text.len > LIMIT_ENCODED_BYTES - s->bytes)
        return ERR_LIMIT;
    s->bytes += text.len;
    return buf_add_slice(b, text);
}

int
responses_hold_element(struct responses_encoding *s, struct buf *list, struct slice element)
{
    int err = list->len ? responses_hold(s, list, SLICE(",")) : 0;
    return err ? err : responses_hold(s, list, element);
}

int
responses_keep_slice(struct responses_encoding *s, struct slice *text)
{
    if (text->at) {
        if (text->len > LIMIT_ENCODED_BYTES - s->bytes)
            return ERR_LIMIT;
        s->bytes += text->len;
        *text = arena_copy(&s->own, *text);
        return text->at ? 0 : ERR_NOMEM;
    }
    return 0;
}

static int
keep_part(struct responses_encoding *s, struct canon_part *p)
{
    struct slice *const texts[] = {&p->id,        &p->name,       &p->signature, &p->encrypted,
                                   &p->raw,       &p->media.mime, &p->media.url, &p->text,
                                   &p->arguments, &p->media.data};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int err = responses_keep_slice(s, texts[i]);
        if (err)
            return err;
    }
    p->parts = NULL;
    p->citations = NULL;
    p->part_count = p->citation_count = 0;
    return 0;
}

/* A growing array's room for one more; NULL: no memory, or too many. */
static void *
grow(void *at, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return at;
    if (count >= LIMIT_ENCODED_PARTS)
        return NULL;
    size_t more = *cap ? 2 * *cap : 8;
    void *bigger = realloc(at, more * size);
    if (bigger)
        *cap = more;
    return bigger;
}

int
responses_new_item(struct responses_encoding *s, enum responses_item_kind kind, const char *prefix,
                   struct slice given)
{
    struct responses_item *at = grow(s->items, s->item_count, &s->item_cap, sizeof(*at));
    if (!at)
        return s->item_count >= LIMIT_ENCODED_PARTS ? ERR_LIMIT : ERR_NOMEM;
    s->items = at;
    struct responses_item *item = &s->items[s->item_count];
    *item = (struct responses_item){.kind = kind, .id = given};
    if (given.len == 0) {
        char *id =
            arena_printf(&s->own, "%s%.*s%04zx", prefix, SLICE_ARG(s->names.id), s->item_count);
        if (!id)
            return ERR_NOMEM;
        item->id = slice_of(id);
    }
    s->item_count++;
    return 0;
}

struct responses_piece *
responses_piece_of(struct responses_encoding *s, unsigned part)
{
    return part < s->piece_count && s->pieces[part].of.kind != PART_TOOL_RESULT ? &s->pieces[part]
                                                                                : NULL;
}

/* Parts are numbered in their order, but may begin out of it. */
int
responses_new_piece(struct responses_encoding *s, const struct canon_event *e,
                    struct responses_piece **ret)
{
    if (e->part >= LIMIT_ENCODED_PARTS)
        return ERR_LIMIT;
    while (s->piece_count <= e->part) {
        struct responses_piece *at = grow(s->pieces, s->piece_count, &s->piece_cap, sizeof(*at));
        if (!at)
            return ERR_NOMEM;
        s->pieces = at;
        /* A result is nothing that a model answers: it marks what has not begun. */
        s->pieces[s->piece_count++] = (struct responses_piece){.of.kind = PART_TOOL_RESULT};
    }
    *ret = &s->pieces[e->part];
    if ((*ret)->of.kind != PART_TOOL_RESULT || e->of.kind == PART_TOOL_RESULT)
        return ERR_PROTOCOL;
    **ret = (struct responses_piece){.of = e->of};
    return keep_part(s, &(*ret)->of);
}

/* --- items as JSON ---------------------------------------------------------------------------- */

static bool
is_own(const struct canon_part *p)
{
    return p->origin == DIALECT_RESPONSES;
}

void
responses_emit_list(struct json_emit *e, const char *name, const struct buf *elements)
{
    emit_name(e, name);
    emit_list(e);
    if (elements && elements->len)
        emit_raw(e, buf_slice(elements));
    emit_end_list(e);
}

void
responses_emit_piece(struct json_emit *e, const struct responses_piece *p, bool whole)
{
    struct slice text = whole ? buf_slice(&p->text) : (struct slice){0};
    bool refusal = p->of.kind == PART_REFUSAL;
    emit_map(e);
    emit_str_member(e, "type", refusal ? "refusal" : "output_text");
    emit_text_member(e, refusal ? "refusal" : "text", text);
    if (!refusal) {
        responses_emit_list(e, "annotations", whole ? &p->notes : NULL);
        responses_emit_list(e, "logprobs", whole ? &p->logprobs : NULL);
    }
    emit_end_map(e);
}

static void
emit_message(struct responses_encoding *s, struct json_emit *e, const struct responses_item *item,
             const char *status)
{
    bool whole = strcmp(status, "in_progress") != 0;
    emit_map(e);
    emit_text_member(e, "id", item->id);
    emit_str_member(e, "type", "message");
    emit_str_member(e, "status", status);
    emit_str_member(e, "role", "assistant");
    emit_members_of(e, item->phase);
    emit_name(e, "content");
    emit_list(e);
    for (size_t i = 0, n = 0; whole && i < s->piece_count && n < item->pieces; i++) {
        const struct responses_piece *p = responses_piece_of(s, (unsigned)i);
        if (!p || &s->items[p->item] != item)
            continue;
        responses_emit_piece(e, p, true);
        n++;
    }
    emit_end_list(e);
    emit_end_map(e);
}

/* What of foreign reasoning, or of a foreign item, must come back: empty when that is nothing. */
static int
pack(struct responses_encoding *s, const struct responses_piece *p, struct slice *ret)
{
    struct canon_part part = p->of;
    *ret = (struct slice){0};
    part.text = (struct slice){0}; /* stands beside, as the summary */
    if (p->signature.len)
        part.signature = buf_slice(&p->signature);
    if (part.kind == PART_REASONING && is_own(&part)) {
        *ret = part.encrypted;
        return 0;
    }
    if (part.kind == PART_REASONING && !part.signature.len && !part.encrypted.len)
        return 0;
    return carry_pack(&s->own, &part, ret);
}

static int
emit_reasoning(struct responses_encoding *s, struct json_emit *e, const struct responses_item *item,
               const struct responses_piece *p, bool whole)
{
    struct slice packed = {0};
    int err = whole ? pack(s, p, &packed) : 0;
    emit_map(e);
    emit_text_member(e, "id", item->id);
    emit_str_member(e, "type", "reasoning");
    emit_name(e, "summary");
    emit_list(e);
    if (whole && p->text.len) {
        emit_map(e);
        emit_str_member(e, "type", "summary_text");
        emit_text_member(e, "text", buf_slice(&p->text));
        emit_end_map(e);
    }
    emit_end_list(e);
    if (packed.len)
        emit_text_member(e, "encrypted_content", packed);
    emit_end_map(e);
    return err;
}

static void
emit_call(struct json_emit *e, const struct responses_item *item, const struct responses_piece *p,
          const char *status)
{
    bool whole = strcmp(status, "in_progress") != 0;
    emit_map(e);
    emit_text_member(e, "id", item->id);
    emit_str_member(e, "type", p->of.custom ? "custom_tool_call" : "function_call");
    emit_str_member(e, "status", status);
    emit_text_member(e, p->of.custom ? "input" : "arguments",
                     whole ? buf_slice(&p->text) : (struct slice){0});
    emit_text_member(e, "call_id", p->of.id);
    emit_text_member(e, "name", p->of.name);
    if (is_own(&p->of))
        emit_members_of(e, p->of.raw);
    emit_end_map(e);
}

static void
emit_image(struct json_emit *e, const struct responses_item *item, const struct responses_piece *p,
           bool whole)
{
    emit_map(e);
    emit_text_member(e, "id", item->id);
    emit_str_member(e, "type", "image_generation_call");
    emit_str_member(e, "status", whole ? "completed" : "in_progress");
    emit_name(e, "result");
    if (whole)
        emit_text(e, buf_slice(&p->text));
    else
        emit_null(e);
    emit_end_map(e);
}

int
responses_emit_item(struct responses_encoding *s, struct json_emit *e,
                    const struct responses_item *item, const char *status)
{
    const struct responses_piece *p = &s->pieces[item->first];
    bool whole = strcmp(status, "in_progress") != 0;
    switch (item->kind) {
    case ITEM_MESSAGE:
        emit_message(s, e, item, status);
        return 0;
    case ITEM_CALL:
        emit_call(e, item, p, status);
        return 0;
    case ITEM_IMAGE:
        emit_image(e, item, p, whole);
        return 0;
    case ITEM_OPAQUE:
        emit_raw(e, p->of.raw);
        return 0;
    case ITEM_REASONING:
        break;
    }
    return emit_reasoning(s, e, item, p, whole);
}
