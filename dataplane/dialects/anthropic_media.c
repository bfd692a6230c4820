/* Pictures and documents as Anthropic takes them: Base64, by URL (https, which it fetches itself),
 * from its own file store, and documents as plain text. */
#include "dataplane/dialects/anthropic_internal.h"
#include "lib/base/encode.h"

#include <string.h>

static bool
is_pdf(const struct canon_media *m)
{
    if (m->mime.len)
        return slice_eq_nocase(m->mime, SLICE("application/pdf"));
    return slice_starts(m->data, SLICE("JVBERi")); /* "%PDF-" */
}

static bool
is_text(const struct canon_media *m)
{
    return m->mime.len > 5 && slice_eq_nocase(slice_make(m->mime.at, 5), SLICE("text/"));
}

static bool
is_https(struct slice url)
{
    return url.len > 8 && slice_eq_nocase(slice_make(url.at, 8), SLICE("https://"));
}

bool
anthropic_wants_inline(const struct dialect_target *t, const struct canon_part *part)
{
    const struct canon_media *m = &part->media;
    (void)t;
    if (m->url.len == 0 || m->data.len || (part->kind != PART_IMAGE && part->kind != PART_FILE))
        return false;
    /* By URL it reads pictures and PDFs. */
    return !is_https(m->url) || (part->kind == PART_FILE && m->mime.len && !is_pdf(m));
}

/* Why it cannot be sent, as the end of a sentence; NULL: it can. */
static const char *
why_not(const struct canon_part *part)
{
    const struct canon_media *m = &part->media;
    if (m->file_id.len)
        return part->origin == DIALECT_ANTHROPIC ? NULL : "has no such file in its store";
    if (m->url.len && !m->data.len)
        return is_https(m->url) ? NULL : "takes https addresses only";
    if (part->kind == PART_FILE && !m->text.at && !is_pdf(m) && !is_text(m))
        return "reads PDF and plain text only";
    return m->data.len || (m->text.at && part->kind == PART_FILE) ? NULL
                                                                  : "was given nothing of it";
}

bool
anthropic_media_fits(const struct canon_part *part)
{
    return part->kind != PART_AUDIO && !why_not(part);
}

int
anthropic_check_media(const struct canon_part *part, struct dialect_writer *w, const char *member)
{
    if (part->kind == PART_AUDIO)
        return dialect_need(w, FEATURE_AUDIO_INPUT, member);
    const char *reason = why_not(part);
    return reason ? dialect_leave_out(w, member, reason) : 0;
}

static void
emit_base64(struct json_emit *e, struct slice mime, struct slice data)
{
    emit_str_member(e, "type", "base64");
    emit_text_member(e, "media_type", mime);
    emit_text_member(e, "data", data);
}

static void
emit_plain(struct json_emit *e, const struct canon_media *m, struct arena *a)
{
    struct slice text = m->text;
    if (!text.at) {
        size_t len = 0;
        char *at = arena_alloc(a, m->data.len / 4 * 3 + 3);
        if (!at) {
            e->err = ERR_NOMEM;
            return;
        }
        text = base64_decode(m->data, at, &len) == 0 ? slice_make(at, len) : m->data;
    }
    emit_str_member(e, "type", "text");
    emit_str_member(e, "media_type", "text/plain");
    emit_text_member(e, "data", text);
}

static void
emit_source(struct json_emit *e, const struct canon_part *part, struct arena *a)
{
    const struct canon_media *m = &part->media;
    bool is_image = part->kind == PART_IMAGE;
    emit_name(e, "source");
    emit_map(e);
    if (m->file_id.len) {
        emit_str_member(e, "type", "file");
        emit_text_member(e, "file_id", m->file_id);
    } else if (m->url.len && !m->data.len) {
        emit_str_member(e, "type", "url");
        emit_text_member(e, "url", m->url);
    } else if (is_image) {
        emit_base64(e, m->mime.len ? m->mime : SLICE("image/png"), m->data);
    } else if (m->text.at || is_text(m)) {
        emit_plain(e, m, a);
    } else {
        emit_base64(e, SLICE("application/pdf"), m->data);
    }
    emit_end_map(e);
}

void
anthropic_emit_media(struct json_emit *e, const struct canon_part *part, struct arena *a)
{
    bool is_image = part->kind == PART_IMAGE;
    emit_str_member(e, "type", is_image ? "image" : "document");
    emit_source(e, part, a);
    if (!is_image && part->media.name.len)
        emit_text_member(e, "title", part->media.name);
    if (part->origin == DIALECT_ANTHROPIC && part->raw.at)
        emit_members_of(e, part->raw);
}
