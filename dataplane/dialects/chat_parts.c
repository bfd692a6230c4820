/* The parts of a chat message's content. */
#include "dataplane/dialects/chat_internal.h"

#include <stdio.h>
#include <string.h>

enum canon_cache
chat_read_cache(struct json_view cache_control)
{
    if (cache_control.kind != JSON_MAP)
        return CACHE_NONE;
    return json_view_is(json_view_get(cache_control, "ttl"), "1h") ? CACHE_1H : CACHE_5M;
}

/* One part: its members' views, and where it stands. */
struct given {
    struct json_view part, value; /* value: of the member that the type names */
    const char *path;             /* of the part */
};

static int
refuse_in(struct chat_reader *r, const struct given *g, const char *member, const char *sentence)
{
    char path[CHAT_PATH_BYTES];
    snprintf(path, sizeof(path), "%s.%s", g->path, member);
    return chat_refuse(r, path, sentence);
}

/* A text member of a map; absent and null are fine. */
static int
opt_text(struct chat_reader *r, const struct given *g, struct json_view map, const char *name,
         struct slice *ret)
{
    int err = json_view_opt_text(json_view_get(map, name), r->arena, ret);
    return err == ERR_SYNTAX ? refuse_in(r, g, name, "must be a text.") : err;
}

static int
read_text(struct chat_reader *r, const struct given *g, struct canon_part *p)
{
    p->kind = PART_TEXT;
    int err = json_view_text(g->value, r->arena, &p->text);
    return err == ERR_SYNTAX ? refuse_in(r, g, "text", "must be a text.") : err;
}

static int
read_refusal(struct chat_reader *r, const struct given *g, struct canon_part *p)
{
    p->kind = PART_REFUSAL;
    int err = json_view_text(g->value, r->arena, &p->text);
    return err == ERR_SYNTAX ? refuse_in(r, g, "refusal", "must be a text.") : err;
}

/* A URL of either kind: data in the text, or an address. */
static void
take_url(struct canon_media *m, struct slice url)
{
    if (!canon_data_url(url, &m->mime, &m->data))
        m->url = url;
}

/* {"url":...}, or (Mistral) the URL itself. */
static int
read_url(struct chat_reader *r, const struct given *g, const char *member, struct canon_media *m)
{
    struct json_view url = g->value;
    struct slice text;
    if (url.kind == JSON_MAP)
        url = json_view_get(url, "url");
    int err = json_view_text(url, r->arena, &text);
    if (err == ERR_SYNTAX || (!err && text.len == 0))
        return refuse_in(r, g, member, "must have a 'url' that is an address or a data URL.");
    if (!err)
        take_url(m, text);
    return err;
}

static int
read_image(struct chat_reader *r, const struct given *g, struct canon_part *p)
{
    p->kind = PART_IMAGE;
    int err = read_url(r, g, "image_url", &p->media);
    return err ? err : opt_text(r, g, g->value, "detail", &p->media.detail);
}

static int
read_video(struct chat_reader *r, const struct given *g, struct canon_part *p)
{
    p->kind = PART_FILE;
    int err = read_url(r, g, "video_url", &p->media);
    if (!err && p->media.mime.len == 0)
        p->media.mime = SLICE("video/mp4");
    return err;
}

/* Mistral's. */
static int
read_document(struct chat_reader *r, const struct given *g, struct canon_part *p)
{
    p->kind = PART_FILE;
    int err = read_url(r, g, "document_url", &p->media);
    return err ? err : opt_text(r, g, g->part, "document_name", &p->media.name);
}

static int
read_audio(struct chat_reader *r, const struct given *g, struct canon_part *p)
{
    struct slice format;
    p->kind = PART_AUDIO;
    int err = opt_text(r, g, g->value, "data", &p->media.data);
    if (!err)
        err = opt_text(r, g, g->value, "format", &format);
    if (err)
        return err;
    if (p->media.data.len == 0 || format.len == 0)
        return refuse_in(r, g, "input_audio", "must have 'data' and 'format'.");
    p->media.mime = slice_is(format, "mp3")
                        ? SLICE("audio/mpeg")
                        : slice_of(arena_printf(r->arena, "audio/%.*s", SLICE_ARG(format)));
    return p->media.mime.at ? 0 : ERR_NOMEM;
}

static int
read_file(struct chat_reader *r, const struct given *g, struct canon_part *p)
{
    struct slice data;
    p->kind = PART_FILE;
    p->origin = DIALECT_CHAT;
    int err = opt_text(r, g, g->value, "file_data", &data);
    if (!err)
        err = opt_text(r, g, g->value, "file_id", &p->media.file_id);
    if (!err)
        err = opt_text(r, g, g->value, "filename", &p->media.name);
    if (err)
        return err;
    if (data.len)
        take_url(&p->media, data);
    if (data.len == 0 && p->media.file_id.len == 0)
        return refuse_in(r, g, "file", "must have 'file_data' or 'file_id'.");
    if (p->media.url.len && memmem(p->media.url.at, p->media.url.len, "://", 3) == NULL) {
        p->media.data = p->media.url; /* bare Base64: a PDF is what OpenAI takes */
        p->media.url = (struct slice){0};
        p->media.mime = SLICE("application/pdf");
    }
    return 0;
}

/* {"type":"thinking","thinking":[{"type":"text","text":...}]} (Mistral), or a text. */
static int
read_thinking(struct chat_reader *r, const struct given *g, struct canon_part *p)
{
    size_t count = chat_count_content(g->value), n = 0;
    struct canon_part *parts = arena_zalloc(r->arena, (count + 1) * sizeof(*parts));
    if (!parts)
        return ERR_NOMEM;
    int err = chat_read_content(r, g->value, g->path, parts, &n);
    p->kind = PART_REASONING;
    p->origin = DIALECT_CHAT;
    if (!err)
        p->text = canon_joined_text(r->arena, parts, n);
    return err ? err : p->text.at ? 0 : ERR_NOMEM;
}

static const struct type_row {
    const char *type, *member; /* the member that has the value */
    int (*read)(struct chat_reader *r, const struct given *g, struct canon_part *p);
} types[] = {
    {"text", "text", read_text},
    {"image_url", "image_url", read_image},
    {"input_audio", "input_audio", read_audio},
    {"file", "file", read_file},
    {"refusal", "refusal", read_refusal},
    {"document_url", "document_url", read_document},
    {"video_url", "video_url", read_video},
    {"thinking", "thinking", read_thinking},
    {"output_text", "text", read_text}, /* clients that mix the dialects up */
    {"input_text", "text", read_text},
};

static int
read_part(struct chat_reader *r, struct json_view part, const char *path, struct canon_part *p)
{
    struct given g = {.part = part, .path = path};
    struct json_view type = json_view_get(part, "type");
    if (part.kind != JSON_MAP)
        return chat_refuse(r, path, "must be an object.");
    p->cache = chat_read_cache(json_view_get(part, "cache_control"));
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (json_view_is(type, types[i].type)) {
            g.value = json_view_get(part, types[i].member);
            return types[i].read(r, &g, p);
        }
    return refuse_in(r, &g, "type", "is not a type of content that chat completions have.");
}

size_t
chat_count_content(struct json_view content)
{
    return content.kind == JSON_LIST ? json_view_count(content) : 1;
}

int
chat_read_content(struct chat_reader *r, struct json_view content, const char *path,
                  struct canon_part *at, size_t *count)
{
    char where[CHAT_PATH_BYTES];
    struct slice name;
    struct json_view part;
    size_t cursor = 0;
    int err = 0;
    switch (content.kind) {
    case JSON_ABSENT:
    case JSON_NULL_:
        return 0;
    case JSON_TEXT:
        at[*count].kind = PART_TEXT;
        return json_view_text(content, r->arena, &at[(*count)++].text);
    case JSON_LIST:
        for (size_t i = 0; !err && json_view_next(content, &cursor, &name, &part); i++) {
            snprintf(where, sizeof(where), "%s[%zu]", path, i);
            err = read_part(r, part, where, &at[*count]);
            *count += !err;
        }
        return err;
    default:
        return chat_refuse(r, path, "must be a text or a list of parts.");
    }
}
