/*
 * A token of somebody's identity provider instead of a key: verified here, under the public keys
 * that came with the policy. What it says becomes a key of its own, which lives as long as the
 * request. Until its signature is good, nothing that it says has any effect but which key is tried.
 */
#include "lib/sign/bearer.h"
#include "dataplane/request/request.h"
#include "dataplane/stages/stages.h"

#define LIMIT_CLAIM_BYTES 200 /* of a team's or a user's name, as everywhere */

static const struct bearer_key *
find_key(const struct policy_issuer *i, struct slice id)
{
    for (size_t k = 0; k < i->key_count; k++)
        if (slice_eq(i->keys[k].id, id))
            return i->keys[k].key;
    return NULL;
}

/* 0 with its issuer, or ERR_AUTH. */
static int
check_signature(const struct request *r, const struct bearer *b,
                const struct policy_issuer **ret_issuer)
{
    const struct policy_issuer *i = policy_find_issuer(r->policy, b->issuer);
    const struct bearer_key *key = i && !i->disabled ? find_key(i, b->key_id) : NULL;
    *ret_issuer = i;
    return key ? bearer_verify(b, key) : ERR_AUTH;
}

static enum verdict
refuse(struct request *r, const char *why)
{
    return reply_refuse(r, PROBLEM_BAD_KEY, "The token is not valid: %s.", why);
}

/* Printable, and no longer than a name may be: it is recorded with every use. */
static bool
is_name(struct slice s)
{
    return s.len > 0 && s.len <= LIMIT_CLAIM_BYTES && http_is_field_value(s);
}

static enum verdict
take_team(struct request *r, const struct bearer *b, const struct policy_issuer *i)
{
    struct slice name;
    r->who.found.team = i->team;
    if (i->team)
        return NEXT;
    if (bearer_claim(b, i->team_claim.at, &r->arena, &name) != 0)
        return refuse(r, "it does not name a team");
    r->who.found.team = policy_find_team(r->policy, name);
    return r->who.found.team ? NEXT : refuse(r, "its team is not known");
}

static enum verdict
take_user(struct request *r, const struct bearer *b, const struct policy_issuer *i)
{
    struct slice name;
    if (bearer_claim(b, i->user_claim.at, &r->arena, &name) != 0 || !is_name(name))
        return refuse(r, "it does not name who asks");
    if (policy_user_is_disabled(r->policy, name))
        return refuse(r, "its user is disabled");
    policy_set_holder(r->policy, name, &r->who.found);
    r->who.found.user = arena_copy(&r->arena, name);
    return r->who.found.user.at
               ? NEXT
               : reply_refuse(r, PROBLEM_OVERLOADED, "The gateway is short of memory.");
}

static enum verdict
take_claims(struct request *r, const struct bearer *b, const struct policy_issuer *i)
{
    const char *why;
    int64_t expires_s;
    if (bearer_check(b, i->audience, r->started_wall_ms / 1000, &expires_s, &why) != 0)
        return refuse(r, why);
    r->who.found = (struct policy_key){
        .name = i->name,
        .id = SLICE(""),
        .project = SLICE(""),
        .all_models = i->all_models,
        .models = i->models,
        .model_count = i->model_count,
        .tags = SLICE(""),
        .scope = i->scope,
        .expires_ms = expires_s * 1000,
    };
    if (take_team(r, b, i) == REPLY || take_user(r, b, i) == REPLY)
        return REPLY;
    r->who.key = &r->who.found;
    return NEXT;
}

enum verdict
authenticate_bearer(struct request *r, struct slice token)
{
    const struct policy_issuer *issuer;
    struct bearer b;
    if (bearer_read(token, LIMIT_BEARER_BYTES, &r->arena, &b) != 0 ||
        check_signature(r, &b, &issuer) != 0)
        return reply_refuse(r, PROBLEM_BAD_KEY, "The API key is not valid.");
    return take_claims(r, &b, issuer);
}
