/* What the tests of the Gemini dialect share: documents, answers as text, recordings. */
#ifndef TESTS_UNIT_DATAPLANE_DIALECTS_GEMINI_WIRE_H
#define TESTS_UNIT_DATAPLANE_DIALECTS_GEMINI_WIRE_H

#include "tests/unit/check.h"

#include "dataplane/dialects/gather.h"
#include "dataplane/dialects/gemini_internal.h"
#include "lib/base/file.h"
#include "lib/http/sse.h"
#include "lib/json/doc.h"

#define ASSERT_OK(expression) assert_int_equal((expression), 0)

/* Everything of a part but ids, which are minted where the provider gives none. */
static inline void
describe_part(const struct canon_part *p, struct buf *into)
{
    ASSERT_OK(buf_addf(into, " %d '%.*s' %.*s(%.*s) sig=%.*s enc=%.*s raw=%.*s %.*s:%.*s%.*s\n",
                       (int)p->kind, SLICE_ARG(p->text), SLICE_ARG(p->name),
                       SLICE_ARG(p->arguments), SLICE_ARG(p->signature), SLICE_ARG(p->encrypted),
                       SLICE_ARG(p->raw), SLICE_ARG(p->media.mime), SLICE_ARG(p->media.data),
                       SLICE_ARG(p->media.url)));
    for (size_t i = 0; i < p->citation_count; i++)
        ASSERT_OK(buf_addf(into, "  [%lld,%lld) %.*s %.*s '%.*s'\n",
                           (long long)p->citations[i].start, (long long)p->citations[i].end,
                           SLICE_ARG(p->citations[i].url), SLICE_ARG(p->citations[i].title),
                           SLICE_ARG(p->citations[i].cited_text)));
}

static inline void
describe(const struct canon_answer *answer, struct buf *into)
{
    const struct tokens *t = &answer->usage.tokens;
    ASSERT_OK(buf_addf(into, "%.*s %.*s in=%lld out=%lld\n", SLICE_ARG(answer->id),
                       SLICE_ARG(answer->model), (long long)tokens_input(t),
                       (long long)tokens_output(t)));
    for (size_t i = 0; i < answer->choice_count; i++) {
        const struct canon_choice_answer *c = &answer->choices[i];
        ASSERT_OK(buf_addf(into, "%d %.*s %.*s\n", (int)c->finish, SLICE_ARG(c->native_finish),
                           SLICE_ARG(c->logprobs_raw)));
        for (size_t j = 0; j < c->count; j++)
            describe_part(&c->parts[j], into);
    }
}

/* --- a stream through the decoder ------------------------------------------------------------- */

struct decoding {
    struct arena keep, scratch;
    void *state;
    struct gather *gather;
    struct canon_sink sink;
    int err;
    bool failed; /* an ERROR event came */
    struct canon_error error;
};

static inline int
decoding_take(void *ctx, const struct canon_event *e)
{
    struct decoding *d = ctx;
    if (e->kind == EVENT_ERROR) {
        d->failed = true;
        d->error = e->error;
        return 0;
    }
    return gather_event(d->gather, e);
}

static inline void
decoding_begin(struct decoding *d, const struct dialect_exchange *x)
{
    memset(d, 0, sizeof(*d));
    arena_init(&d->keep, 0);
    arena_init(&d->scratch, 0);
    d->state = calloc(1, dialect_gemini.decoder->state_bytes);
    d->gather = gather_new((size_t)64 << 20);
    d->sink = (struct canon_sink){decoding_take, d};
    ASSERT_OK(dialect_gemini.decoder->init(d->state, &d->keep, x));
}

static inline bool
decoding_event(void *ctx, const struct sse_event *e)
{
    struct decoding *d = ctx;
    struct wire_event w = {.name = e->name, .data = e->data};
    d->err = dialect_gemini.decoder->event(d->state, &w, &d->scratch, &d->sink);
    if (!d->failed)
        arena_free(&d->scratch);
    return d->err == 0 && !d->failed;
}

/* text cut at `at`; what came of it, with the decoder's verdict. */
static inline void
decoding_run(struct decoding *d, struct slice text, size_t at)
{
    struct sse_parser p;
    sse_init(&p, 0);
    int err = sse_push(&p, slice_make(text.at, at), decoding_event, d);
    if (!err)
        err = sse_push(&p, slice_from(text, at), decoding_event, d);
    if (!err && sse_is_partial(&p))
        d->err = ERR_TRUNCATED;
    else if (!err && !d->failed)
        d->err = dialect_gemini.decoder->end(d->state, &d->sink);
    sse_fini(&p);
}

static inline void
decoding_end(struct decoding *d)
{
    gather_free(d->gather);
    free(d->state);
    arena_free(&d->keep);
    arena_free(&d->scratch);
}

/* --- recordings ------------------------------------------------------------------------------- */

static inline const char *
shared_folder(void)
{
    const char *given = getenv("HEADGATE_SHARED");
    return given ? given : "../shared";
}

/* The text of PATH/FILE of the recordings. False: there are none. */
static inline bool
shared_read(const char *path, const char *file, struct buf *into)
{
    char name[512];
    snprintf(name, sizeof(name), "%s/wire/%s%s%s", shared_folder(), path, *path ? "/" : "", file);
    buf_init(into, 0);
    return file_read(name, (size_t)64 << 20, false, into) == 0;
}

static inline struct json *
shared_doc(const char *path, const char *file)
{
    struct buf text;
    struct json *doc = NULL;
    char why[256];
    if (!shared_read(path, file, &text))
        return NULL;
    if (json_parse(buf_slice(&text), &doc, why, sizeof(why)))
        fail_msg("%s/%s: %s", path, file, why);
    buf_free(&text);
    return doc;
}

static inline bool
json_same(struct slice a, struct slice b)
{
    struct json *x = NULL, *y = NULL;
    char why[256];
    bool same = json_parse(a, &x, why, sizeof(why)) == 0 &&
                json_parse(b, &y, why, sizeof(why)) == 0 && json_equal(x, y);
    json_free(x);
    json_free(y);
    return same;
}

#endif
