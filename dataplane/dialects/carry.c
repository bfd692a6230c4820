#include "dataplane/dialects/carry.h"

#include "lib/base/encode.h"
#include "lib/json/emit.h"
#include "lib/json/view.h"

#include <string.h>

#define CARRY_PREFIX "hg1."

static const char *const names[DIALECTS] = {
    [DIALECT_CHAT] = "chat",           [DIALECT_RESPONSES] = "responses",
    [DIALECT_ANTHROPIC] = "anthropic", [DIALECT_GEMINI] = "gemini",
    [DIALECT_CONVERSE] = "converse",   [DIALECT_COHERE] = "cohere",
};

const char *
carry_name(enum dialect_id id)
{
    return names[id];
}

int
carry_parse_name(struct slice name, enum dialect_id *ret_id)
{
    for (size_t i = 0; i < DIALECTS; i++)
        if (slice_is(name, names[i])) {
            *ret_id = (enum dialect_id)i;
            return 0;
        }
    return ERR_NOT_FOUND;
}

/* --- packing ---------------------------------------------------------------------------------- */

enum { CARRY_TEXT, CARRY_SIGNATURE, CARRY_ENCRYPTED, CARRY_ID, CARRY_RAW, CARRY_ITEM, CARRIED };
static const char *const members[CARRIED] = {"text", "signature", "encrypted", "id", "raw", "item"};

static int
write_json(const struct canon_part *part, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    bool opaque = part->kind == PART_OPAQUE;
    emit_map(&e);
    if (!opaque) {
        emit_opt_text(&e, members[CARRY_TEXT], part->text);
        emit_opt_text(&e, members[CARRY_SIGNATURE], part->signature);
        emit_opt_text(&e, members[CARRY_ENCRYPTED], part->encrypted);
    }
    emit_opt_text(&e, members[CARRY_ID], part->id);
    emit_opt_raw(&e, members[opaque ? CARRY_ITEM : CARRY_RAW], part->raw);
    emit_end_map(&e);
    return e.err;
}

int
carry_pack(struct arena *a, const struct canon_part *part, struct slice *ret_text)
{
    struct buf json;
    size_t head = sizeof(CARRY_PREFIX) - 1, name = strlen(names[part->origin]);
    buf_init(&json, LIMIT_CARRY_BYTES / 4 * 3 - 64);
    int err = write_json(part, &json);
    char *at = err ? NULL : arena_alloc(a, head + name + 1 + BASE64_BYTES(json.len));
    if (at) {
        memcpy(at, CARRY_PREFIX, head);
        memcpy(at + head, names[part->origin], name);
        at[head + name] = '.';
        size_t n = base64url_encode(json.at, json.len, at + head + name + 1);
        *ret_text = slice_make(at, head + name + 1 + n);
    }
    buf_free(&json);
    return err ? err : at ? 0 : ERR_NOMEM;
}

/* --- unpacking -------------------------------------------------------------------------------- */

static int
decode(struct arena *a, struct slice text, struct slice *ret_json)
{
    size_t len = 0;
    if (text.len == 0 || memchr(text.at, '+', text.len) || memchr(text.at, '/', text.len) ||
        memchr(text.at, '=', text.len))
        return ERR_SYNTAX; /* the URL alphabet only: there is one spelling */
    char *at = arena_alloc(a, text.len / 4 * 3 + 3);
    if (!at)
        return ERR_NOMEM;
    int err = base64_decode(text, at, &len);
    *ret_json = slice_make(at, len);
    return err;
}

static int
read_json(struct arena *a, struct slice json, struct canon_part *part)
{
    struct json_span at[CARRIED], root;
    struct json_error why;
    struct slice *const into[CARRY_RAW] = {&part->text, &part->signature, &part->encrypted,
                                           &part->id};
    if (json_scan(json, &json_limits_default, members, CARRIED, at, &root, &why) != 0 ||
        root.kind != JSON_MAP)
        return ERR_SYNTAX;
    for (int i = 0; i < CARRY_RAW; i++) {
        int err = at[i].kind == JSON_ABSENT ? 0 : json_text(json, at[i], a, into[i]);
        if (err)
            return err;
    }
    int raw = at[CARRY_ITEM].kind != JSON_ABSENT ? CARRY_ITEM : CARRY_RAW;
    part->kind = raw == CARRY_ITEM ? PART_OPAQUE : PART_REASONING;
    if (at[raw].kind != JSON_ABSENT && at[raw].kind != JSON_MAP)
        return ERR_SYNTAX;
    if (at[raw].kind == JSON_MAP)
        part->raw = json_raw(json, at[raw]);
    return 0;
}

int
carry_unpack(struct arena *a, struct slice text, struct canon_part *ret_part)
{
    struct slice json;
    struct canon_part part = {.kind = PART_REASONING};
    if (!slice_starts(text, SLICE(CARRY_PREFIX)))
        return ERR_NOT_FOUND;
    if (text.len > LIMIT_CARRY_BYTES)
        return ERR_LIMIT;
    struct slice rest = slice_from(text, sizeof(CARRY_PREFIX) - 1), name = slice_cut(&rest, '.');
    if (carry_parse_name(name, &part.origin) != 0)
        return ERR_SYNTAX;
    int err = decode(a, rest, &json);
    if (!err)
        err = read_json(a, json, &part);
    if (!err)
        *ret_part = part;
    return err;
}
