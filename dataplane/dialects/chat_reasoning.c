/*
 * Reasoning and foreign items in a client's messages: what chat completions have no place for comes
 * back in members that we (and OpenRouter) give: reasoning_content, reasoning_details.
 */
#include "dataplane/dialects/carry.h"
#include "dataplane/dialects/chat_internal.h"

#include <stdio.h>

enum { D_TYPE, D_TEXT, D_SUMMARY, D_SIGNATURE, D_DATA, D_ID, D_FORMAT, D_INDEX, D_ITEM, D_NAMES };
static const char *const detail_names[D_NAMES] = {
    "type", "text", "summary", "signature", "data", "id", "format", "index", "item",
};

/* The entry without what has a place of its own, for a provider that wants its own back. */
int
chat_detail_rest(struct arena *a, struct json_view entry, struct slice *ret)
{
    struct buf rest;
    struct slice name;
    struct json_view value;
    size_t cursor = 0;
    buf_init(&rest, entry.raw.len + 2);
    struct json_emit e = json_emit_into(&rest);
    emit_map(&e);
    while (json_view_next(entry, &cursor, &name, &value)) {
        if (slice_is(name, "text") || slice_is(name, "summary") || slice_is(name, "signature") ||
            slice_is(name, "data"))
            continue;
        emit_raw(&e,
                 slice_make(name.at - 1, (size_t)(value.raw.at + value.raw.len - (name.at - 1))));
    }
    emit_end_map(&e);
    if (!e.err)
        *ret = arena_copy(a, buf_slice(&rest));
    buf_free(&rest);
    return e.err ? e.err : ret->at ? 0 : ERR_NOMEM;
}

struct details {
    struct chat_reader *r;
    const char *path;
    struct canon_part *at;
    int64_t *position;
    size_t *count;
    bool open; /* the last part may get more pieces: */
    struct buf text, signature;
};

/* The last part's pieces are all there. */
static int
close_part(struct details *d)
{
    struct canon_part *p = &d->at[*d->count - (d->open ? 1 : 0)];
    if (!d->open)
        return 0;
    d->open = false;
    if (d->text.len)
        p->text = arena_copy(d->r->arena, buf_slice(&d->text));
    if (d->signature.len)
        p->signature = arena_copy(d->r->arena, buf_slice(&d->signature));
    bool lost = (d->text.len && !p->text.at) || (d->signature.len && !p->signature.at);
    buf_clear(&d->text);
    buf_clear(&d->signature);
    return lost ? ERR_NOMEM : 0;
}

static int
read_opaque(struct details *d, const struct json_view *f, enum dialect_id origin)
{
    if (f[D_ITEM].kind != JSON_MAP)
        return chat_refuse(d->r, d->path, "has an opaque entry without an 'item' object.");
    int err = close_part(d);
    if (err)
        return err;
    struct canon_part *p = &d->at[*d->count];
    *p = (struct canon_part){.kind = PART_OPAQUE, .origin = origin, .raw = f[D_ITEM].raw};
    d->position[(*d->count)++] = json_view_int_or(f[D_INDEX], -1);
    return json_view_opt_text(f[D_ID], d->r->arena, &p->id);
}

/* Whether it belongs to the part before it: streams give an entry in pieces with one index. */
static bool
is_piece(const struct details *d, const struct canon_part *piece, int64_t position, bool has_format)
{
    if (!d->open || position < 0 || position != d->position[*d->count - 1])
        return false;
    const struct canon_part *last = &d->at[*d->count - 1];
    bool is_plain = !last->encrypted.len && !piece->encrypted.len;
    bool is_mixed = !(last->encrypted.len && piece->encrypted.len) && last->origin != DIALECT_CHAT;
    return (is_plain || is_mixed) && (last->origin == piece->origin || !has_format);
}

static int
read_reasoning(struct details *d, struct json_view entry, const struct json_view *f, bool known,
               enum dialect_id origin)
{
    struct arena *a = d->r->arena;
    struct canon_part piece = {.kind = PART_REASONING, .origin = origin};
    int64_t position = json_view_int_or(f[D_INDEX], -1);
    int err =
        json_view_opt_text(f[json_view_is_set(f[D_TEXT]) ? D_TEXT : D_SUMMARY], a, &piece.text);
    if (!err)
        err = json_view_opt_text(f[D_SIGNATURE], a, &piece.signature);
    if (!err)
        err = json_view_opt_text(f[D_DATA], a, &piece.encrypted);
    if (!err)
        err = json_view_opt_text(f[D_ID], a, &piece.id);
    if (!err && !known)
        err = chat_detail_rest(a, entry, &piece.raw);
    if (err == ERR_SYNTAX)
        return chat_refuse(d->r, d->path, "has an entry with a member that must be a text.");
    if (err)
        return err;
    if (!is_piece(d, &piece, position, json_view_is_set(f[D_FORMAT]))) {
        err = close_part(d);
        if (err)
            return err;
        d->position[*d->count] = position;
        d->at[(*d->count)++] = piece;
        d->open = true;
    } else if (piece.encrypted.len) {
        d->at[*d->count - 1].encrypted = piece.encrypted;
        d->at[*d->count - 1].id = piece.id;
    }
    err = buf_add_slice(&d->text, piece.text);
    return err ? err : buf_add_slice(&d->signature, piece.signature);
}

static int
read_detail(struct details *d, struct json_view entry)
{
    struct json_view f[D_NAMES];
    struct slice format;
    enum dialect_id origin = DIALECT_CHAT;
    if (entry.kind != JSON_MAP)
        return chat_refuse(d->r, d->path, "must be a list of objects.");
    json_view_fields(entry, detail_names, D_NAMES, f);
    int err = json_view_opt_text(f[D_FORMAT], d->r->arena, &format);
    if (err == ERR_SYNTAX)
        return chat_refuse(d->r, d->path, "has an entry whose 'format' is no text.");
    if (err)
        return err;
    bool known = format.len && carry_parse_name(format, &origin) == 0;
    if (json_view_is(f[D_TYPE], "opaque"))
        return read_opaque(d, f, origin);
    return read_reasoning(d, entry, f, known, origin);
}

/* An entry that has the signature only belongs to the text which the message shows beside. */
static int
lend_text(struct chat_reader *r, struct json_view shown, struct canon_part *at, size_t count)
{
    struct canon_part *lacks = NULL;
    for (size_t i = 0; i < count; i++) {
        if (at[i].kind != PART_REASONING || at[i].encrypted.len)
            continue;
        if (at[i].text.len || lacks || at[i].origin == DIALECT_GEMINI)
            return 0;
        lacks = &at[i];
    }
    return lacks && shown.kind == JSON_TEXT ? json_view_text(shown, r->arena, &lacks->text) : 0;
}

static struct json_view
shown_reasoning(struct json_view message)
{
    struct json_view text = json_view_get(message, "reasoning_content");
    return text.kind == JSON_TEXT ? text : json_view_get(message, "reasoning");
}

size_t
chat_count_reasoning(struct json_view message)
{
    return 1 + json_view_count(json_view_get(message, "reasoning_details"));
}

int
chat_read_reasoning(struct chat_reader *r, struct json_view message, const char *path,
                    struct canon_part *at, int64_t *position, size_t *count)
{
    struct json_view list = json_view_get(message, "reasoning_details"), entry;
    struct json_view shown = shown_reasoning(message);
    struct slice name;
    size_t cursor = 0, first = *count;
    char where[CHAT_PATH_BYTES];
    int err = 0;
    snprintf(where, sizeof(where), "%s.reasoning_details", path);
    struct details d = {.r = r, .path = where, .at = at, .position = position, .count = count};
    while (!err && json_view_next(list, &cursor, &name, &entry))
        err = read_detail(&d, entry);
    if (!err)
        err = close_part(&d);
    buf_free(&d.text);
    buf_free(&d.signature);
    if (err)
        return err;
    if (*count > first)
        return lend_text(r, shown, at + first, *count - first);
    if (shown.kind != JSON_TEXT || shown.raw.len <= 2)
        return 0;
    at[*count] = (struct canon_part){.kind = PART_REASONING, .origin = DIALECT_CHAT};
    position[*count] = -1;
    return json_view_text(shown, r->arena, &at[(*count)++].text);
}

/* --- citations -------------------------------------------------------------------------------- */

int
chat_read_annotations(struct arena *a, struct json_view list, const struct canon_citation **ret,
                      size_t *ret_count)
{
    size_t count = json_view_count(list), n = 0, cursor = 0;
    struct json_view entry;
    struct slice name;
    *ret = NULL;
    *ret_count = 0;
    if (list.kind != JSON_LIST || count == 0)
        return 0;
    struct canon_citation *c = arena_zalloc(a, count * sizeof(*c));
    if (!c)
        return ERR_NOMEM;
    while (json_view_next(list, &cursor, &name, &entry)) {
        struct json_view of = json_view_get(entry, "url_citation");
        c[n] = (struct canon_citation){.origin = DIALECT_CHAT, .raw = entry.raw};
        if (of.kind != JSON_MAP)
            of = entry;
        c[n].start = json_view_int_or(json_view_get(of, "start_index"), -1);
        c[n].end = json_view_int_or(json_view_get(of, "end_index"), -1);
        if (json_view_opt_text(json_view_get(of, "url"), a, &c[n].url) == ERR_NOMEM ||
            json_view_opt_text(json_view_get(of, "title"), a, &c[n].title) == ERR_NOMEM ||
            json_view_opt_text(json_view_get(of, "content"), a, &c[n].cited_text) == ERR_NOMEM)
            return ERR_NOMEM;
        n++;
    }
    *ret = c;
    *ret_count = n;
    return 0;
}
