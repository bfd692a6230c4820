/* Providers and the pepper: addresses taken apart, sealed values opened (in a worker). */
#include "lib/policy/policy_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http/url.h"
#include "lib/json/scan.h"

#define LIMIT_HEADERS 32
#define LIMIT_TIMEOUT_MS (24 * 3600 * 1000)

/* --- one provider: the place is "providers[2] 'openai'" ------------------------------------ */

static int
bad(const struct place *p, int err, const char *member, const char *reason)
{
    return refuse(p->why, err, "providers[%zu] '%.*s': %s%s%s", p->at, SLICE_ARG(p->name), member,
                  *member ? ": " : "", reason);
}

static int
take_address(struct policy_core *c, const struct place *at, const struct section_provider *p,
             struct policy_provider *to)
{
    const char *reason = "malformed";
    struct url url;

    to->host = to->path = SLICE("");
    if (p->base_url.len == 0)
        return to->kind == PROVIDER_SIMULATOR ? 0 : bad(at, ERR_SYNTAX, "base_url", "is missing");
    if (url_parse(p->base_url, &url, &reason) != 0)
        return bad(at, ERR_SYNTAX, "base_url", reason);
    if (slice_find(url.path, '?', 0) < url.path.len)
        return bad(at, ERR_SYNTAX, "base_url", "must not have a query");
    while (url.path.len && url.path.at[url.path.len - 1] == '/')
        url.path.len--;
    to->https = url.https;
    to->port = url.port;
    to->host = arena_copy(&c->arena, url.host);
    to->path = arena_copy(&c->arena, url.path);
    return to->host.at && to->path.at ? 0 : bad(at, ERR_NOMEM, "", "no memory");
}

static int
take_http(const struct place *at, const struct section_provider *p, struct policy_provider *to)
{
    if (p->http.len == 0)
        to->http = 0;
    else if (slice_is(p->http, "1"))
        to->http = 1;
    else if (slice_is(p->http, "2"))
        to->http = 2;
    else
        return bad(at, ERR_SYNTAX, "http", "must be \"1\" or \"2\"");
    return 0;
}

static int
take_api(const struct place *at, const struct section_provider *p, struct policy_provider *to)
{
    static const char *const names[] = {"", "chat", "responses", "both"};

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (slice_is(p->api, names[i])) {
            to->api = (enum provider_api)i;
            return 0;
        }
    return bad(at, ERR_SYNTAX, "api", "must be \"chat\", \"responses\" or \"both\"");
}

static int
take_timeouts(const struct place *at, const struct section_provider *p, struct policy_provider *to)
{
    const struct {
        uint32_t ms;
        int *into;
        const char *name;
    } all[] = {
        {p->connect_ms, &to->connect_ms, "connect_timeout_ms"},
        {p->first_byte_ms, &to->first_byte_ms, "first_byte_timeout_ms"},
        {p->between_bytes_ms, &to->between_bytes_ms, "between_bytes_timeout_ms"},
        {p->total_ms, &to->total_ms, "total_timeout_ms"},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        if (all[i].ms > LIMIT_TIMEOUT_MS)
            return bad(at, ERR_SYNTAX, all[i].name, "is over a day");
        *all[i].into = (int)all[i].ms;
    }
    return 0;
}

static int
take_disconnect(const struct place *at, const struct section_provider *p,
                struct policy_provider *to)
{
    to->drain_on_disconnect = slice_is(p->on_disconnect, "drain");
    if (p->on_disconnect.len == 0 || to->drain_on_disconnect ||
        slice_is(p->on_disconnect, "cancel"))
        return 0;
    return bad(at, ERR_SYNTAX, "on_disconnect", "must be \"cancel\" or \"drain\"");
}

/* Those that frame the message or belong to the connection are ours alone; credentials have their
 * own member, which is sealed. */
static bool
is_reserved(struct slice name)
{
    static const char *const ours[] = {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "te",
        "upgrade",
        "keep-alive",
        "trailer",
        "expect",
        "content-encoding",
        "proxy-connection",
        "content-type",
        "proxy-authorization",
        "authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "cookie",
    };

    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
        if (slice_eq_nocase(name, slice_of(ours[i])))
            return true;
    return false;
}

static bool
is_token(struct slice s)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < s.len; i++) {
        char ch = s.at[i];
        bool alnum =
            (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');

        if (!alnum && (!ch || !strchr(marks, ch)))
            return false;
    }
    return s.len > 0;
}

static bool
is_field_value(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.at[i];

        if ((ch < 0x20 && ch != '\t') || ch == 0x7f)
            return false;
    }
    return slice_trim(s).len == s.len;
}

static struct slice
copy_lower(struct arena *a, struct slice s)
{
    char *to = arena_strdup(a, s);

    for (size_t i = 0; to && i < s.len; i++)
        if (to[i] >= 'A' && to[i] <= 'Z')
            to[i] = (char)(to[i] | 0x20);
    return slice_make(to, s.len);
}

static int
take_headers(struct policy_core *c, const struct place *at, const struct section_provider *p,
             struct policy_provider *to)
{
    struct policy_header *all;

    if (p->header_count > LIMIT_HEADERS)
        return bad(at, ERR_LIMIT, "headers", "too many");
    if (!(all = arena_alloc(&c->arena, (p->header_count + 1) * sizeof(*all))))
        return bad(at, ERR_NOMEM, "", "no memory");
    for (size_t i = 0; i < p->header_count; i++) {
        if (!is_token(p->headers[i].name) || is_reserved(p->headers[i].name))
            return bad(at, ERR_SYNTAX, "headers", "a name is malformed or reserved");
        if (!is_field_value(p->headers[i].value))
            return bad(at, ERR_SYNTAX, "headers", "a value is malformed");
        all[i].name = copy_lower(&c->arena, p->headers[i].name);
        all[i].value = arena_copy(&c->arena, p->headers[i].value);
        if (!all[i].name.at || !all[i].value.at)
            return bad(at, ERR_NOMEM, "", "no memory");
        for (size_t j = 0; j < i; j++)
            if (slice_eq(all[j].name, all[i].name))
                return bad(at, ERR_EXISTS, "headers", "a name is given twice");
    }
    to->headers = all;
    to->header_count = p->header_count;
    return 0;
}

/* A service account, an access key: it is read, not sent. */
static bool
is_document(struct slice credential)
{
    struct json_span root;
    struct json_error why;

    return json_scan(credential, &json_limits_default, NULL, 0, NULL, &root, &why) == 0 &&
           root.kind == JSON_MAP;
}

static int
take_credential(const struct place *at, const struct section_provider *p,
                const struct keyring *keys, struct policy_provider *to)
{
    char context[16 + LIMIT_NAME_BYTES];
    char why[KEYRING_WHY_BYTES];
    int len, err;

    if (!keys || p->sealed_credential.len == 0)
        return 0;
    len = snprintf(context, sizeof(context), "provider/%.*s", SLICE_ARG(p->name));
    err = keyring_unseal(keys, slice_make(context, (size_t)len), p->sealed_credential,
                         &to->credential);
    if (err == ERR_NOMEM)
        return bad(at, err, "credential", "no memory");
    if (err) {
        keyring_explain(keys, p->sealed_credential, err, why);
        return bad(at, ERR_AUTH, "credential", why);
    }
    if (!is_document(secret_reveal(&to->credential)) &&
        !is_field_value(secret_reveal(&to->credential)))
        return bad(at, ERR_SYNTAX, "credential", "holds control characters or outer blanks");
    return 0;
}

/* What goes into paths and host names: nothing that could end either. */
static bool
is_plain(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.at[i];
        if (!((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
              ch == '-' || ch == '_' || ch == '.' || ch == ':'))
            return false;
    }
    return true;
}

static int
take_places(struct policy_core *c, const struct place *at, const struct section_provider *p,
            struct policy_provider *to)
{
    const struct {
        struct slice from, *into;
        const char *name;
    } all[] = {
        {p->region, &to->region, "region"},
        {p->project, &to->project, "project"},
        {p->location, &to->location, "location"},
        {p->api_version, &to->api_version, "api_version"},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        if (all[i].from.len == 0)
            continue;
        if (!is_plain(all[i].from))
            return bad(at, ERR_SYNTAX, all[i].name, "holds other than letters, digits, -_.:");
        *all[i].into = arena_copy(&c->arena, all[i].from);
        if (!all[i].into->at)
            return bad(at, ERR_NOMEM, "", "no memory");
    }
    return 0;
}

static int
check_name(const struct place *at)
{
    if (!name_is_valid(at->name))
        return bad(at, ERR_SYNTAX, "name", "is empty, too long or malformed");
    if (slice_find(at->name, '/', 0) < at->name.len || slice_find(at->name, ':', 0) < at->name.len)
        return bad(at, ERR_SYNTAX, "name", "must not contain '/' or ':'");
    return 0;
}

static int
fill_provider(struct policy_core *c, const struct place *at, const struct section_provider *p,
              const struct keyring *keys, struct policy_provider *to)
{
    int err;

    if ((err = check_name(at)) != 0)
        return err;
    if (provider_kind_parse(p->kind, &to->kind) != 0)
        return refuse(at->why, ERR_NOT_FOUND, "providers[%zu] '%.*s': kind: no kind '%.*s'", at->at,
                      SLICE_ARG(at->name), SLICE_ARG(p->kind));
    to->name = arena_copy(&c->arena, p->name);
    to->allow_private = p->allow_private;
    to->allow_private_media = p->allow_private_media;
    if (!to->name.at)
        return bad(at, ERR_NOMEM, "", "no memory");
    if ((err = take_address(c, at, p, to)) != 0 || (err = take_http(at, p, to)) != 0 ||
        (err = take_api(at, p, to)) != 0 || (err = take_timeouts(at, p, to)) != 0 ||
        (err = take_disconnect(at, p, to)) != 0 || (err = take_headers(c, at, p, to)) != 0 ||
        (err = take_places(c, at, p, to)) != 0)
        return err;
    return take_credential(at, p, keys, to);
}

/* --- all of them --------------------------------------------------------------------------- */

static int
by_name(const void *a, const void *b)
{
    const struct policy_provider *x = a;
    const struct policy_provider *y = b;

    return strcmp(x->name.at, y->name.at);
}

/* In the order of names, each knowing its index; found by name. */
static int
index_providers(struct policy_core *c, struct buf *why)
{
    if (c->provider_count)
        qsort(c->providers, c->provider_count, sizeof(*c->providers), by_name);
    for (size_t i = 0; i < c->provider_count; i++) {
        struct policy_provider *p = &c->providers[i];

        p->index = i;
        if (map_find(&c->provider_by_name, p->name))
            return refuse(why, ERR_EXISTS, "providers: '%.*s' is there twice", SLICE_ARG(p->name));
        if (map_put(&c->provider_by_name, p->name, p) != 0)
            return refuse(why, ERR_NOMEM, "providers: no memory");
    }
    return 0;
}

static int
take_pepper(struct policy_core *c, const struct keyring *keys, struct buf *why)
{
    struct item_walk w = {"settings", SECTION_PEPPER, c->bytes[CORE_SETTINGS], 0, 0};
    struct secret pepper = {0};
    char problem[KEYRING_WHY_BYTES];
    struct slice item;
    int err, more = item_next(&w, &item, why);

    if (more < 0 || !keys)
        return more < 0 ? more : 0;
    if (more == 0)
        return refuse(why, ERR_SYNTAX, "settings: there is no pepper");
    if ((err = keyring_unseal(keys, SLICE("pepper"), item, &pepper)) != 0) {
        keyring_explain(keys, item, err, problem);
        return refuse(why, ERR_AUTH, "settings: the pepper %s", problem);
    }
    c->pepper = pepper.len ? hmac_new(pepper.at, pepper.len) : NULL;
    secret_free(&pepper);
    return c->pepper ? 0 : refuse(why, ERR_AUTH, "settings: the pepper is empty");
}

static size_t
count_items(struct policy_core *c, enum core_section section, enum section_item kind)
{
    struct item_walk w = {core_section_name(section), kind, c->bytes[section], 0, 0};
    struct slice item;

    while (item_next(&w, &item, NULL) == 1)
        ;
    return w.next;
}

static int
take_providers(struct policy_core *c, const struct keyring *keys, struct buf *why)
{
    struct item_walk w = {"providers", SECTION_PROVIDER, c->bytes[CORE_PROVIDERS], 0, 0};
    struct arena scratch;
    struct slice item;
    int err;

    arena_init(&scratch, 8 * LIMIT_ITEM_BYTES);
    while ((err = item_next(&w, &item, why)) == 1) {
        struct section_provider p;
        struct policy_provider *to = &c->providers[c->provider_count];

        if (section_get_provider(item, &scratch, &p) != 0) {
            err = refuse(why, ERR_SYNTAX, "providers[%zu]: malformed", w.at);
            break;
        }
        c->provider_count++; /* from here on its credential is freed with the core */
        hash_sha256(item.at, item.len, to->config);
        err = fill_provider(c, &(struct place){"providers", w.at, p.name, why}, &p, keys, to);
        arena_free(&scratch);
        if (err)
            break;
    }
    arena_free(&scratch);
    return err;
}

int
providers_compile(struct policy_core *c, const struct keyring *keys, struct buf *why)
{
    size_t count = count_items(c, CORE_PROVIDERS, SECTION_PROVIDER);
    int err = take_pepper(c, keys, why);

    if (err)
        return err;
    c->providers = arena_zalloc(&c->arena, (count + 1) * sizeof(*c->providers));
    if (!c->providers)
        return refuse(why, ERR_NOMEM, "providers: no memory");
    if ((err = take_providers(c, keys, why)) != 0)
        return err;
    return index_providers(c, why);
}

void
providers_free(struct policy_core *c)
{
    for (size_t i = 0; i < c->provider_count; i++)
        secret_free(&c->providers[i].credential);
    map_free(&c->provider_by_name);
    hmac_free(c->pepper);
}
