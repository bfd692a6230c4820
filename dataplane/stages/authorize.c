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
    return r->endpoint->path ? NEXT : reply_list(r, write_one);
}
