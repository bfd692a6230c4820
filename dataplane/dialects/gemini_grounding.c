#include "dataplane/dialects/gemini_grounding.h"

/* --- bytes and characters --------------------------------------------------------------------- */

static unsigned
width_of(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

static int
begin_run(struct gemini_places *p, unsigned width, struct arena *keep)
{
    size_t at = p->count % RUNS_PER_BLOCK;
    if (p->count == LIMIT_TEXT_RUNS) {
        p->lost = true;
        return 0;
    }
    if (at == 0) {
        struct gemini_runs *block = arena_zalloc(keep, sizeof(*block));
        if (!block)
            return ERR_NOMEM;
        if (p->last)
            p->last->next = block;
        else
            p->first = block;
        p->last = block;
    }
    p->last->runs[at] = (struct gemini_run){p->bytes, p->characters, width};
    p->count++;
    return 0;
}

int
gemini_places_add(struct gemini_places *p, struct slice text, struct arena *keep)
{
    unsigned now = p->count ? p->last->runs[(p->count - 1) % RUNS_PER_BLOCK].width : 0;
    for (size_t i = 0; i < text.len && !p->lost;) {
        unsigned width = width_of((unsigned char)text.at[i]);
        if (width != now) {
            int err = begin_run(p, width, keep);
            if (err)
                return err;
            now = width;
        }
        p->bytes += p->lost ? 0 : width;
        p->characters += !p->lost;
        i += width;
    }
    return 0;
}

/* The last run that begins at or before a byte, or a character. */
static const struct gemini_run *
run_at(const struct gemini_places *p, int64_t byte, int64_t character)
{
    const struct gemini_run *found = NULL;
    size_t left = p->count;
    for (const struct gemini_runs *b = p->first; b; b = b->next)
        for (size_t i = 0; i < RUNS_PER_BLOCK && left > 0; i++, left--) {
            if (b->runs[i].byte > byte || b->runs[i].character > character)
                return found;
            found = &b->runs[i];
        }
    return found;
}

int64_t
gemini_places_find(const struct gemini_places *p, int64_t byte)
{
    if (byte == 0)
        return 0;
    if (byte < 0 || byte > p->bytes)
        return -1;
    const struct gemini_run *run = run_at(p, byte, INT64_MAX);
    if (!run || (byte - run->byte) % run->width != 0)
        return -1;
    return run->character + (byte - run->byte) / run->width;
}

int64_t
gemini_places_byte(const struct gemini_places *p, int64_t character)
{
    if (character == 0)
        return 0;
    if (character < 0 || character > p->characters)
        return -1;
    const struct gemini_run *run = run_at(p, INT64_MAX, character);
    return run ? run->byte + (character - run->character) * run->width : -1;
}

/* --- sources ---------------------------------------------------------------------------------- */

static int
text_or_none(struct json_view v, struct arena *a, struct slice *ret)
{
    *ret = (struct slice){0};
    return v.kind == JSON_TEXT ? json_view_text(v, a, ret) : 0;
}

/* A grounding chunk: {"web":{"uri","title"}}, {"retrievedContext":{...}}, {"maps":{...}}. */
static int
read_source(struct json_view chunk, struct arena *a, struct canon_citation *c)
{
    static const char *const names[] = {"uri", "title", "text"};
    struct json_view at[3], source;
    struct slice name;
    size_t cursor = 0;
    c->raw = chunk.raw;
    if (!json_view_next(chunk, &cursor, &name, &source))
        return 0;
    gemini_fields(source, names, 3, at);
    int err = text_or_none(at[0], a, &c->url);
    if (!err)
        err = text_or_none(at[1], a, &c->title);
    if (!err && c->cited_text.len == 0)
        err = text_or_none(at[2], a, &c->cited_text);
    return err;
}

static struct json_view
nth(struct json_view list, int64_t n)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view v;
    while (json_view_next(list, &cursor, &name, &v))
        if (n-- == 0)
            return v;
    return (struct json_view){.kind = JSON_ABSENT};
}

static int
tell(struct gemini_cite *to, struct canon_citation *c)
{
    if (to->count == LIMIT_CITATIONS)
        return 0;
    to->count++;
    c->origin = DIALECT_GEMINI;
    return to->take(to->ctx, c);
}

static int
tell_source(struct gemini_cite *to, struct json_view chunk, struct canon_citation c)
{
    int err = chunk.kind == JSON_MAP ? read_source(chunk, to->scratch, &c) : 0;
    if (err)
        return err == ERR_NOMEM ? err : ERR_PROTOCOL;
    return chunk.kind == JSON_MAP ? tell(to, &c) : 0;
}

/* Where a segment lies; only where what it says of its text is so. */
static int
read_segment(const struct gemini_cite *to, struct json_view segment, struct canon_citation *c)
{
    static const char *const names[] = {"startIndex", "endIndex", "text"};
    struct json_view at[3];
    gemini_fields(segment, names, 3, at);
    int64_t start = json_view_int_or(at[0], 0), end = json_view_int_or(at[1], -1);
    int err = text_or_none(at[2], to->scratch, &c->cited_text);
    c->start = c->end = -1;
    if (err)
        return err == ERR_NOMEM ? err : ERR_PROTOCOL;
    if (c->cited_text.at && (int64_t)c->cited_text.len != end - start)
        return 0;
    int64_t from = gemini_places_find(to->places, start),
            to_end = gemini_places_find(to->places, end);
    if (from >= 0 && to_end >= from) {
        c->start = from;
        c->end = to_end;
    }
    return 0;
}

static int
cite_support(struct gemini_cite *to, struct json_view support, struct json_view chunks)
{
    struct json_view indices = gemini_get(support, "groundingChunkIndices"), index;
    struct canon_citation c = {.start = -1};
    struct slice name;
    size_t cursor = 0;
    int err = read_segment(to, gemini_get(support, "segment"), &c);
    while (!err && indices.kind == JSON_LIST && json_view_next(indices, &cursor, &name, &index))
        err = tell_source(to, nth(chunks, json_view_int_or(index, -1)), c);
    return err;
}

static int
cite_grounding(struct gemini_cite *to, struct json_view grounding, bool whole)
{
    static const char *const names[] = {"groundingChunks", "groundingSupports"};
    struct json_view at[2], v;
    struct slice name;
    size_t cursor = 0;
    int err = 0;
    gemini_fields(grounding, names, 2, at);
    while (!err && at[1].kind == JSON_LIST && json_view_next(at[1], &cursor, &name, &v))
        err = cite_support(to, v, at[0]);
    bool bare = whole && to->count == 0 && at[0].kind == JSON_LIST;
    cursor = 0;
    while (!err && bare && json_view_next(at[0], &cursor, &name, &v))
        err = tell_source(to, v, (struct canon_citation){.start = -1, .end = -1});
    return err;
}

/* Recitations: {"citations":[{"startIndex","endIndex","uri","title"}]}, citationSources of old. */
static int
cite_recitations(struct gemini_cite *to, struct json_view metadata)
{
    static const char *const names[] = {"citations", "citationSources"};
    struct json_view at[2], v;
    struct slice name;
    size_t cursor = 0;
    int err = 0;
    gemini_fields(metadata, names, 2, at);
    struct json_view list = at[0].kind == JSON_LIST ? at[0] : at[1];
    while (!err && list.kind == JSON_LIST && json_view_next(list, &cursor, &name, &v)) {
        struct canon_citation c = {.raw = v.raw};
        err = read_segment(to, v, &c);
        if (!err)
            err = text_or_none(json_view_get(v, "uri"), to->scratch, &c.url);
        if (!err)
            err = text_or_none(json_view_get(v, "title"), to->scratch, &c.title);
        if (!err)
            err = tell(to, &c);
    }
    return err;
}

int
gemini_cite(struct gemini_cite *to, struct json_view candidate, bool whole)
{
    static const char *const names[] = {"groundingMetadata", "citationMetadata"};
    struct json_view at[2];
    gemini_fields(candidate, names, 2, at);
    int err = at[0].kind == JSON_MAP ? cite_grounding(to, at[0], whole) : 0;
    if (!err && at[1].kind == JSON_MAP)
        err = cite_recitations(to, at[1]);
    return err;
}
