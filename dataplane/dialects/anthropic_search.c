/* A search of the web that the provider makes itself, as other dialects ask for it: Anthropic's
 * tool for the same. What it finds comes as items of Anthropic's, and as citations of the text. */
#include "dataplane/dialects/anthropic_internal.h"

#define SEARCH_TOOL "web_search_20250305"

bool
anthropic_is_search(const struct canon_tool *t)
{
    struct json_view tool = json_view_of(t->raw), type = json_view_get(tool, "type");
    if (t->kind != TOOL_HOSTED)
        return false;
    if (t->origin == DIALECT_GEMINI)
        return json_view_get(tool, "googleSearch").kind == JSON_MAP;
    return t->origin == DIALECT_RESPONSES && type.kind == JSON_TEXT &&
           slice_starts(slice_from(type.raw, 1), SLICE("web_search"));
}

bool
anthropic_is_search_option(const struct canon_request *q, const struct canon_extra *x)
{
    return q->origin == DIALECT_CHAT && slice_is(x->name, "web_search_options");
}

bool
anthropic_asks_search(const struct canon_request *q, struct json_view *ret_options)
{
    for (size_t i = 0; i < q->extra_count; i++)
        if (anthropic_is_search_option(q, &q->extras[i])) {
            *ret_options = json_view_of(q->extras[i].raw);
            return true;
        }
    for (size_t i = 0; i < q->tool_count; i++)
        if (anthropic_is_search(&q->tools[i])) {
            *ret_options = json_view_of(q->tools[i].raw);
            return true;
        }
    return false;
}

/* Chat completions wrap it once more than Responses do. */
static void
emit_location(struct json_emit *e, struct json_view location)
{
    static const char *const names[] = {"city", "region", "country", "timezone"};
    struct json_view at[4], inner = json_view_get(location, "approximate");
    if (location.kind != JSON_MAP)
        return;
    json_view_fields(inner.kind == JSON_MAP ? inner : location, names, 4, at);
    emit_name(e, "user_location");
    emit_map(e);
    emit_str_member(e, "type", "approximate");
    for (size_t i = 0; i < 4; i++)
        if (at[i].kind == JSON_TEXT)
            emit_opt_raw(e, names[i], at[i].raw);
    emit_end_map(e);
}

void
anthropic_emit_search(struct json_emit *e, struct json_view options)
{
    struct json_view domains = json_view_get(json_view_get(options, "filters"), "allowed_domains");
    emit_map(e);
    emit_str_member(e, "type", SEARCH_TOOL);
    emit_str_member(e, "name", "web_search");
    emit_location(e, json_view_get(options, "user_location"));
    if (json_view_count(domains))
        emit_opt_raw(e, "allowed_domains", domains.raw);
    emit_end_map(e);
}
