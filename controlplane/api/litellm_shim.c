/* See litellm_shim.h: reading a body, gathering changes, finding things. */
#include "controlplane/api/litellm_shim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/api/resources.h"
#include "lib/base/encode.h"
#include "lib/base/rand.h"
#include "lib/base/secret.h"

void
shim_open(struct shim *s, struct api_request *r, struct api_reply *reply)
{
    *s = (struct shim){.r = r, .reply = reply};
}

int
shim_close(struct shim *s, int err)
{
    json_free(s->given);
    changes_free(&s->changes);
    secret_wipe(&s->minted, sizeof(s->minted));
    return err;
}

/* ---- the body -------------------------------------------------------------------------------- */

#define BY_LIMIT                                                                                   \
    "is not carried over: make a budget or quota that selects it (POST /api/v1/budgets)"
#define NOT_THERE "there is no such thing here"
#define ONE_ORGANISATION "one installation is one organisation: leave it out"
#define BY_ROTATION "keys are rotated by a call (/key/regenerate), not on a schedule"

/* Members that LiteLLM takes and that have no counterpart. */
static const struct {
    const char *name, *why;
} refusals[] = {
    {"aliases", "a model has one name for everybody: make a model of that name"},
    {"model_aliases", "a model has one name for everybody: make a model of that name"},
    {"config", NOT_THERE},
    {"permissions", NOT_THERE},
    {"router_settings", NOT_THERE},
    {"allowed_cache_controls", NOT_THERE},
    {"guardrails", NOT_THERE},
    {"policies", NOT_THERE},
    {"prompts", NOT_THERE},
    {"object_permission", NOT_THERE},
    {"enforced_params", NOT_THERE},
    {"allowed_passthrough_routes", NOT_THERE},
    {"allowed_vector_store_indexes", NOT_THERE},
    {"allowed_routes", "limit the key's `endpoints` instead (PATCH /api/v1/keys/NAME)"},
    {"model_max_budget", BY_LIMIT},
    {"budget_limits", BY_LIMIT},
    {"model_rpm_limit", BY_LIMIT},
    {"model_tpm_limit", BY_LIMIT},
    {"team_member_budget", BY_LIMIT},
    {"team_member_rpm_limit", BY_LIMIT},
    {"team_member_tpm_limit", BY_LIMIT},
    {"max_budget_in_team", BY_LIMIT},
    {"budget_id", BY_LIMIT},
    {"soft_budget", "set `thresholds` of the budget instead (PATCH /api/v1/budgets/NAME)"},
    {"temp_budget_increase", "allow more for a while: POST /api/v1/budgets/NAME/overrides"},
    {"temp_budget_expiry", "allow more for a while: POST /api/v1/budgets/NAME/overrides"},
    {"rpm_limit_type", NOT_THERE},
    {"tpm_limit_type", NOT_THERE},
    {"auto_rotate", BY_ROTATION},
    {"rotation_interval", BY_ROTATION},
    {"spend", "is what the ledger says, and cannot be set"},
    {"new_key", "the text of a key is made here"},
    {"new_master_key", "admin tokens are made with POST /api/v1/tokens"},
    {"team_member_permissions", "bind a role to users instead (POST /api/v1/bindings)"},
    {"team_member_key_duration", NOT_THERE},
    {"admins", "bind the role team-admin instead (POST /api/v1/bindings)"},
    {"members", "name them in members_with_roles"},
    {"organization_id", ONE_ORGANISATION},
    {"organizations", ONE_ORGANISATION},
    {"sso_user_id", NOT_THERE},
    {"password", NOT_THERE},
    {"metadata", "only keys have metadata here: their tags"},
    {"models", "has no meaning in this call: teams and keys are limited to models"},
    {"key", "the text of a key is made here"},
};

static const char *
refusal_of(const char *name, const struct field_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->rows[i].name, name) == 0)
            return NULL;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        if (strcmp(refusals[i].name, name) == 0)
            return refusals[i].why;
    return NULL;
}

/* null, false, 0, "", [], {}: what clients send for what nobody asked for. */
static bool
says_nothing(const struct json *v)
{
    char decimal[JSON_DECIMAL_BYTES];
    switch (json_kind(v)) {
    case JSON_NULL_:
    case JSON_FALSE_:
        return true;
    case JSON_TEXT:
        return json_str(v).len == 0;
    case JSON_LIST:
    case JSON_MAP:
        return json_size(v) == 0;
    case JSON_NUMBER:
        return json_decimal(v, decimal) == 0 && strspn(decimal, "0.") == strlen(decimal);
    case JSON_TRUE_:
    case JSON_ABSENT:
        break;
    }
    return false;
}

static int
take_member(struct shim *s, const struct field_table *table, const char *name, struct json *value)
{
    const char *why = refusal_of(name, table);
    if (json_kind(value) == JSON_NULL_ || (why && says_nothing(value)))
        return 0;
    return why ? shim_refuse(s, 400, "unsupported", name, "%s", why)
               : json_set(s->given, name, json_ref(value));
}

/* Lists of texts are as long as those of items. */
static int
check_lists(struct shim *s, const struct field_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct json *v = json_get(s->given, table->rows[i].name);
        if (json_kind(v) == JSON_LIST && json_size(v) > LIMIT_SHIM_ITEMS)
            return shim_refuse(s, 400, "invalid_field", table->rows[i].name,
                               "at most %d are allowed", LIMIT_SHIM_ITEMS);
    }
    return 0;
}

static int
check_given(struct shim *s, const struct field_table *table)
{
    struct buf why;
    buf_init(&why, 8192);
    int err = json_check(s->given, table, "", &why);
    if (err)
        err = err == ERR_SYNTAX ? api_problem_at(s->reply, 400, "invalid_field", &why)
                                : api_fail(s->r, s->reply, err);
    buf_free(&why);
    return err ? err : check_lists(s, table);
}

int
shim_body(struct shim *s, const struct field_table *table, bool metadata)
{
    void *iter = NULL;
    const char *name;
    struct json *value;
    int err = 0;
    s->given = json_new_map();
    if (!s->given)
        return api_fail(s->r, s->reply, ERR_NOMEM);
    while (!err && json_each(s->r->body, &iter, &name, &value)) {
        if (metadata && strcmp(name, "metadata") == 0)
            s->metadata = value;
        else
            err = take_member(s, table, name, value);
    }
    if (err)
        return err <= -400 ? err : api_fail(s->r, s->reply, err);
    return check_given(s, table);
}

bool
shim_is_null(const struct shim *s, const char *member)
{
    return json_kind(json_get(s->r->body, member)) == JSON_NULL_;
}

struct slice
shim_text(const struct shim *s, const char *member)
{
    return json_str(json_get(s->given, member));
}

void
shim_ignore(struct shim *s, const char *member)
{
    char *list = s->reply->ignored;
    size_t used = strlen(list);
    if (!says_nothing(json_get(s->r->body, member)) && json_get(s->r->body, member))
        (void)snprintf(list + used, sizeof(s->reply->ignored) - used, "%s%s", used ? ", " : "",
                       member);
}

int
shim_refuse(struct shim *s, int status, const char *code, const char *member, const char *format,
            ...)
{
    struct buf text;
    va_list args;
    buf_init(&text, 2048);
    int err = buf_addf(&text, "%s: ", member);
    va_start(args, format);
    if (!err)
        err = buf_vaddf(&text, format, args);
    va_end(args);
    err = err ? api_fail(s->r, s->reply, err) : api_problem_at(s->reply, status, code, &text);
    buf_free(&text);
    return err;
}

/* ---- changes --------------------------------------------------------------------------------- */

static int
check_input(struct shim *s, const struct kind *kind, const struct json *input)
{
    struct buf why;
    buf_init(&why, 8192);
    int err = item_check(kind, input, "", &why);
    if (err)
        err = err == ERR_SYNTAX ? api_problem_at(s->reply, 400, "invalid_field", &why)
                                : api_fail(s->r, s->reply, err);
    buf_free(&why);
    return err;
}

int
shim_put(struct shim *s, const struct kind *kind, const char *name, const struct item *stored,
         const struct json *input)
{
    struct json *body = NULL;
    struct minted minted = {""};
    const struct change_input in = {kind, name, input, stored ? stored->body : NULL, ""};
    int err = check_input(s, kind, input);
    if (!err)
        err = change_body(s->r, s->reply, &in, &body, &minted);
    if (err)
        return err;
    if (minted.text[0])
        s->minted = minted;
    secret_wipe(&minted, sizeof(minted));
    if (stored && json_equal(body, stored->body)) {
        json_free(body);
        return 0;
    }
    return changes_put(&s->changes, kind, name, stored, body) ? 0
                                                              : api_fail(s->r, s->reply, ERR_NOMEM);
}

bool
shim_has(const struct shim *s, const struct kind *kind, const char *name)
{
    for (size_t i = 0; i < s->changes.count; i++)
        if (s->changes.at[i].kind == kind && strcmp(s->changes.at[i].name, name) == 0)
            return true;
    return false;
}

int
shim_drop(struct shim *s, const struct kind *kind, const struct item *stored)
{
    if (shim_has(s, kind, stored->name))
        return 0;
    return changes_put(&s->changes, kind, stored->name, stored, NULL)
               ? 0
               : api_fail(s->r, s->reply, ERR_NOMEM);
}

struct json *
shim_input(const struct kind *kind, const struct item *stored)
{
    return item_view(kind, stored->name, stored->body, false);
}

/* ---- finding --------------------------------------------------------------------------------- */

int
shim_is_new(struct shim *s, const struct kind *kind, const char *name, const char *member)
{
    struct item present;
    int err = items_find(s->r->db, kind, slice_of(name), &present);
    item_free(&present);
    if (err == ERR_NOT_FOUND)
        return 0;
    return err ? api_fail(s->r, s->reply, err)
               : shim_refuse(s, 400, "exists", member, "there is a %s '%s' already", kind->noun,
                             name);
}

void
shim_name(struct slice given, const char *prefix, char ret[static LIMIT_NAME_BYTES + 1])
{
    unsigned char random[8];
    char hex[2 * sizeof(random) + 1];
    rand_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), hex);
    if (given.at)
        (void)snprintf(ret, LIMIT_NAME_BYTES + 1, "%.*s", SLICE_ARG(given));
    else
        (void)snprintf(ret, LIMIT_NAME_BYTES + 1, "%s-%s", prefix, hex);
}

int
shim_find(struct api_request *r, struct api_reply *reply, const struct kind *kind,
          struct slice name, const char *member, struct item *ret_item)
{
    struct buf text;
    int err = name.len ? items_find(r->db, kind, name, ret_item) : ERR_NOT_FOUND;
    if (!name.len)
        *ret_item = (struct item){0};
    r->asked = true;
    if (!err)
        err = resource_reach(r, kind, ret_item);
    if (err != ERR_DENIED && err != ERR_NOT_FOUND)
        return err ? api_fail(r, reply, err) : 0;
    buf_init(&text, 1024); /* a key's text may stand where its name could: it is not repeated */
    int status = err == ERR_DENIED ? 403 : 404;
    err = err == ERR_DENIED ? buf_addf(&text, "%s: no permission %s for this %s", member,
                                       r->route->permission, kind->noun)
                            : buf_addf(&text, "%s: there is no such %s", member, kind->noun);
    err = err ? api_fail(r, reply, err)
              : api_problem_at(reply, status, status == 403 ? "forbidden" : "not_found", &text);
    buf_free(&text);
    return err;
}

/* ---- query parameters ------------------------------------------------------------------------ */

const char *
shim_query(struct api_request *r, const char *name)
{
    struct slice text = api_query(r, name);
    return text.len ? text.at : NULL;
}

static int
query_number(struct api_request *r, struct api_reply *reply, const char *name, int64_t most,
             int64_t *ret)
{
    const char *text = shim_query(r, name);
    unsigned long long n;
    if (!text)
        return 0;
    if (slice_to_u64(slice_of(text), &n) != 0 || n < 1 || n > (unsigned long long)most)
        return api_problem(reply, 400, "invalid_parameter", "%s: must be from 1 to %lld", name,
                           (long long)most);
    *ret = (int64_t)n;
    return 0;
}

int
shim_page(struct api_request *r, struct api_reply *reply, const char *size_name, int64_t usual,
          struct shim_page *ret)
{
    *ret = (struct shim_page){1, usual, 0};
    int err = query_number(r, reply, "page", 1000000, &ret->page);
    return err ? err : query_number(r, reply, size_name, 100, &ret->size);
}

int64_t
shim_pages(const struct shim_page *p)
{
    return (p->total + p->size - 1) / p->size;
}

int
shim_flag(struct api_request *r, struct api_reply *reply, const char *name, bool *ret_flag)
{
    struct slice text = api_query(r, name);
    if (!text.len)
        return 0;
    *ret_flag = slice_eq_nocase(text, SLICE("true"));
    return *ret_flag || slice_eq_nocase(text, SLICE("false"))
               ? 0
               : api_problem(reply, 400, "invalid_parameter", "%s: must be true or false", name);
}

int
shim_refuse_query(struct api_request *r, struct api_reply *reply, const char *names)
{
    struct slice rest = slice_of(names);
    while (rest.len > 0) {
        struct slice one = slice_cut(&rest, ' ');
        char name[64];
        (void)snprintf(name, sizeof(name), "%.*s", SLICE_ARG(one));
        if (shim_query(r, name))
            return api_problem(reply, 400, "unsupported",
                               "%s: there is no such thing here: leave it out", name);
    }
    return 0;
}
