/*
 * authorize: may this key, and who holds it, use this model? A model that does not exist and one
 * that the key may not use give the same answer. The list of models is the answer to the same
 * question for all of them.
 */
#include "dataplane/dialects/capabilities.h"
#include "dataplane/dialects/models.h"
#include "dataplane/endpoints/forward.h"
#include "dataplane/request/request.h"
#include "dataplane/stages/stages.h"

static enum verdict
refuse_memory(struct request *r)
{
    return reply_refuse(r, PROBLEM_OVERLOADED,
                        "The gateway is short of memory. Try again shortly.");
}

static enum verdict
refuse_model(struct request *r, struct slice name)
{
    if (name.len > 200)
        name.len = 200;
    return reply_refuse_member(r, PROBLEM_MODEL_NOT_FOUND, "model",
                               "The model '%.*s' does not exist, or the key may not use it.",
                               SLICE_ARG(name));
}

/* --- GET /v1/models, GET /v1/models/{id} ------------------------------------------------------ */

static int
write_models(struct request *r, struct buf *into)
{
    size_t n = policy_model_count(r->policy);
    struct model_list list;
    int err = model_list_begin(&list, r->endpoint->dialect, into);
    for (size_t i = 0; i < n && !err; i++) {
        const struct policy_model *m = policy_model_at(r->policy, i);
        if (policy_may_use(r->who.key, m->name))
            err = model_list_add(&list, m);
    }
    return err ? err : model_list_end(&list);
}

static enum verdict
reply_list(struct request *r, int (*write)(struct request *, struct buf *))
{
    struct buf body;
    struct slice kept = {0};
    buf_init(&body, (size_t)8 << 20);
    if (write(r, &body) == 0)
        kept = arena_copy(&r->arena, buf_slice(&body));
    buf_free(&body);
    return kept.at ? reply_json(r, kept) : refuse_memory(r);
}

static int
write_one(struct request *r, struct buf *into)
{
    return model_write(r->endpoint->dialect, r->grant.model, into);
}

/* --- the stage -------------------------------------------------------------------------------- */

/* A name that no header could carry is no model's: not even behind a provider's name, where
 * anything else goes (F162). */
/* Of the kinds that are configured, each once. */
static int
write_capabilities(struct request *r, struct buf *into)
{
    bool used[PROVIDER_KINDS] = {false};
    for (size_t i = 0; i < policy_provider_count(r->policy); i++)
        used[policy_provider_at(r->policy, i)->kind] = true;
    return capabilities_write(used, into);
}

static enum verdict
find_model(struct request *r, struct slice name)
{
    if (!http_is_field_value(name))
        return refuse_model(r, name);
    r->grant.name = name;
    r->grant.model =
        policy_find_model(r->policy, name, &r->grant.scratch, &r->grant.scratch_target);
    if (!r->grant.model || !policy_may_use(r->who.key, name))
        return refuse_model(r, name);
    return NEXT;
}

#define LIMIT_MODEL_BYTES 1024

/* What the body or the path names; it outlives the body. */
static enum verdict
read_model(struct request *r, struct slice *ret_name)
{
    struct slice name = r->body.brief.model;
    if (!name.at)
        return reply_refuse_member(r, PROBLEM_MISSING_MEMBER, "model",
                                   "The member 'model' is missing.");
    if (name.len > LIMIT_MODEL_BYTES)
        return reply_refuse_member(r, PROBLEM_INVALID_VALUE, "model",
                                   "'model' must be the name of a model.");
    *ret_name = arena_copy(&r->arena, name);
    return ret_name->at ? NEXT : refuse_memory(r);
}

/* --- what the key and its team may ask of a model ----------------------------------------------
 */

static enum verdict
check_max_tokens(struct request *r, int64_t most, const char *whose)
{
    const struct request_brief *brief = &r->body.brief;
    const char *member = brief->max_tokens_member;
    if (!member)
        return reply_refuse_member(r, PROBLEM_SCOPE_PARAMETER, "max_tokens",
                                   "The %s's `max_tokens` is %lld: a request must give a "
                                   "limit of its output, no larger.",
                                   whose, (long long)most);
    if (brief->max_tokens_odd || brief->max_tokens > most)
        return reply_refuse_member(r, PROBLEM_SCOPE_PARAMETER, member,
                                   "The %s's `max_tokens` allows '%s' from 1 to %lld.", whose,
                                   member, (long long)most);
    return NEXT;
}

/* An embedding, a picture has no length to choose. */
static bool
has_length(const struct request *r)
{
    const struct codec *codec = r->endpoint->codec;
    return !codec || (codec->forwards && !r->body.units->costs_nothing);
}

static enum verdict
check_scope(struct request *r, struct slice packed, const char *whose)
{
    struct policy_scope scope;
    if (packed.len == 0)
        return NEXT;
    policy_scope_read(packed, &scope);
    if (!scope.stream && r->body.brief.stream)
        return reply_refuse_member(r, PROBLEM_SCOPE_PARAMETER, "stream",
                                   "The %s does not allow 'stream'.", whose);
    if (!scope.tools && r->body.brief.tools_member)
        return reply_refuse_member(r, PROBLEM_SCOPE_PARAMETER, r->body.brief.tools_member,
                                   "The %s does not allow '%s'.", whose,
                                   r->body.brief.tools_member);
    if (scope.max_tokens && has_length(r))
        return check_max_tokens(r, scope.max_tokens, whose);
    return NEXT;
}

/* --- what the roles of who asks allow ----------------------------------------------------------
 *
 * One of them must allow all of the request: its endpoint and address, the model, the parameters.
 */

static bool
role_reaches(const struct request *r, const struct policy_role *role)
{
    struct policy_scope scope;
    policy_scope_read(role->scope, &scope);
    return policy_scope_has_endpoint(&scope, slice_of(r->endpoint->name)) &&
           (!scope.addresses.at ||
            policy_scope_has_address(&scope, slice_of(http_peer(r->client))));
}

static enum verdict
refuse_reach(struct request *r, const struct policy_role *some)
{
    const struct policy_key *key = r->who.key;
    if (!some)
        return reply_refuse(r, PROBLEM_SCOPE_ROLE,
                            "The roles of user '%.*s' allow requests elsewhere, but none of team "
                            "'%.*s' here.",
                            SLICE_ARG(key->user), SLICE_ARG(key->team->name));
    return reply_refuse(r, PROBLEM_SCOPE_ROLE,
                        "No role of user '%.*s' allows '%s' from this address ('%.*s' does not).",
                        SLICE_ARG(key->user), r->endpoint->name, SLICE_ARG(some->name));
}

/* Whether any role allows the endpoint at all. */
static enum verdict
check_reach(struct request *r)
{
    const struct policy_role *role, *some = NULL;
    size_t cursor = 0;
    if (r->who.key->grant_count == 0)
        return NEXT;
    while ((role = policy_key_role(r->who.key, &cursor)) != NULL) {
        if (role_reaches(r, role))
            return NEXT;
        some = role;
    }
    return refuse_reach(r, some);
}

static bool
fits(const struct request *r, struct slice packed)
{
    struct policy_scope scope;
    const struct request_brief *brief = &r->body.brief;
    policy_scope_read(packed, &scope);
    if ((!scope.stream && brief->stream) || (!scope.tools && brief->tools_member))
        return false;
    return !scope.max_tokens || !has_length(r) ||
           (brief->max_tokens_member && !brief->max_tokens_odd &&
            brief->max_tokens <= scope.max_tokens);
}

/* By the role that comes nearest: the last one that allows the endpoint and the model. */
static enum verdict
refuse_parameters(struct request *r, const struct policy_role *near)
{
    const char *whose = arena_printf(&r->arena, "role '%.*s' of user '%.*s'", SLICE_ARG(near->name),
                                     SLICE_ARG(r->who.key->user));
    return whose ? check_scope(r, near->scope, whose) : refuse_memory(r);
}

static enum verdict
check_roles(struct request *r)
{
    const struct policy_role *role, *near = NULL;
    size_t cursor = 0;
    if (r->who.key->grant_count == 0)
        return NEXT;
    while ((role = policy_key_role(r->who.key, &cursor)) != NULL) {
        if (!role_reaches(r, role) || !policy_role_has_model(role, r->grant.name))
            continue;
        if (fits(r, role->scope))
            return NEXT;
        near = role;
    }
    if (near)
        return refuse_parameters(r, near);
    return reply_refuse_member(r, PROBLEM_SCOPE_ROLE, "model",
                               "No role of user '%.*s' allows '%s' for this model.",
                               SLICE_ARG(r->who.key->user), r->endpoint->name);
}

static enum verdict
check_scopes(struct request *r)
{
    if (check_scope(r, r->who.key->scope, "key") == REPLY ||
        check_scope(r, r->who.key->team->scope, "team") == REPLY)
        return REPLY;
    return check_roles(r);
}

/* --- a provider that is named, or the only one ------------------------------------------------ */

static struct slice
name_in(struct request *r, struct slice provider, struct slice model)
{
    return slice_of(arena_printf(&r->arena, "%.*s/%.*s", SLICE_ARG(provider), SLICE_ARG(model)));
}

/* Whether it keeps files, and the key may use all of it. */
static bool
may_keep(struct request *r, const struct policy_provider *p)
{
    struct slice all = name_in(r, p->name, SLICE("*"));
    return p->kind != PROVIDER_SIMULATOR && dialect_for(p, DIALECT_CHAT)->id == DIALECT_CHAT &&
           all.at && policy_may_use(r->who.key, all);
}

/* NULL: there are none, or several. */
static const struct policy_provider *
find_only(struct request *r)
{
    const struct policy_provider *found = NULL;
    for (size_t i = 0; i < policy_provider_count(r->policy); i++) {
        const struct policy_provider *p = policy_provider_at(r->policy, i);
        if (!may_keep(r, p))
            continue;
        if (found)
            return NULL;
        found = p;
    }
    return found;
}

static struct slice
named_provider(const struct request *r)
{
    struct slice query = r->below, path = slice_cut(&query, '?'), name, rest;
    if (forward_split(path, &name, &rest))
        return name;
    name = http_field_get(request_head(r), "x-headgate-provider");
    return name.at ? name : forward_query_get(query, "provider");
}

/* One that does not exist and one that the key may not use give the same answer. */
static enum verdict
refuse_provider(struct request *r, struct slice name)
{
    if (name.len > 200)
        name.len = 200;
    return reply_refuse(r, PROBLEM_PROVIDER_NOT_FOUND,
                        "The provider '%.*s' does not exist, or the key may not use all of it.",
                        SLICE_ARG(name));
}

/* A key for some of a provider's models may go where the named one does the work, and nowhere else:
 * elsewhere a model in the body may be one word among others. */
static bool
may_use_path(struct request *r, const struct policy_provider *p)
{
    struct slice rest = r->below, path = slice_cut(&rest, '?'), name, to;
    struct slice all = name_in(r, p->name, SLICE("*"));
    if (all.at && policy_may_use(r->who.key, all))
        return true;
    return forward_split(path, &name, &to) &&
           (forward_is_of_model(to) || forward_path_model(to, &r->arena).len);
}

/* What names no model needs the right to all of the provider's: "NAME/" and a star. */
static enum verdict
use_provider(struct request *r, const struct policy_provider *p)
{
    struct slice model = r->body.brief.model;
    bool named = model.len > 0;
    if (model.len > LIMIT_MODEL_BYTES)
        return refuse_model(r, model);
    struct slice name = name_in(r, p->name, named ? model : SLICE("*"));
    if (!name.at)
        return refuse_memory(r);
    if (p->kind == PROVIDER_SIMULATOR || (!named && !policy_may_use(r->who.key, name)))
        return refuse_provider(r, p->name);
    if (named && !may_use_path(r, p))
        return refuse_provider(r, p->name);
    if (find_model(r, name) == REPLY)
        return REPLY;
    if (r->grant.model != &r->grant.scratch || r->grant.scratch_target.provider != p)
        return refuse_model(r, name); /* a configured model has taken the name */
    r->grant.scratch.free |= !named;
    return check_scopes(r);
}

static enum verdict
authorize_forward(struct request *r)
{
    struct slice name = named_provider(r);
    if (name.at) {
        const struct policy_provider *p = policy_find_provider(r->policy, name);
        return p ? use_provider(r, p) : refuse_provider(r, name);
    }
    const struct policy_provider *only = find_only(r);
    if (!only)
        return reply_refuse(r, PROBLEM_PROVIDER_NEEDED,
                            "Say which provider is meant: by the header x-headgate-provider or "
                            "'?provider='.");
    return use_provider(r, only);
}

/* --- the stage -------------------------------------------------------------------------------- */

enum verdict
authorize(struct request *r)
{
    struct slice name = r->subject;
    if (r->who.key->team->disabled)
        return reply_refuse(r, PROBLEM_TEAM_DISABLED, "The team of this key is disabled.");
    if (check_reach(r) == REPLY)
        return REPLY;
    if (r->endpoint->codec && r->endpoint->codec->forwards)
        return authorize_forward(r);
    bool own = r->endpoint->way == WAY_OWN;
    if (r->endpoint->kind == ENDPOINT_CAPABILITIES)
        return reply_list(r, write_capabilities);
    if (own && !name.at)
        return reply_list(r, write_models);
    if (!own && read_model(r, &name) == REPLY)
        return REPLY;
    if (find_model(r, name) == REPLY)
        return REPLY;
    return own ? reply_list(r, write_one) : check_scopes(r);
}
