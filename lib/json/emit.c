#include "lib/json/emit.h"

#include "lib/json/scan.h"

#include <string.h>

static void
put(struct json_emit *e, struct slice s)
{
    if (!e->err)
        e->err = buf_add_slice(e->into, s);
}

static void
begin_value(struct json_emit *e)
{
    if (e->comma)
        put(e, SLICE(","));
    e->comma = true;
}

static void
open(struct json_emit *e, struct slice bracket)
{
    begin_value(e);
    put(e, bracket);
    e->comma = false;
}

static void
close_with(struct json_emit *e, struct slice bracket)
{
    put(e, bracket);
    e->comma = true;
}

void
emit_map(struct json_emit *e)
{
    open(e, SLICE("{"));
}

void
emit_end_map(struct json_emit *e)
{
    close_with(e, SLICE("}"));
}

void
emit_list(struct json_emit *e)
{
    open(e, SLICE("["));
}

void
emit_end_list(struct json_emit *e)
{
    close_with(e, SLICE("]"));
}

void
emit_name(struct json_emit *e, const char *name)
{
    begin_value(e);
    put(e, SLICE("\""));
    put(e, slice_of(name));
    put(e, SLICE("\":"));
    e->comma = false;
}

void
emit_text(struct json_emit *e, struct slice text)
{
    begin_value(e);
    if (!e->err)
        e->err = json_quote(e->into, text);
}

void
emit_str(struct json_emit *e, const char *text)
{
    emit_text(e, slice_of(text));
}

void
emit_raw(struct json_emit *e, struct slice json)
{
    begin_value(e);
    put(e, json);
}

void
emit_int(struct json_emit *e, int64_t n)
{
    begin_value(e);
    if (!e->err)
        e->err = buf_addf(e->into, "%lld", (long long)n);
}

void
emit_bool(struct json_emit *e, bool b)
{
    emit_raw(e, b ? SLICE("true") : SLICE("false"));
}

void
emit_null(struct json_emit *e)
{
    emit_raw(e, SLICE("null"));
}

/* Without the blanks of JSON around it. */
static struct slice
trim(struct slice s)
{
    while (s.len && strchr(" \t\r\n", s.at[0]))
        s = slice_from(s, 1);
    while (s.len && strchr(" \t\r\n", s.at[s.len - 1]))
        s.len--;
    return s;
}

void
emit_members_of(struct json_emit *e, struct slice map)
{
    map = trim(map);
    if (map.len < 2)
        return;
    struct slice inner = trim(slice_make(map.at + 1, map.len - 2));
    if (inner.len)
        emit_raw(e, inner);
}

void
emit_text_member(struct json_emit *e, const char *name, struct slice text)
{
    emit_name(e, name);
    emit_text(e, text);
}

void
emit_opt_text(struct json_emit *e, const char *name, struct slice text)
{
    if (text.at)
        emit_text_member(e, name, text);
}

void
emit_opt_raw(struct json_emit *e, const char *name, struct slice json)
{
    if (!json.at)
        return;
    emit_name(e, name);
    emit_raw(e, json);
}

void
emit_int_member(struct json_emit *e, const char *name, int64_t n)
{
    emit_name(e, name);
    emit_int(e, n);
}

void
emit_str_member(struct json_emit *e, const char *name, const char *text)
{
    emit_text_member(e, name, slice_of(text));
}

void
emit_bool_member(struct json_emit *e, const char *name, bool b)
{
    emit_name(e, name);
    emit_bool(e, b);
}
