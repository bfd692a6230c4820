/* Pictures, sound and documents of a request, as inlineData and fileData. */
#include "dataplane/dialects/gemini_order.h"

/* --- what it is ------------------------------------------------------------------------------- */

/* By the beginning of its base64 text. */
static struct slice
mime_of_data(struct slice data)
{
    static const struct {
        struct slice begin, mime;
    } rows[] = {
        {{"iVBORw0KGgo", 11}, {"image/png", 9}}, {{"/9j/", 4}, {"image/jpeg", 10}},
        {{"_9j_", 4}, {"image/jpeg", 10}},       {{"R0lGOD", 6}, {"image/gif", 9}},
        {{"UklGR", 5}, {"image/webp", 10}},      {{"JVBERi", 6}, {"application/pdf", 15}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (slice_starts(data, rows[i].begin))
            return rows[i].mime;
    return (struct slice){0};
}

/* By the end of its name. */
static struct slice
mime_of_name(struct slice name)
{
    static const struct {
        struct slice end, mime;
    } rows[] = {
        {{".png", 4}, {"image/png", 9}},    {{".jpg", 4}, {"image/jpeg", 10}},
        {{".jpeg", 5}, {"image/jpeg", 10}}, {{".gif", 4}, {"image/gif", 9}},
        {{".webp", 5}, {"image/webp", 10}}, {{".pdf", 4}, {"application/pdf", 15}},
        {{".txt", 4}, {"text/plain", 10}},  {{".csv", 4}, {"text/csv", 8}},
        {{".html", 5}, {"text/html", 9}},   {{".md", 3}, {"text/markdown", 13}},
        {{".mp3", 4}, {"audio/mpeg", 10}},  {{".wav", 4}, {"audio/wav", 9}},
        {{".flac", 5}, {"audio/flac", 10}}, {{".ogg", 4}, {"audio/ogg", 9}},
        {{".mp4", 4}, {"video/mp4", 9}},    {{".mov", 4}, {"video/quicktime", 15}},
        {{".webm", 5}, {"video/webm", 10}}, {{".json", 5}, {"application/json", 16}},
    };
    name = slice_cut(&name, '?');
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (name.len > rows[i].end.len &&
            slice_eq_nocase(slice_from(name, name.len - rows[i].end.len), rows[i].end))
            return rows[i].mime;
    return (struct slice){0};
}

static bool
is_https(struct slice url)
{
    return slice_starts(url, SLICE("https://")) || slice_starts(url, SLICE("http://"));
}

/* What Google fetches itself: its own stores, and videos of YouTube. */
static bool
is_googles(struct slice url)
{
    static const struct slice begins[] = {
        {"gs://", 5},
        {"https://www.youtube.com/", 24},
        {"https://youtube.com/", 20},
        {"https://youtu.be/", 17},
        {"https://generativelanguage.googleapis.com/", 42},
    };
    for (size_t i = 0; i < sizeof(begins) / sizeof(begins[0]); i++)
        if (slice_starts(url, begins[i]))
            return true;
    return false;
}

bool
gemini_wants_inline(const struct dialect_target *t, const struct canon_part *part)
{
    (void)t;
    return part->media.data.len == 0 && is_https(part->media.url) && !is_googles(part->media.url);
}

/* --- written ---------------------------------------------------------------------------------- */

static int
write_blob(struct gemini_order *o, const struct canon_media *m, struct slice mime,
           struct slice data, const char *member)
{
    if (mime.len == 0)
        mime = mime_of_data(data);
    if (mime.len == 0)
        mime = mime_of_name(m->name);
    if (mime.len == 0)
        return dialect_refuse(o->w->why, ERR_DENIED, member,
                              "'%s': what kind of data this is must be said.", member);
    emit_name(&o->e, "inlineData");
    emit_map(&o->e);
    emit_text_member(&o->e, "mimeType", mime);
    emit_text_member(&o->e, "data", data);
    emit_end_map(&o->e);
    return 0;
}

static void
write_file(struct gemini_order *o, const struct canon_media *m, struct slice uri)
{
    struct slice mime = m->mime.len ? m->mime : mime_of_name(uri);
    emit_name(&o->e, "fileData");
    emit_map(&o->e);
    if (mime.len)
        emit_text_member(&o->e, "mimeType", mime);
    emit_text_member(&o->e, "fileUri", uri);
    emit_end_map(&o->e);
}

int
gemini_write_media(struct gemini_order *o, const struct canon_part *p, const char *member)
{
    const struct canon_media *m = &p->media;
    struct slice mime = m->mime, data = m->data;
    if (data.len == 0 && canon_data_url(m->url, &mime, &data) && data.len == 0)
        return dialect_refuse(o->w->why, ERR_DENIED, member, "'%s' is empty.", member);
    if (data.len)
        return write_blob(o, m, mime, data, member);
    if (m->text.at) {
        emit_text_member(&o->e, "text", m->text);
        return 0;
    }
    if (m->file_id.len && p->origin == DIALECT_GEMINI) {
        write_file(o, m, m->file_id);
        return 0;
    }
    if (m->url.len == 0)
        return dialect_refuse(o->w->why, ERR_DENIED, member,
                              "'%s': provider '%.*s' has no such file.", member,
                              SLICE_ARG(o->w->target->provider->name));
    write_file(o, m, m->url);
    return 0;
}
