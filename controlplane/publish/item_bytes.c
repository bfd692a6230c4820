#include "controlplane/publish/item_bytes.h"

#include <stdio.h>
#include <string.h>

#include "controlplane/rules/price.h"
#include "lib/base/cidr.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/rand.h"
#include "lib/control/section.h"
#include "lib/policy/limits.h"
#include "lib/policy/provider_kinds.h"
#include "lib/sign/bearer.h"

/* What one conversion needs; memory for lists and texts is the arena's. */
struct job {
    const struct item_source *s;
    struct arena arena;
    struct buf *why;
    int err; /* the first one; the message is set */
};

static int
fail(struct job *j, int err, const char *member, const char *reason)
{
    if (j->err)
        return j->err;
    j->err = err;
    buf_clear(j->why);
    if (buf_addf(j->why, "%s '%.*s': %s%s%s", kind_at(j->s->kind)->plural, SLICE_ARG(j->s->name),
                 member, *member ? ": " : "", reason) != 0)
        j->err = ERR_NOMEM;
    return j->err;
}

/* --- members of a body --------------------------------------------------------------------- */

/* "" when absent. */
static struct slice
text(const struct json *map, const char *name)
{
    struct slice s = json_str(json_get(map, name));

    return s.at ? s : SLICE("");
}

static bool
is_true(const struct json *map, const char *name)
{
    return json_is_true(json_get(map, name));
}

static int64_t
number(struct job *j, const struct json *map, const char *name, int64_t absent)
{
    const struct json *v = json_get(map, name);
    int64_t n = absent;

    if (v && json_to_int(v, &n) != 0)
        fail(j, ERR_SYNTAX, name, "is no integer");
    return n;
}

static void *
take(struct job *j, size_t bytes)
{
    void *at = arena_zalloc(&j->arena, bytes);

    if (!at)
        fail(j, ERR_NOMEM, "", "no memory");
    return at;
}

static const struct slice *
texts(struct job *j, const struct json *list, size_t *ret_count)
{
    struct slice *all = take(j, (json_size(list) + 1) * sizeof(*all));

    *ret_count = all ? json_size(list) : 0;
    for (size_t i = 0; i < *ret_count; i++) {
        all[i] = json_str(json_at(list, i));
        if (!all[i].at)
            all[i] = SLICE("");
    }
    return all;
}

static const struct section_pair *
pairs(struct job *j, struct json *map, size_t *ret_count)
{
    struct section_pair *all = take(j, (json_size(map) + 1) * sizeof(*all));
    struct json *value;
    void *iter = NULL;
    const char *name;

    *ret_count = 0;
    while (all && map && json_each(map, &iter, &name, &value))
        all[(*ret_count)++] = (struct section_pair){slice_of(name), json_str(value)};
    return all;
}

/* --- the kinds ----------------------------------------------------------------------------- */

static struct slice
sealed_credential(struct job *j)
{
    struct slice sealed = SLICE("");
    struct buf bytes;
    int err;

    if (!j->s->credential)
        return sealed;
    buf_init(&bytes, 0);
    buf_clear(j->why);
    err = j->s->credential(j->s->ctx, j->s->name, j->s->body, &bytes, j->why);
    if (err)
        j->err = err;
    else if (bytes.len && !(sealed = arena_copy(&j->arena, buf_slice(&bytes))).at)
        fail(j, ERR_NOMEM, "", "no memory");
    buf_free(&bytes);
    return sealed;
}

/* The address of the kind itself; empty when it has none. */
static struct slice
own_address(struct job *j, const struct section_provider *p)
{
    enum provider_kind kind;
    struct slice url = SLICE("");
    struct buf text;

    if (provider_kind_parse(p->kind, &kind) != 0)
        return url; /* the compiler says so, with the place */
    buf_init(&text, 0);
    int err = provider_kind_base_url(kind, p->region, p->location, &text);
    if (!err)
        url = arena_copy(&j->arena, buf_slice(&text));
    if (err == ERR_NOMEM || !url.at)
        fail(j, ERR_NOMEM, "", "no memory");
    buf_free(&text);
    return url;
}

static int
put_provider(struct job *j, struct buf *into)
{
    const struct json *body = j->s->body;
    const struct json *timeouts = json_get(body, "timeouts");
    struct section_provider p = {
        .name = j->s->name,
        .kind = text(body, "kind"),
        .base_url = text(body, "base_url"),
        .http = text(body, "http"),
        .on_disconnect = text(body, "on_disconnect"),
        .region = text(body, "region"),
        .project = text(body, "project"),
        .location = text(body, "location"),
        .api_version = text(body, "api_version"),
        .allow_private = is_true(body, "allow_private"),
        .allow_private_media = is_true(body, "allow_private_media"),
        .api = text(body, "api"),
        .connect_ms = (uint32_t)number(j, timeouts, "connect_ms", 0),
        .first_byte_ms = (uint32_t)number(j, timeouts, "first_byte_ms", 0),
        .between_bytes_ms = (uint32_t)number(j, timeouts, "between_bytes_ms", 0),
        .total_ms = (uint32_t)number(j, timeouts, "total_ms", 0),
    };

    if (p.base_url.len == 0)
        p.base_url = own_address(j, &p);
    if (slice_is(p.http, "auto"))
        p.http = SLICE("");
    p.headers = pairs(j, json_get(body, "headers"), &p.header_count);
    p.sealed_credential = sealed_credential(j);
    return j->err ? j->err : section_put_provider(into, &p);
}

static int
put_model(struct job *j, struct buf *into)
{
    const struct json *body = j->s->body;
    const struct json *list = json_get(body, "targets");
    struct section_target *targets = take(j, (json_size(list) + 1) * sizeof(*targets));
    struct section_model m = {
        .name = j->s->name,
        .strategy = text(body, "strategy"),
        .free = is_true(body, "free"),
        .created_unix_s = j->s->created_ms / 1000,
        .targets = targets,
        .target_count = json_size(list),
    };

    for (size_t i = 0; targets && i < m.target_count; i++) {
        const struct json *t = json_at(list, i);

        targets[i].provider = text(t, "provider");
        targets[i].model = text(t, "model");
        targets[i].weight = (uint32_t)number(j, t, "weight", 1);
    }
    m.fallbacks = texts(j, json_get(body, "fallbacks"), &m.fallback_count);
    m.cache_ttl_s = (uint32_t)number(j, json_get(body, "cache"), "ttl_s", 0);
    m.cache_scope = text(json_get(body, "cache"), "scope");
    return j->err ? j->err : section_put_model(into, &m);
}

static const struct slice *
ranges(struct job *j, const struct json *list, size_t *ret_count)
{
    struct slice *all = take(j, (json_size(list) + 1) * sizeof(*all));
    const char *why = "";
    struct cidr c;

    *ret_count = all ? json_size(list) : 0;
    for (size_t i = 0; i < *ret_count; i++) {
        if (cidr_parse(json_str(json_at(list, i)), &c, &why) != 0)
            fail(j, ERR_SYNTAX, "addresses", why);
        all[i] = j->err ? SLICE("") : arena_copy(&j->arena, slice_make((const char *)c.at, c.len));
        if (!all[i].at)
            fail(j, ERR_NOMEM, "", "no memory");
    }
    return all;
}

/* The members of a key, or of a team's `allow`. */
static void
take_scope(struct job *j, const struct json *map, struct section_scope *ret)
{
    const struct json *endpoints = json_get(map, "endpoints");
    const struct json *addresses = json_get(map, "addresses");

    *ret = (struct section_scope){
        .limits_endpoints = endpoints != NULL,
        .limits_addresses = addresses != NULL,
        .max_tokens = number(j, map, "max_tokens", 0),
        .no_tools = json_kind(json_get(map, "tools")) == JSON_FALSE_,
        .no_stream = json_kind(json_get(map, "stream")) == JSON_FALSE_,
        .degrade = json_is_true(json_get(map, "degrade")),
    };
    ret->endpoints = texts(j, endpoints, &ret->endpoint_count);
    ret->addresses = ranges(j, addresses, &ret->address_count);
}

static int
put_team(struct job *j, struct buf *into)
{
    const struct json *models = json_get(json_get(j->s->body, "allow"), "models");
    struct section_team t = {
        .name = j->s->name,
        .all_models = !models,
        .disabled = is_true(j->s->body, "disabled"),
    };

    t.models = texts(j, models, &t.model_count);
    take_scope(j, json_get(j->s->body, "allow"), &t.scope);
    return j->err ? j->err : section_put_team(into, &t);
}

static int
put_project(struct job *j, struct buf *into)
{
    struct section_project p = {j->s->name, text(j->s->body, "team"),
                                is_true(j->s->body, "disabled")};

    return section_put_project(into, &p);
}

static int
put_user(struct job *j, struct buf *into)
{
    struct section_user u = {
        .name = j->s->name,
        .service = slice_is(text(j->s->body, "kind"), "service"),
        .disabled = is_true(j->s->body, "disabled"),
    };

    u.teams = texts(j, json_get(j->s->body, "teams"), &u.team_count);
    return j->err ? j->err : section_put_user(into, &u);
}

/* Nothing for most roles, which are of the admin API alone. */
static int
put_role(struct job *j, struct buf *into)
{
    const struct json *allow = json_get(j->s->body, "allow"), *models = json_get(allow, "models");
    struct section_role r = {.name = j->s->name, .all_models = !models};

    if (!allow)
        return 0;
    r.models = texts(j, models, &r.model_count);
    take_scope(j, allow, &r.scope);
    return j->err ? j->err : section_put_role(into, &r);
}

static int64_t
moment(struct job *j, const struct json *map, const char *member)
{
    struct slice s = text(map, member);
    char at[64];
    int64_t ms = 0;

    if (s.len == 0)
        return 0;
    snprintf(at, sizeof(at), "%.*s", SLICE_ARG(s));
    if (s.len >= sizeof(at) || clock_parse_rfc3339(at, &ms) != 0)
        fail(j, ERR_SYNTAX, member, "is no time");
    return ms > 0 ? ms : 1; /* 0 would say: never */
}

/* An earlier secret ends with its grace, and with the key. */
static int64_t
expiry(struct job *j, const struct json *retired)
{
    int64_t expires = moment(j, j->s->body, "expires");
    int64_t until = retired ? moment(j, retired, "until") : 0;

    if (retired && until == 0)
        fail(j, ERR_SYNTAX, "retired.until", "is missing");
    return retired && (expires == 0 || until < expires) ? until : expires;
}

/* retired: {"digest","until"} of the secret before, or NULL. */
static int
put_key(struct job *j, struct buf *into, const struct json *retired,
        unsigned char ret_digest[static SHA256_BYTES])
{
    const struct json *body = j->s->body;
    struct json *tags = json_get(body, "tags");
    const struct json *models = json_get(body, "models");
    unsigned char id[16];
    struct section_key k = {
        .digest = slice_make(ret_digest, SHA256_BYTES),
        .name = j->s->name,
        .team = text(body, "team"),
        .project = text(body, "project"),
        .user = text(body, "user"),
        .all_models = !models,
        .disabled = is_true(body, "disabled"),
        .refuse_on_partition = slice_is(text(body, "on_partition"), "refuse"),
    };

    if (hex_decode(text(retired ? retired : body, "digest"), ret_digest, SHA256_BYTES) != 0)
        return fail(j, ERR_SYNTAX, "digest", "is missing or malformed");
    if (j->s->id.len && uuid_parse(j->s->id.at, j->s->id.len, id) != 0)
        return fail(j, ERR_SYNTAX, "id", "is no uuid");
    k.id = j->s->id.len ? slice_make(id, sizeof(id)) : SLICE("");
    k.models = texts(j, models, &k.model_count);
    k.tags = pairs(j, tags, &k.tag_count);
    k.expires_ms = expiry(j, retired);
    k.retired = retired != NULL;
    take_scope(j, body, &k.scope);
    return j->err ? j->err : section_put_key(into, &k);
}

static int
put_price(struct job *j, struct buf *into)
{
    char version[32];
    int len = snprintf(version, sizeof(version), "r%lld", (long long)j->s->revision);
    struct section_price p = {
        .provider = text(j->s->body, "provider"),
        .model = text(j->s->body, "model"),
        .version = slice_make(version, (size_t)len),
        .free = is_true(j->s->body, "free"),
    };
    const char *member;
    int err;

    if (price_read(j->s->body, &p.base, &member) != 0)
        return fail(j, ERR_SYNTAX, member, "is no amount");
    const struct json *most = json_get(j->s->body, "max_output_tokens");
    if (most && json_to_int(most, &p.max_output_tokens) != 0)
        return fail(j, ERR_SYNTAX, "max_output_tokens", "is no number");
    if ((err = price_read_variants(j->s->body, &j->arena, &p, &member)) != 0)
        return fail(j, err, "variants", err == ERR_NOMEM ? "no memory" : "malformed");
    return section_put_price(into, &p);
}

/* --- limits -------------------------------------------------------------------------------- */

static struct section_selector
selector(struct job *j)
{
    const struct json *body = j->s->body;
    struct section_selector s = {
        .key = text(body, "key"),
        .user = text(body, "user"),
        .team = text(body, "team"),
        .project = text(body, "project"),
        .model = text(body, "model"),
        .provider = text(body, "provider"),
        .end_user = text(body, "end_user"),
    };

    s.tags = pairs(j, json_get(body, "tag"), &s.tag_count);
    return s;
}

static int
put_quota(struct job *j, struct buf *into)
{
    const struct json *body = j->s->body;
    struct section_rate rates[QUOTA_RATES];
    struct section_quota q = {
        .name = j->s->name,
        .per = text(body, "per"),
        .shadow = slice_is(text(body, "mode"), "shadow"),
        .selector = selector(j),
        .rates = rates,
    };

    for (size_t i = 0; i < QUOTA_RATES; i++) {
        int64_t amount = number(j, body, quota_rates[i].member, 0);

        if (amount)
            rates[q.rate_count++] = (struct section_rate){slice_of(quota_rates[i].metric), amount,
                                                          quota_rates[i].window_ms};
    }
    return j->err ? j->err : section_put_quota(into, &q);
}

/* A text that means `absent` where it is not given. */
static struct slice
text_or(const struct json *map, const char *name, struct slice absent)
{
    struct slice s = text(map, name);

    return s.len ? s : absent;
}

static void
usd(struct job *j, const char *member, int64_t *ret)
{
    char decimal[JSON_DECIMAL_BYTES];

    if (json_decimal(json_get(j->s->body, member), decimal) != 0 ||
        money_parse_usd(slice_of(decimal), ret) != 0)
        fail(j, ERR_SYNTAX, member, "is no amount");
}

static size_t
thresholds(struct job *j, uint32_t ret[static LIMIT_THRESHOLDS])
{
    static const uint32_t usual[] = {50, 80, 95, 100};
    const struct json *list = json_get(j->s->body, "thresholds");
    size_t n = json_size(list);

    if (!list) {
        memcpy(ret, usual, sizeof(usual));
        return sizeof(usual) / sizeof(*usual);
    }
    if (n > LIMIT_THRESHOLDS)
        n = 0, fail(j, ERR_LIMIT, "thresholds", "too many");
    for (size_t i = 0; i < n; i++) {
        int64_t percent = 0;

        if (json_to_int(json_at(list, i), &percent) != 0 || percent < 1 || percent > 1000)
            fail(j, ERR_SYNTAX, "thresholds", "out of range");
        ret[i] = (uint32_t)percent;
    }
    return n;
}

static int
put_budget(struct job *j, struct buf *into)
{
    const struct json *body = j->s->body;
    uint32_t percents[LIMIT_THRESHOLDS];
    bool in_tokens = json_get(body, "limit_tokens") != NULL;
    struct section_budget b = {
        .name = j->s->name,
        .per = text(body, "per"),
        .unit = in_tokens ? SLICE("tokens") : SLICE("usd"),
        .period = text(body, "period"),
        .time_zone = text_or(body, "time_zone", SLICE("UTC")),
        .mode = text_or(body, "mode", SLICE("strict")),
        .on_unverifiable = text_or(body, "on_unverifiable", SLICE("deny")),
        .selector = selector(j),
        .amount = number(j, body, "limit_tokens", 0),
        .thresholds = percents,
    };

    if (!in_tokens)
        usd(j, "limit_usd", &b.amount);
    b.threshold_count = thresholds(j, percents);
    return j->err ? j->err : section_put_budget(into, &b);
}

/* --- issuers ------------------------------------------------------------------------------- */

static uint32_t
key_kind(struct slice name)
{
    static const struct {
        const char *name;
        enum bearer_kind kind;
    } kinds_of[] = {{"rsa", BEARER_RSA}, {"p256", BEARER_P256}, {"ed25519", BEARER_ED25519}};

    for (size_t i = 0; i < sizeof(kinds_of) / sizeof(kinds_of[0]); i++)
        if (slice_is(name, kinds_of[i].name))
            return (uint32_t)kinds_of[i].kind;
    return 0;
}

static struct slice
unhex(struct job *j, struct slice hex)
{
    char *at = take(j, hex.len / 2 + 1);

    if (at && hex_decode(hex, at, hex.len / 2) != 0)
        fail(j, ERR_SYNTAX, "keys", "is no hexadecimal");
    return at ? slice_make(at, hex.len / 2) : SLICE("");
}

static const struct section_issuer_key *
issuer_keys(struct job *j, const struct json *list, size_t *ret_count)
{
    struct section_issuer_key *all = take(j, (json_size(list) + 1) * sizeof(*all));

    *ret_count = all ? json_size(list) : 0;
    for (size_t i = 0; i < *ret_count; i++) {
        const struct json *key = json_at(list, i);

        all[i] = (struct section_issuer_key){text(key, "kid"), unhex(j, text(key, "der")),
                                             key_kind(text(key, "kind"))};
    }
    return all;
}

static int
put_issuer(struct job *j, struct buf *into)
{
    const struct json *body = j->s->body;
    const struct json *models = json_get(body, "models");
    struct section_issuer i = {
        .name = j->s->name,
        .issuer = text(body, "issuer"),
        .audience = text(body, "audience"),
        .team = text(body, "team"),
        .team_claim = text(body, "team_claim"),
        .user_claim = text(body, "user_claim"),
        .all_models = !models,
        .disabled = is_true(body, "disabled"),
    };
    struct json *keys = j->s->issuer_keys ? j->s->issuer_keys(j->s->ctx, i.name, i.issuer) : NULL;
    int err;

    if (i.user_claim.len == 0)
        i.user_claim = SLICE("sub");
    i.models = texts(j, models, &i.model_count);
    i.keys = issuer_keys(j, keys, &i.key_count);
    take_scope(j, body, &i.scope);
    err = j->err ? j->err : section_put_issuer(into, &i);
    json_free(keys);
    return err;
}

/* --- all ----------------------------------------------------------------------------------- */

static int
put(struct job *j, struct buf *into, unsigned char *ret_digest)
{
    switch (j->s->kind) {
    case KIND_PROVIDERS:
        return put_provider(j, into);
    case KIND_MODELS:
        return put_model(j, into);
    case KIND_TEAMS:
        return put_team(j, into);
    case KIND_PROJECTS:
        return put_project(j, into);
    case KIND_USERS:
        return put_user(j, into);
    case KIND_KEYS:
        return put_key(j, into, NULL, ret_digest);
    case KIND_PRICES:
        return put_price(j, into);
    case KIND_QUOTAS:
        return put_quota(j, into);
    case KIND_BUDGETS:
        return put_budget(j, into);
    case KIND_ISSUERS:
        return put_issuer(j, into);
    case KIND_ROLES:
        return put_role(j, into);
    case KIND_GROUPS: /* what follows from them is put behind the items: compile.c */
    case KIND_BINDINGS:
        return 0;
    case KIND_ALERTS:
    case KIND_SIGN_INS:
    case KIND_COUNT:
        break;
    }
    return fail(j, ERR_SYNTAX, "", "of a kind that is not published");
}

int
item_bytes(const struct item_source *s, struct buf *into, unsigned char *ret_digest,
           struct buf *why)
{
    struct job j = {.s = s, .why = why};
    int err;

    arena_init(&j.arena, 0);
    err = put(&j, into, ret_digest);
    if (err && !j.err)
        fail(&j, err, "", err == ERR_LIMIT ? "the section is full" : "no memory");
    arena_free(&j.arena);
    return err;
}

int
item_bytes_retired(const struct item_source *s, struct buf *into,
                   unsigned char ret_digest[static SHA256_BYTES], struct buf *why)
{
    const struct json *retired = json_get(s->body, "retired");
    struct job j = {.s = s, .why = why};
    int err;

    if (s->kind != KIND_KEYS || !retired)
        return 0;
    arena_init(&j.arena, 0);
    err = put_key(&j, into, retired, ret_digest);
    if (err && !j.err)
        fail(&j, err, "retired", "no memory");
    arena_free(&j.arena);
    return err ? err : 1;
}

const char *
item_section(enum kind_id kind)
{
    static const char *const sections[KIND_COUNT] = {
        [KIND_PROVIDERS] = "providers", [KIND_MODELS] = "models",  [KIND_TEAMS] = "teams",
        [KIND_ISSUERS] = "teams",       [KIND_PROJECTS] = "teams", [KIND_USERS] = "teams",
        [KIND_KEYS] = "keys",           [KIND_PRICES] = "prices",  [KIND_QUOTAS] = "limits",
        [KIND_BUDGETS] = "limits",      [KIND_ROLES] = "teams",    [KIND_GROUPS] = "teams",
        [KIND_BINDINGS] = "teams",
    };

    return sections[kind] ? sections[kind] : "";
}
