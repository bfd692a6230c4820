/* Refusals in LiteLLM's shape (its ProxyException). */
#include "controlplane/api/litellm.h"

#include <stdio.h>
#include <string.h>

#include "controlplane/api/api.h"

static const char *
type_of(int status)
{
    if (status == 401 || status == 403)
        return "auth_error";
    if (status == 404)
        return "not_found_error";
    return status >= 500 ? "internal_server_error" : "bad_request_error";
}

/* What callers call our members. noun: the path's first segment; NULL: any. */
static const struct {
    const char *noun, *ours, *theirs;
} names[] = {
    {"key", "name", "key_alias"},
    {"team", "name", "team_id"},
    {"user", "name", "user_id"},
    {NULL, "team", "team_id"},
    {NULL, "user", "user_id"},
    {NULL, "project", "project_id"},
    {NULL, "expires", "duration"},
    {NULL, "disabled", "blocked"},
    {NULL, "limit_usd", "max_budget"},
    {NULL, "period", "budget_duration"},
    {NULL, "requests_per_minute", "rpm_limit"},
    {NULL, "tokens_per_minute", "tpm_limit"},
    {NULL, "concurrent_requests", "max_parallel_requests"},
};

static const char *
their_name(const struct route *route, struct slice ours)
{
    struct slice rest = slice_of(route->path);
    (void)slice_cut(&rest, '/');
    struct slice noun = slice_cut(&rest, '/');
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (slice_is(ours, names[i].ours) && (!names[i].noun || slice_is(noun, names[i].noun)))
            return names[i].theirs;
    return NULL;
}

/* "allow.models[0]" as "models[0]", "team" as "team_id". */
static int
rename_path(const struct route *route, struct slice path, struct buf *into)
{
    size_t end = 0;
    if (slice_starts(path, SLICE("allow.")))
        path = slice_from(path, 6);
    while (end < path.len && path.at[end] != '.' && path.at[end] != '[')
        end++;
    const char *theirs = their_name(route, slice_make(path.at, end));
    int err = theirs ? buf_add_str(into, theirs) : buf_add(into, path.at, end);
    return err ? err : buf_add_slice(into, slice_from(path, end));
}

static int
set_error(struct json *error, const struct route *route, const struct json *problem)
{
    struct slice path = json_str(json_get(problem, "path"));
    struct slice detail = json_str(json_get(problem, "detail"));
    char code[16];
    int64_t status = 500;
    struct buf param, message;
    buf_init(&param, 1024);
    buf_init(&message, 16384);
    int err = json_to_int(json_get(problem, "status"), &status);
    if (!err && path.at)
        err = rename_path(route, path, &param);
    if (!err && path.at && slice_starts(detail, path)) {
        detail = slice_from(detail, path.len);
        err = buf_add_slice(&message, buf_slice(&param));
    }
    if (!err)
        err = buf_add_slice(&message, detail);
    if (!err)
        err = json_set_text(error, "message", buf_slice(&message));
    if (!err)
        err = json_set_str(error, "type", type_of((int)status));
    if (!err)
        err = path.at ? json_set_text(error, "param", buf_slice(&param))
                      : json_set(error, "param", json_new_null());
    (void)snprintf(code, sizeof(code), "%d", (int)status);
    buf_free(&param);
    buf_free(&message);
    return err ? err : json_set_str(error, "code", code);
}

int
litellm_error(const struct route *route, struct json **body)
{
    struct json *out = json_new_map(), *error = json_new_map();
    int err = out && error ? set_error(error, route, *body) : ERR_NOMEM;
    if (err) {
        json_free(error);
        json_free(out);
        return err;
    }
    err = json_set(out, "error", error);
    if (err) {
        json_free(out);
        return err;
    }
    json_free(*body);
    *body = out;
    return 0;
}

int
litellm_error_text(int status, const char *message, struct buf *into)
{
    return buf_addf(
        into, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%d\"}}",
        message, type_of(status), status);
}
