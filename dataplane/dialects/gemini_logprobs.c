/* Google's logprobsResult as OpenAI's object, and back. */
#include "dataplane/dialects/gemini_logprobs.h"

/* --- from Google ------------------------------------------------------------------------------ */

static void
write_bytes(struct json_emit *e, struct slice token)
{
    emit_name(e, "bytes");
    emit_list(e);
    for (size_t i = 0; i < token.len; i++)
        emit_int(e, (unsigned char)token.at[i]);
    emit_end_list(e);
}

/* One token, without its closing brace. */
static int
begin_token(struct json_emit *e, struct json_view entry, struct arena *a)
{
    struct json_view p = gemini_get(entry, "logProbability");
    struct slice token;
    int err = json_view_opt_text(json_view_get(entry, "token"), a, &token);
    if (err)
        return err == ERR_NOMEM ? err : ERR_PROTOCOL;
    emit_map(e);
    emit_text_member(e, "token", token);
    emit_name(e, "logprob");
    emit_raw(e, p.kind == JSON_NUMBER ? p.raw : SLICE("0"));
    write_bytes(e, token);
    return e->err;
}

static int
write_top(struct json_emit *e, struct json_view top, struct arena *a)
{
    struct json_view candidates = gemini_get(top, "candidates"), entry;
    struct slice name;
    size_t cursor = 0;
    int err = 0;
    emit_name(e, "top_logprobs");
    emit_list(e);
    while (!err && candidates.kind == JSON_LIST &&
           json_view_next(candidates, &cursor, &name, &entry)) {
        err = begin_token(e, entry, a);
        emit_end_map(e);
    }
    emit_end_list(e);
    return err;
}

int
gemini_read_logprobs(struct json_view result, struct arena *a, struct buf *into)
{
    static const char *const names[] = {"chosenCandidates", "topCandidates"};
    struct json_view at[2], chosen, top;
    struct slice name;
    size_t cursor = 0, top_cursor = 0;
    struct json_emit e = json_emit_into(into);
    int err = 0;
    gemini_fields(result, names, 2, at);
    emit_map(&e);
    emit_name(&e, "content");
    emit_list(&e);
    while (!err && at[0].kind == JSON_LIST && json_view_next(at[0], &cursor, &name, &chosen)) {
        if (at[1].kind != JSON_LIST || !json_view_next(at[1], &top_cursor, &name, &top))
            top = (struct json_view){.kind = JSON_ABSENT};
        err = begin_token(&e, chosen, a);
        if (!err)
            err = write_top(&e, top, a);
        emit_end_map(&e);
    }
    emit_end_list(&e);
    emit_name(&e, "refusal");
    emit_null(&e);
    emit_end_map(&e);
    return err ? err : e.err;
}

/* --- to Google -------------------------------------------------------------------------------- */

static void
write_candidate(struct json_emit *e, struct json_view entry)
{
    struct json_view token = json_view_get(entry, "token"), p = json_view_get(entry, "logprob");
    emit_map(e);
    if (token.kind == JSON_TEXT)
        emit_opt_raw(e, "token", token.raw);
    if (p.kind == JSON_NUMBER)
        emit_opt_raw(e, "logProbability", p.raw);
    emit_end_map(e);
}

void
gemini_write_logprobs(struct json_emit *e, struct slice openai)
{
    struct json_view content = json_view_get(json_view_of(openai), "content"), entry, top;
    struct slice name;
    size_t cursor = 0, inner = 0;
    emit_map(e);
    emit_name(e, "chosenCandidates");
    emit_list(e);
    while (content.kind == JSON_LIST && json_view_next(content, &cursor, &name, &entry))
        write_candidate(e, entry);
    emit_end_list(e);
    emit_name(e, "topCandidates");
    emit_list(e);
    cursor = 0;
    while (content.kind == JSON_LIST && json_view_next(content, &cursor, &name, &entry)) {
        struct json_view list = json_view_get(entry, "top_logprobs");
        emit_map(e);
        emit_name(e, "candidates");
        emit_list(e);
        inner = 0;
        while (list.kind == JSON_LIST && json_view_next(list, &inner, &name, &top))
            write_candidate(e, top);
        emit_end_list(e);
        emit_end_map(e);
    }
    emit_end_list(e);
    emit_end_map(e);
}
