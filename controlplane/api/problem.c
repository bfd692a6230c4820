/* Refusals as RFC 9457 problems. The dispatcher adds the request's id when it renders one. */
#include <stdio.h>
#include <stdlib.h>

#include "controlplane/api/api.h"
#include "lib/base/log.h"
#include "lib/http/message.h"

static void
set_problem(struct api_reply *reply, int status, const char *code, const char *detail)
{
    char type[96];
    struct json *p = json_new_map();
    json_free(reply->body);
    reply->body = NULL;
    reply->status = status;
    snprintf(type, sizeof(type), "/problems/%s", code);
    if (p && json_set_str(p, "type", type) == 0 &&
        json_set_str(p, "title", http_reason(status)) == 0 &&
        json_set_int(p, "status", status) == 0 && json_set_str(p, "detail", detail) == 0 &&
        json_set_str(p, "code", code) == 0)
        reply->body = p;
    else
        json_free(p); /* a problem without a body is still a refusal */
}

int
api_problem(struct api_reply *reply, int status, const char *code, const char *detail, ...)
{
    struct buf text;
    va_list args;
    buf_init(&text, 8192);
    va_start(args, detail);
    int err = buf_vaddf(&text, detail, args);
    va_end(args);
    const char *lent = err ? NULL : buf_str(&text);
    set_problem(reply, status, code, lent ? lent : "the message is too long to show");
    buf_free(&text);
    return -status;
}

/* The place at the beginning of a message: "models[2].targets[0].weight"; empty when it has none.
 */
static struct slice
place_of(struct slice message)
{
    size_t colon = slice_find(message, ':', 0);
    for (size_t i = 0; i < colon; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.[]-",
                    message.at[i]))
            return (struct slice){NULL, 0};
    return colon < message.len ? slice_make(message.at, colon) : (struct slice){NULL, 0};
}

int
api_problem_at(struct api_reply *reply, int status, const char *code, struct buf *why)
{
    const char *text = buf_str(why);
    if (!text)
        return api_problem(reply, status, code, "no memory for the message");
    if (strncmp(text, "document.", 9) == 0) /* a document's paths are its own */
        text += 9;
    if (strstr(text, ": unknown field"))
        code = "unknown_field";
    set_problem(reply, status, code, text);
    struct slice place = place_of(slice_of(text));
    if (place.len > 0 && reply->body && json_set_text(reply->body, "path", place) != 0)
        log_warn("api.problem_without_path", F_STR("code", code));
    return -status;
}

/* ---- as SCIM has it
 * ------------------------------------------------------------------------------ */

bool
api_is_scim(struct slice path)
{
    return slice_starts(path, SLICE("/scim/"));
}

/* RFC 7644, 3.12, table 9; NULL: none of its words fits. */
static const char *
scim_type(struct slice code)
{
    static const struct {
        const char *code, *type;
    } types[] = {{"invalid_json", "invalidSyntax"},
                 {"invalid_body", "invalidSyntax"},
                 {"invalid_syntax", "invalidSyntax"},
                 {"invalid_field", "invalidValue"},
                 {"unknown_field", "invalidValue"},
                 {"invalid_value", "invalidValue"},
                 {"invalid_parameter", "invalidValue"},
                 {"unknown_reference", "invalidValue"},
                 {"group_cycle", "invalidValue"},
                 {"exists", "uniqueness"},
                 {"invalid_filter", "invalidFilter"},
                 {"invalid_path", "invalidPath"},
                 {"no_target", "noTarget"},
                 {"mutability", "mutability"}};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (slice_is(code, types[i].code))
            return types[i].type;
    return NULL;
}

int
api_problem_as_scim(struct api_reply *reply)
{
    char status[16];
    struct json *problem = reply->body, *schemas = json_new_list();
    const char *type = scim_type(json_str(json_get(problem, "code")));
    snprintf(status, sizeof(status), "%d", reply->status);
    reply->body = json_new_map();
    int err = reply->body && schemas
                  ? json_append(schemas,
                                json_new_text(SLICE("urn:ietf:params:scim:api:messages:2.0:Error")))
                  : ERR_NOMEM;
    if (!err)
        err = json_set(reply->body, "schemas", json_ref(schemas));
    if (!err)
        err = json_set_str(reply->body, "status", status);
    if (!err && type)
        err = json_set_str(reply->body, "scimType", type);
    if (!err)
        err = json_set_text(reply->body, "detail", json_str(json_get(problem, "detail")));
    json_free(schemas);
    json_free(problem);
    return err;
}

int
api_fail(struct api_request *r, struct api_reply *reply, int err)
{
    switch (err) {
    case ERR_UNAVAILABLE:
    case ERR_TIMEOUT:
    case ERR_CONFLICT:
    case ERR_BAD_STATE:
        reply->retry_after_s = 1;
        log_warn("api.unavailable", F_STR("request_id", r->request_id), F_ERR(err),
                 F_STR("database", db_error(r->db)));
        return api_problem(reply, 503, "unavailable",
                           "the database is away or busy; nothing was changed: try again");
    case ERR_NOMEM:
    case ERR_FULL:
        reply->retry_after_s = 1;
        return api_problem(reply, 503, "unavailable", "no memory or disk space left: try again");
    case ERR_EXISTS:
        return api_problem(reply, 409, "exists", "there is one of that name already");
    case ERR_NOT_FOUND:
        return api_problem(reply, 404, "not_found", "there is no such thing");
    default:
        break;
    }
    log_error("api.failed", F_STR("request_id", r->request_id), F_ERR(err),
              F_STR("sqlstate", db_sqlstate(r->db)), F_STR("database", db_error(r->db)));
    return api_problem(reply, 500, "internal",
                       "an internal error; the log has it under this request_id");
}
