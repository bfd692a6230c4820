#include "dataplane/dialects/models.h"

#include <time.h>

static void
write_openai(struct json_emit *e, const struct policy_model *m)
{
    emit_text_member(e, "id", m->name);
    emit_str_member(e, "object", "model");
    emit_int_member(e, "created", m->created_unix_s);
    emit_str_member(e, "owned_by", "headgate");
}

static void
write_anthropic(struct json_emit *e, const struct policy_model *m)
{
    char text[32] = "1970-01-01T00:00:00Z";
    time_t at = (time_t)m->created_unix_s;
    struct tm tm;
    if (gmtime_r(&at, &tm))
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    emit_str_member(e, "type", "model");
    emit_text_member(e, "id", m->name);
    emit_text_member(e, "display_name", m->name);
    emit_str_member(e, "created_at", text);
}

/* Gemini names resources: "models/NAME". Both halves are text without escapes of their own kind. */
static void
write_gemini(struct json_emit *e, const struct policy_model *m)
{
    struct buf name;
    buf_init(&name, 0);
    if (!e->err)
        e->err = buf_add_str(&name, "models/");
    if (!e->err)
        e->err = buf_add_slice(&name, m->name);
    emit_text_member(e, "name", buf_slice(&name));
    buf_free(&name);
    emit_str_member(e, "version", "1");
    emit_text_member(e, "displayName", m->name);
    emit_name(e, "supportedGenerationMethods");
    emit_list(e);
    emit_str(e, "generateContent");
    emit_str(e, "streamGenerateContent");
    emit_end_list(e);
}

static void
write_one(struct json_emit *e, enum dialect_id dialect, const struct policy_model *m)
{
    emit_map(e);
    if (dialect == DIALECT_ANTHROPIC)
        write_anthropic(e, m);
    else if (dialect == DIALECT_GEMINI)
        write_gemini(e, m);
    else
        write_openai(e, m);
    emit_end_map(e);
}

int
model_write(enum dialect_id dialect, const struct policy_model *m, struct buf *into)
{
    struct json_emit e = json_emit_into(into);
    write_one(&e, dialect, m);
    return e.err;
}

int
model_list_begin(struct model_list *l, enum dialect_id dialect, struct buf *into)
{
    *l = (struct model_list){.dialect = dialect, .emit = json_emit_into(into)};
    emit_map(&l->emit);
    if (dialect == DIALECT_CHAT)
        emit_str_member(&l->emit, "object", "list");
    emit_name(&l->emit, dialect == DIALECT_GEMINI ? "models" : "data");
    emit_list(&l->emit);
    return l->emit.err;
}

int
model_list_add(struct model_list *l, const struct policy_model *m)
{
    if (!l->first.at)
        l->first = m->name;
    l->last = m->name;
    write_one(&l->emit, l->dialect, m);
    return l->emit.err;
}

static void
name_or_null(struct json_emit *e, const char *member, struct slice name)
{
    emit_name(e, member);
    if (name.at)
        emit_text(e, name);
    else
        emit_null(e);
}

int
model_list_end(struct model_list *l)
{
    struct json_emit *e = &l->emit;
    emit_end_list(e);
    if (l->dialect == DIALECT_ANTHROPIC) {
        emit_bool_member(e, "has_more", false);
        name_or_null(e, "first_id", l->first);
        name_or_null(e, "last_id", l->last);
    }
    emit_end_map(e);
    return e->err;
}
