#include "dataplane/endpoints/codec.h"

#include "dataplane/dialects/compat.h"

int
codec_brief_json(const struct codec_request *q, struct arena *a, struct request_brief *brief,
                 struct codec_units *units, struct dialect_refusal *why)
{
    const struct dialect_call call = {.path_stream = false};
    *units = (struct codec_units){.unit = USAGE_CLASSES, .text_bytes = q->body.len};
    return dialect_chat.brief(q->body, &call, a, brief, why);
}

int
codec_refuse(const struct dialect_target *t, const char *what, struct dialect_refusal *why)
{
    return dialect_refuse(why, ERR_DENIED, "model",
                          "The provider '%.*s' of this model does not serve %s.",
                          SLICE_ARG(t->provider->name), what);
}

int
codec_route_openai(const struct dialect_target *t, const char *method, struct arena *a,
                   struct codec_route *ret, struct dialect_refusal *why)
{
    *ret = (struct codec_route){.way = CODEC_UNTOUCHED};
    if (dialect_for(t->provider, DIALECT_CHAT)->id != DIALECT_CHAT)
        return codec_refuse(t, method + 1, why);
    return compat_address(t, method, a, &ret->address.path);
}

int
codec_address_invoke(const struct dialect_target *t, struct arena *a, struct dialect_address *ret)
{
    int err = dialect_converse.address(t, false, a, ret);
    size_t end = ret->path.len;
    if (err)
        return err;
    while (end > 0 && ret->path.at[end - 1] != '/')
        end--;
    ret->path = slice_of(arena_printf(a, "%.*sinvoke", (int)end, ret->path.at));
    return ret->path.at ? 0 : ERR_NOMEM;
}

int
codec_object(struct slice text, struct json_view *ret)
{
    struct json_span root;
    struct json_error why;
    if (json_scan(text, &json_limits_default, NULL, 0, NULL, &root, &why) || root.kind != JSON_MAP)
        return ERR_PROTOCOL;
    *ret = (struct json_view){root.kind, json_raw(text, root)};
    return 0;
}

void
codec_report_input(struct usage_report *report, int64_t tokens)
{
    if (tokens < 0)
        return;
    if (tokens > LIMIT_REPORTED_TOKENS) {
        report->suspect = true;
        return;
    }
    usage_merge(report, &(struct usage_report){.seen = true,
                                               .has_input = true,
                                               .has_output = true,
                                               .tokens = {.input = tokens}});
}
