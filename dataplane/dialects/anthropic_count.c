#include "dataplane/dialects/anthropic_count.h"

#include "dataplane/dialects/anthropic_internal.h"

#include <stdio.h>
#include <string.h>

/* --- asking ----------------------------------------------------------------------------------- */

/* Bedrock counts for Claude only. */
static bool
is_claude(struct slice model)
{
    return model.len && memmem(model.at, model.len, "anthropic.", 10) != NULL;
}

enum count_way
anthropic_count_way(const struct dialect_target *t)
{
    const struct dialect *d = dialect_for(t->provider, DIALECT_ANTHROPIC);
    if (!d)
        return COUNT_ESTIMATE;
    if (d->id == DIALECT_ANTHROPIC)
        return COUNT_UNTOUCHED;
    if (!d->write_request || !d->address)
        return COUNT_ESTIMATE;
    if (d->id == DIALECT_GEMINI || (d->id == DIALECT_CONVERSE && is_claude(t->model)))
        return COUNT_ASK;
    return COUNT_ESTIMATE;
}

/* The method is what stands behind the last mark of the path. */
static int
replace_method(struct arena *a, struct slice path, char mark, const char *method, struct slice *ret)
{
    size_t at = path.len;
    while (at > 0 && path.at[at - 1] != mark)
        at--;
    *ret = slice_of(arena_printf(a, "%.*s%s", (int)at, path.at, method));
    return ret->at ? 0 : ERR_NOMEM;
}

int
anthropic_count_address(const struct dialect_target *t, struct arena *a,
                        struct dialect_address *ret)
{
    const struct dialect *d = dialect_for(t->provider, DIALECT_ANTHROPIC);
    int err = d->address(t, false, a, ret);
    if (err)
        return err;
    if (d->id == DIALECT_GEMINI)
        return replace_method(a, ret->path, ':', "countTokens", &ret->path);
    if (d->id == DIALECT_CONVERSE)
        return replace_method(a, ret->path, '/', "count-tokens", &ret->path);
    ret->path = SLICE("/messages/count_tokens");
    return 0;
}

/* Of Converse's members those that are counted. */
static const char *const counted[] = {"messages", "system", "toolConfig",
                                      "additionalModelRequestFields"};

static void
emit_converse(struct json_emit *e, struct json_view request)
{
    struct json_view at[4];
    json_view_fields(request, counted, 4, at);
    emit_name(e, "input");
    emit_map(e);
    emit_name(e, "converse");
    emit_map(e);
    for (size_t i = 0; i < 4; i++)
        if (json_view_is_set(at[i]))
            emit_opt_raw(e, counted[i], at[i].raw);
    emit_end_map(e);
    emit_end_map(e);
}

/* The Gemini API counts a whole request under a name of its own; Vertex takes it as it is. */
static void
emit_gemini(struct json_emit *e, struct json_view request, const struct dialect_target *t)
{
    char model[300];
    if (t->provider->kind == PROVIDER_VERTEX) {
        emit_members_of(e, request.raw);
        return;
    }
    snprintf(model, sizeof(model), "%s%.*s",
             slice_starts(t->model, SLICE("models/")) ? "" : "models/", SLICE_ARG(t->model));
    emit_name(e, "generateContentRequest");
    emit_map(e);
    emit_str_member(e, "model", model);
    emit_members_of(e, request.raw);
    emit_end_map(e);
}

int
anthropic_count_write_request(const struct canon_request *q, struct dialect_writer *w,
                              struct buf *into)
{
    const struct dialect *d = dialect_for(w->target->provider, DIALECT_ANTHROPIC);
    struct json_emit e = json_emit_into(into);
    struct buf request;
    buf_init(&request, into->max);
    int err = d->write_request(q, w, &request);
    emit_map(&e);
    if (d->id == DIALECT_CONVERSE)
        emit_converse(&e, json_view_of(buf_slice(&request)));
    else
        emit_gemini(&e, json_view_of(buf_slice(&request)), w->target);
    emit_end_map(&e);
    buf_free(&request);
    return err ? err : e.err;
}

int
anthropic_count_read_answer(const struct dialect_target *t, struct slice body, int64_t *ret_tokens)
{
    static const char *const names[] = {
        [DIALECT_ANTHROPIC] = "input_tokens",
        [DIALECT_GEMINI] = "totalTokens",
        [DIALECT_CONVERSE] = "inputTokens",
        [DIALECT_COHERE] = NULL,
    };
    const char *name = names[dialect_for(t->provider, DIALECT_ANTHROPIC)->id];
    struct json_span at, root;
    struct json_error why;
    if (!name || json_scan(body, &json_limits_default, &name, 1, &at, &root, &why) != 0 ||
        root.kind != JSON_MAP || at.kind != JSON_NUMBER || json_int(body, at, ret_tokens) != 0)
        return ERR_PROTOCOL;
    return *ret_tokens >= 0 && *ret_tokens <= LIMIT_REPORTED_TOKENS ? 0 : ERR_PROTOCOL;
}

/* --- estimating ------------------------------------------------------------------------------- */

#define TOKENS_OF_MEDIA 1600 /* a picture of about a megapixel; a page */
#define TOKENS_OF_ITEM 4     /* what frames a message, a call, a tool */

/* In quarters of a token. */
static int64_t
quarters(struct slice text)
{
    int64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c < 0x80)
            n += 1;
        else if (c >= 0xC0)
            n += 2; /* begins a character of several bytes */
    }
    return n;
}

static int64_t
quarters_of_part(const struct canon_part *p)
{
    int64_t n = quarters(p->text) + quarters(p->name) + quarters(p->arguments) +
                quarters(p->media.text) + 4 * TOKENS_OF_ITEM;
    if (p->kind == PART_OPAQUE)
        n += quarters(p->raw);
    if (p->media.data.len || p->media.url.len || p->media.file_id.len)
        n += 4 * (int64_t)TOKENS_OF_MEDIA;
    return n;
}

int64_t
anthropic_count_estimate(const struct canon_request *q)
{
    int64_t n = quarters(q->format_schema_raw);
    for (size_t i = 0; i < q->message_count; i++)
        for (size_t j = 0; j < q->messages[i].count; j++) {
            const struct canon_part *p = &q->messages[i].parts[j];
            n += quarters_of_part(p);
            for (size_t k = 0; k < p->part_count; k++)
                n += quarters_of_part(&p->parts[k]);
        }
    for (size_t i = 0; i < q->tool_count; i++) {
        const struct canon_tool *t = &q->tools[i];
        n += quarters(t->name) + quarters(t->description) + quarters(t->schema_raw) +
             quarters(t->raw) + 4 * (int64_t)TOKENS_OF_ITEM;
    }
    return n / 4 + 1;
}

int
anthropic_count_write(int64_t tokens, struct buf *into)
{
    return buf_addf(into, "{\"input_tokens\":%lld}", (long long)tokens);
}
