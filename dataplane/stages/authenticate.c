/*
 * authenticate: whose key is this? Looks at the head alone, so that a stranger costs one header
 * block.
 *
 * A good key may still be limited to addresses and endpoints; what it may ask for at one of them is
 * authorize's to say.
 *
 * The key may come in any of the four fields that SDKs use. One answer for a key that is unknown,
 * disabled or expired: whoever guesses learns nothing. The key's text is looked up and not kept.
 */
#include "dataplane/request/request.h"
#include "dataplane/stages/stages.h"
#include "lib/base/clock.h"
#include "lib/sign/bearer.h"

#define PARTITION_MS 60000

static const struct slice key_fields[] = {
    {"authorization", 13}, {"x-api-key", 9}, {"api-key", 7}, {"x-goog-api-key", 14}};

/* "Bearer KEY" to KEY; at == NULL when the scheme is another. RFC 9110 11.1, RFC 6750 2.1. */
static struct slice
bearer(struct slice value)
{
    struct slice scheme = slice_cut(&value, ' ');
    if (!slice_eq_nocase(scheme, SLICE("Bearer")) || !value.at)
        return (struct slice){0};
    return slice_trim(value);
}

static bool
is_key_field(struct slice name, bool *ret_bearer)
{
    for (size_t i = 0; i < sizeof(key_fields) / sizeof(key_fields[0]); i++) {
        if (slice_eq(name, key_fields[i])) {
            *ret_bearer = i == 0;
            return true;
        }
    }
    return false;
}

enum credentials { CREDENTIALS_NONE, CREDENTIALS_ONE, CREDENTIALS_CONFLICT };

/* The one key presented, however often. Two that differ are refused: which of them would be meant?
 */
static enum credentials
find_credential(const struct http_head *head, struct slice *ret_key)
{
    bool is_bearer;
    *ret_key = (struct slice){0};
    for (size_t i = 0; i < head->count; i++) {
        if (!is_key_field(head->fields[i].name, &is_bearer))
            continue;
        struct slice value = head->fields[i].value;
        struct slice key = is_bearer ? bearer(value) : slice_trim(value);
        if (key.len == 0)
            continue;
        if (ret_key->len && !slice_eq(*ret_key, key))
            return CREDENTIALS_CONFLICT;
        *ret_key = key;
    }
    return ret_key->len ? CREDENTIALS_ONE : CREDENTIALS_NONE;
}

static bool
is_usable(const struct policy_key *key, int64_t now_wall_ms)
{
    return key && !key->disabled && (key->expires_ms == 0 || key->expires_ms > now_wall_ms);
}

/* A key that must not outlive its revocation is of no use where a revocation cannot arrive (I9). */
static bool
is_cut_off(const struct request *r, const struct policy_key *key)
{
    return key->refuse_on_partition && r->started_ms - r->svc->contact_ms > PARTITION_MS;
}

/* --- from where, and for what ----------------------------------------------------------------- */

static enum verdict
check_scope(struct request *r, struct slice packed, const char *whose)
{
    struct policy_scope scope;
    if (packed.len == 0)
        return NEXT;
    policy_scope_read(packed, &scope);
    if (scope.addresses.at && !policy_scope_has_address(&scope, slice_of(http_peer(r->client))))
        return reply_refuse(r, PROBLEM_SCOPE_ADDRESS,
                            "The %s's `addresses` do not include the one that this request comes "
                            "from.",
                            whose);
    if (!policy_scope_has_endpoint(&scope, slice_of(r->endpoint->name)))
        return reply_refuse(r, PROBLEM_SCOPE_ENDPOINT, "The %s's `endpoints` do not include '%s'.",
                            whose, r->endpoint->name);
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
authenticate(struct request *r)
{
    struct slice presented;
    if (!r->policy)
        return reply_refuse(r, PROBLEM_NO_POLICY,
                            "The gateway has no configuration yet. Try again shortly.");
    switch (find_credential(request_head(r), &presented)) {
    case CREDENTIALS_NONE:
        return reply_refuse(r, PROBLEM_NO_KEY,
                            "No API key was given. Send it as 'Authorization: Bearer KEY'.");
    case CREDENTIALS_CONFLICT:
        return reply_refuse(r, PROBLEM_BAD_KEY, "Several API keys were given, and they differ.");
    case CREDENTIALS_ONE:
        break;
    }
    const struct policy_key *key = policy_find_key(r->policy, presented, &r->who.found);
    if (!key && bearer_looks_like(presented))
        return authenticate_bearer(r, presented) == REPLY ? REPLY : check_scopes(r);
    if (!is_usable(key, r->started_wall_ms))
        return reply_refuse(r, PROBLEM_BAD_KEY, "The API key is not valid.");
    if (is_cut_off(r, key))
        return reply_refuse(r, PROBLEM_PARTITIONED,
                            "The gateway has not heard of its control plane for a minute, and this "
                            "key is not served without it.");
    r->who.key = key;
    return check_scopes(r);
}
