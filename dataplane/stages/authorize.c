/*
 * authorize: may this key use this model? A model that does not exist and one that the key may not
 * use give the same answer. The list of models is the answer to the same question for all of them.
 */
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
    const char *comma = "";
    int err = buf_add_str(into, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < n && !err; i++) {
        const struct policy_model *m = policy_model_at(r->policy, i);
        if (!policy_may_use(r->who.key, m->name))
            continue;
        err = buf_add_str(into, comma);
        if (!err)
            err = openai_write_model(into, m);
        comma = ",";
    }
    return err ? err : buf_add_str(into, "]}");
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
    return openai_write_model(into, r->grant.model);
}

/* --- the stage -------------------------------------------------------------------------------- */

static enum verdict
find_model(struct request *r, struct slice name)
{
    r->grant.name = name;
    r->grant.model =
        policy_find_model(r->policy, name, &r->grant.scratch, &r->grant.scratch_target);
    if (!r->grant.model || !policy_may_use(r->who.key, name))
        return refuse_model(r, name);
    return NEXT;
}

/* The model member, decoded; it outlives the body. */
static enum verdict
read_model(struct request *r, struct slice *ret_name)
{
    struct slice text = slice_make(r->body.at, r->body.len), name;
    struct json_span at = r->body.members[MEMBER_MODEL];
    if (at.kind == JSON_ABSENT)
        return reply_refuse_member(r, PROBLEM_MISSING_MEMBER, "model",
                                   "The member 'model' is missing.");
    if (at.kind != JSON_TEXT || at.end - at.start > 1024)
        return reply_refuse_member(r, PROBLEM_INVALID_VALUE, "model",
                                   "'model' must be the name of a model.");
    if (json_text(text, at, &r->arena, &name))
        return refuse_memory(r);
    *ret_name = arena_copy(&r->arena, name);
    return ret_name->at ? NEXT : refuse_memory(r);
}

/* --- what the key and its team may ask of a model ----------------------------------------------
 */

/* Whether the member is there and says something. */
static bool
is_given(const struct request *r, enum openai_member m)
{
    return r->body.members[m].kind != JSON_ABSENT && r->body.members[m].kind != JSON_NULL_;
}

/* Every spelling that is there must be an integer in bounds: which of them counts is the
 * provider's to choose. */
static enum verdict
check_max_tokens(struct request *r, int64_t most, const char *whose)
{
    static const enum openai_member spellings[] = {MEMBER_MAX_TOKENS, MEMBER_MAX_COMPLETION_TOKENS};
    struct slice text = slice_make(r->body.at, r->body.len);
    bool given = false;
    int64_t n;
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        struct json_span at = r->body.members[spellings[i]];
        if (!is_given(r, spellings[i]))
            continue;
        given = true;
        if (at.kind != JSON_NUMBER || json_int(text, at, &n) != 0 || n < 1 || n > most)
            return reply_refuse_member(r, PROBLEM_SCOPE_PARAMETER, openai_members[spellings[i]],
                                       "The %s's `max_tokens` allows '%s' from 1 to %lld.", whose,
                                       openai_members[spellings[i]], (long long)most);
    }
    if (given)
        return NEXT;
    return reply_refuse_member(r, PROBLEM_SCOPE_PARAMETER, "max_tokens",
                               "The %s's `max_tokens` is %lld: a request must give 'max_tokens' or "
                               "'max_completion_tokens', no larger.",
                               whose, (long long)most);
}

static enum verdict
check_scope(struct request *r, struct slice packed, const char *whose)
{
    struct policy_scope scope;
    if (packed.len == 0)
        return NEXT;
    policy_scope_read(packed, &scope);
    if (!scope.stream && r->body.stream)
        return reply_refuse_member(r, PROBLEM_SCOPE_PARAMETER, "stream",
                                   "The %s does not allow 'stream'.", whose);
    for (enum openai_member m = MEMBER_TOOLS; m <= MEMBER_FUNCTIONS && !scope.tools; m++)
        if (is_given(r, m))
            return reply_refuse_member(r, PROBLEM_SCOPE_PARAMETER, openai_members[m],
                                       "The %s does not allow '%s'.", whose, openai_members[m]);
    /* An embedding has no length to choose. */
    if (scope.max_tokens && r->endpoint->kind != ENDPOINT_EMBEDDINGS)
        return check_max_tokens(r, scope.max_tokens, whose);
    return NEXT;
}

static enum verdict
check_scopes(struct request *r)
{
    if (check_scope(r, r->who.key->scope, "key") == REPLY)
        return REPLY;
    return check_scope(r, r->who.key->team->scope, "team");
}

enum verdict
authorize(struct request *r)
{
    struct slice name = r->subject;
    if (r->who.key->team->disabled)
        return reply_refuse(r, PROBLEM_TEAM_DISABLED, "The team of this key is disabled.");
    if (!r->endpoint->path && !name.at)
        return reply_list(r, write_models);
    if (r->endpoint->path && read_model(r, &name) == REPLY)
        return REPLY;
    if (find_model(r, name) == REPLY)
        return REPLY;
    return r->endpoint->path ? check_scopes(r) : reply_list(r, write_one);
}
