#include "controlplane/publish/compile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/publish/item_bytes.h"
#include "controlplane/rules/pricebook.h"
#include "controlplane/store/access.h"
#include "lib/base/encode.h"
#include "lib/base/log.h"
#include "lib/control/section.h"
#include "lib/policy/provider_kinds.h"

#define PAGE_ROWS "2000"

struct built *
built_ref(struct built *b)
{
    atomic_fetch_add(&b->refs, 1);
    return b;
}

void
built_unref(struct built *b)
{
    if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
        return;
    sections_unref(b->sections);
    policy_unref(b->policy);
    free(b);
}

/* A compilation under way. */
struct job {
    const struct compile_input *in;
    struct sections *sections;
    struct key_edits *edits;
    int64_t revision;
    int64_t item_revision; /* of the item at hand */
    char zone[80];         /* the last one that PostgreSQL was found to know */
    bool dirty[FIXED_SECTIONS];
    struct buf *why;
};

static int
explain_db(struct job *j, int err)
{
    if (err && buf_addf(j->why, "%s", db_error(j->in->db)) != 0)
        return ERR_NOMEM;
    return err;
}

static int explain(struct job *j, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
explain(struct job *j, int err, const char *format, ...)
{
    va_list args;

    buf_clear(j->why);
    va_start(args, format);
    if (buf_vaddf(j->why, format, args) != 0)
        err = ERR_NOMEM;
    va_end(args);
    return err;
}

/* --- credentials ----------------------------------------------------------------------------- */

/* What the section that is in force holds for this provider. */
static int
keep_credential(const struct section *before, struct slice provider, struct buf *into)
{
    struct slice rest = before ? section_bytes(before) : SLICE("");
    struct section_provider p;
    struct arena arena;
    struct slice item;
    int err = 0;

    arena_init(&arena, 16 * LIMIT_ITEM_BYTES);
    while (!err && section_next(SLICE("providers"), &rest, &item) == SECTION_PROVIDER) {
        if (section_get_provider(item, &arena, &p) == 0 && slice_eq(p.name, provider))
            err = buf_add_slice(into, p.sealed_credential);
        arena_free(&arena);
    }
    return err;
}

static bool
is_own_address(const struct section_provider *p)
{
    enum provider_kind kind;
    struct buf own;

    buf_init(&own, 0);
    bool same = provider_kind_parse(p->kind, &kind) == 0 &&
                provider_kind_base_url(kind, p->region, p->location, &own) == 0 &&
                slice_eq(buf_slice(&own), p->base_url);
    buf_free(&own);
    return same;
}

/* The same, while the provider is at the address that it is for: a credential must not follow a
 * name to somewhere else. */
static int
keep_at_same_place(const struct section *before, struct slice provider, const struct json *body,
                   struct buf *into)
{
    struct slice url = json_str(json_get(body, "base_url")),
                 kind = json_str(json_get(body, "kind"));
    struct slice rest = before ? section_bytes(before) : SLICE("");
    struct section_provider p;
    struct arena arena;
    struct slice item;
    bool same = false;

    arena_init(&arena, 16 * LIMIT_ITEM_BYTES);
    while (!same && section_next(SLICE("providers"), &rest, &item) == SECTION_PROVIDER) {
        same = section_get_provider(item, &arena, &p) == 0 && slice_eq(p.name, provider) &&
               slice_eq(p.kind, kind) && (url.at ? slice_eq(p.base_url, url) : is_own_address(&p));
        arena_free(&arena);
    }
    return same ? keep_credential(before, provider, into) : 0;
}

static int
credential(void *ctx, struct slice provider, const struct json *body, struct buf *into,
           struct buf *why)
{
    struct job *j = ctx;
    int err;

    if (!j->in->secrets)
        return 0;
    err = secrets_provider_credential(j->in->secrets, provider, body, into, why);
    if (err == ERR_AGAIN) { /* a job fetches it within seconds and publishes then */
        buf_clear(why);
        return keep_at_same_place(j->in->providers_before, provider, body, into);
    }
    if (err != ERR_NOT_FOUND || (j->in->strict && j->item_revision == j->revision))
        return err;
    /* One reference lost since then must not hold up a revocation. */
    log_error("publish.credential_unresolved", F_SLICE("provider", provider),
              F_SLICE("why", buf_slice(why)));
    return keep_credential(j->in->providers_before, provider, into);
}

/* --- issuers' keys --------------------------------------------------------------------------- */

/* What cannot be read now is left out: its tokens are refused until it can. */
static struct json *
issuer_keys(void *ctx, struct slice issuer, struct slice url)
{
    struct job *j = ctx;
    struct json *list = NULL;
    struct db_rows *rows = NULL;
    char *name = slice_dup(issuer), *at = slice_dup(url);
    const char *const params[] = {name, at};

    if (name && at &&
        db_query(j->in->db,
                 "SELECT coalesce(json_agg(json_build_object('kid', kid, 'kind', kind, 'der', "
                 "encode(der, 'hex')) ORDER BY kid), '[]') FROM issuer_keys "
                 "WHERE issuer = $1 AND url = $2",
                 params, 2, &rows) == 0 &&
        json_parse(db_slice(rows, 0, 0), &list, NULL, 0) != 0)
        list = NULL;
    db_rows_free(rows);
    free(name);
    free(at);
    return list;
}

/* Keys come and go without a revision. */
static int
mark_issuers(struct job *j)
{
    struct db_rows *rows = NULL;
    int err = db_query(j->in->db, "SELECT EXISTS (SELECT FROM config_items WHERE kind = 'issuers')",
                       NULL, 0, &rows);

    if (err)
        return explain_db(j, err);
    j->dirty[SECTION_TEAMS] = j->dirty[SECTION_TEAMS] || db_bool(rows, 0, 0);
    db_rows_free(rows);
    return 0;
}

/* --- items ----------------------------------------------------------------------------------- */

/* PostgreSQL reckons with a budget's time zone: it must know it. */
static int
check_zone(struct job *j, const struct item_source *s)
{
    struct slice zone = json_str(json_get(s->body, "time_zone"));
    const char *param = zone.at;
    struct db_rows *rows = NULL;
    int err;

    if (s->kind != KIND_BUDGETS || !param || slice_is(zone, j->zone))
        return 0;
    err = db_query(j->in->db, "SELECT 1 FROM pg_timezone_names WHERE name = $1", &param, 1, &rows);
    if (err)
        return explain_db(j, err);
    if (db_count(rows))
        snprintf(j->zone, sizeof(j->zone), "%.*s", SLICE_ARG(zone));
    else
        err = explain(j, ERR_NOT_FOUND, "budgets '%.*s': time_zone: there is no time zone '%.*s'",
                      SLICE_ARG(s->name), SLICE_ARG(zone));
    db_rows_free(rows);
    return err;
}

/* An item's text from the database, into a section's buffer or the edits of keys. */
static int
add_item(struct job *j, struct item_source *s, struct slice json, struct buf *into)
{
    unsigned char digest[SHA256_BYTES];
    struct json *body = NULL;
    struct buf item;
    char reason[128];
    int err = json_parse(json, &body, reason, sizeof(reason));

    if (err)
        return explain(j, err, "%s '%.*s': %s", kind_at(s->kind)->plural, SLICE_ARG(s->name),
                       reason);
    j->item_revision = s->revision;
    s->body = body;
    s->credential = credential;
    s->issuer_keys = issuer_keys;
    s->ctx = j;
    if ((err = check_zone(j, s)) != 0) {
        json_free(body);
        return err;
    }
    if (into) {
        err = item_bytes(s, into, NULL, j->why);
    } else {
        buf_init(&item, 0);
        err = item_bytes(s, &item, digest, j->why);
        if (!err)
            err = key_edits_put(j->edits, digest, buf_slice(&item));
        buf_clear(&item);
        if (!err && (err = item_bytes_retired(s, &item, digest, j->why)) == 1)
            err = key_edits_put(j->edits, digest, buf_slice(&item));
        buf_free(&item);
    }
    json_free(body);
    return err;
}

/* One page of a kind's items after the name in `after`, which moves on. 1: there may be more. */
static int
add_page(struct job *j, enum kind_id kind, struct buf *after, struct buf *into)
{
    const char *params[] = {kind_at(kind)->plural, buf_str(after)};
    struct db_rows *rows;
    size_t n;
    int err;

    if (!params[1])
        return ERR_NOMEM;
    err =
        db_query(j->in->db,
                 "SELECT name, id, body, revision, (extract(epoch FROM created_at) * 1000)::bigint "
                 "FROM config_items WHERE kind = $1 AND name > $2 ORDER BY name LIMIT " PAGE_ROWS,
                 params, 2, &rows);
    if (err)
        return explain_db(j, err);
    n = db_count(rows);
    for (size_t i = 0; !err && i < n; i++) {
        struct item_source s = {.kind = kind,
                                .name = db_slice(rows, i, 0),
                                .id = db_slice(rows, i, 1),
                                .revision = db_int(rows, i, 3),
                                .created_ms = db_int(rows, i, 4)};

        err = add_item(j, &s, db_slice(rows, i, 2), into);
    }
    buf_clear(after);
    if (!err && n)
        err = buf_add_slice(after, db_slice(rows, n - 1, 0));
    db_rows_free(rows);
    return err ? err : n > 0;
}

static int
add_kind(struct job *j, enum kind_id kind, struct buf *into)
{
    struct buf after;
    int more;

    buf_init(&after, 0);
    while ((more = add_page(j, kind, &after, into)) == 1)
        ;
    buf_free(&after);
    return more;
}

/* --- the sections that are not keys ---------------------------------------------------------- */

static int
add_pepper(struct job *j, struct buf *into)
{
    struct buf sealed;
    int err;

    if (!j->in->secrets)
        return 0;
    buf_init(&sealed, 0);
    err = secrets_sealed_pepper(j->in->secrets, &sealed);
    if (!err)
        err = section_put_pepper(into, buf_slice(&sealed));
    buf_free(&sealed);
    return err;
}

static bool
is_used(const struct db_rows *used, struct slice provider)
{
    for (size_t i = 0; i < db_count(used); i++)
        if (slice_eq(provider, db_slice(used, i, 0)))
            return true;
    return false;
}

/* Of the kinds that somebody configured: workers need not hold the others' prices. */
static int
add_pricebook(struct job *j, struct buf *into)
{
    struct db_rows *used;
    struct pricebook book;
    struct section_price p;
    int err = db_query(j->in->db,
                       "SELECT DISTINCT 'kind:' || (body ->> 'kind') FROM config_items "
                       "WHERE kind = 'providers'",
                       NULL, 0, &used);

    if (err)
        return explain_db(j, err);
    err = section_put_price_version(into, pricebook_version());
    pricebook_start(&book);
    while (!err && pricebook_next(&book, &p))
        if (is_used(used, p.provider))
            err = section_put_price(into, &p);
    db_rows_free(used);
    return err;
}

/* --- who has which role ------------------------------------------------------------------------
 */

/* The roles that say what may be asked of models. */
static int
load_roles(struct job *j, struct db_rows **ret)
{
    int err =
        db_query(j->in->db, "SELECT name FROM config_items WHERE kind = 'roles' AND body ? 'allow'",
                 NULL, 0, ret);

    return err ? explain_db(j, err) : 0;
}

static bool
is_named(const struct db_rows *names, const char *name)
{
    for (size_t i = 0; i < db_count(names); i++)
        if (slice_is(db_slice(names, i, 0), name))
            return true;
    return false;
}

/* The bindings of such roles, with groups resolved: workers know users, not groups. */
static int
add_grants(struct job *j, struct buf *into)
{
    struct access all = {0};
    struct db_rows *roles;
    int err = load_roles(j, &roles);

    if (err)
        return err;
    if (db_count(roles) && (err = access_load_all(j->in->db, false, &all)) != 0)
        err = explain_db(j, err);
    for (size_t i = 0; !err && i < all.count; i++) {
        const struct grant *g = &all.at[i];
        bool person = !strchr(ACCESS_GROUP_MARK ACCESS_SIGNED_MARK, g->user[0]);
        if (person && is_named(roles, g->role))
            err = section_put_grant(
                into, &(struct section_grant){slice_of(g->user), slice_of(g->role),
                                              slice_of(g->team), slice_of(g->project)});
    }
    access_free(&all);
    db_rows_free(roles);
    return err;
}

static int
add_fixed(struct job *j, enum section_id id, struct buf *into)
{
    int err = 0;

    for (size_t k = 0; !err && k < KIND_COUNT; k++)
        if (strcmp(item_section((enum kind_id)k), section_id_name(id)) == 0)
            err = add_kind(j, (enum kind_id)k, into);
    if (!err && id == SECTION_SETTINGS)
        err = add_pepper(j, into);
    if (!err && id == SECTION_PRICES)
        err = add_pricebook(j, into);
    if (!err && id == SECTION_TEAMS)
        err = add_grants(j, into);
    return err;
}

static int
make_fixed(struct job *j, enum section_id id)
{
    struct section *old = j->sections->fixed[id];
    struct section *made;
    struct buf bytes;
    int err;

    buf_init(&bytes, LIMIT_SECTION_BYTES);
    err = add_fixed(j, id, &bytes);
    if (err == ERR_LIMIT)
        err = explain(j, err, "%s: the section is over %zu MB", section_id_name(id),
                      LIMIT_SECTION_BYTES >> 20);
    if (!err && !(old && slice_eq(section_bytes(old), buf_slice(&bytes)))) {
        made = section_new(section_id_name(id), buf_slice(&bytes));
        err = made ? 0 : ERR_NOMEM;
        if (made)
            sections_set_fixed(j->sections, id, made);
    }
    buf_free(&bytes);
    return err;
}

static int
make_all_fixed(struct job *j)
{
    int err = 0;

    for (size_t i = 0; !err && i < FIXED_SECTIONS; i++)
        if (j->dirty[i])
            err = make_fixed(j, (enum section_id)i);
    return err;
}

/* --- what changed ---------------------------------------------------------------------------- */

static void
mark_dirty(struct job *j, const struct kind *kind)
{
    for (size_t i = 0; i < FIXED_SECTIONS; i++)
        if (strcmp(item_section(kind->id), section_id_name((enum section_id)i)) == 0)
            j->dirty[i] = true;
    if (kind->id == KIND_PROVIDERS)
        j->dirty[SECTION_PRICES] = true; /* which parts of the book are needed */
}

static int
remove_digest(struct job *j, struct slice hex)
{
    unsigned char digest[SHA256_BYTES];

    if (hex.len == 0 || hex_decode(hex, digest, SHA256_BYTES) != 0)
        return 0;
    return key_edits_remove(j->edits, digest);
}

/* A key before and after: its digests may have changed too. */
static int
change_key(struct job *j, const struct db_rows *rows, size_t i)
{
    struct item_source s = {.kind = KIND_KEYS,
                            .name = db_slice(rows, i, 2),
                            .id = db_slice(rows, i, 3),
                            .revision = db_int(rows, i, 0)};
    int err = remove_digest(j, db_slice(rows, i, 4));

    if (!err)
        err = remove_digest(j, db_slice(rows, i, 6));
    if (!err && !db_is_null(rows, i, 5))
        err = add_item(j, &s, db_slice(rows, i, 5), NULL);
    return err;
}

static int
change(struct job *j, const struct db_rows *rows, size_t i)
{
    const struct kind *kind = kind_find(db_slice(rows, i, 1));

    if (!kind)
        return 0; /* of a newer version: not published by this one */
    if (kind->id == KIND_KEYS)
        return change_key(j, rows, i);
    mark_dirty(j, kind);
    return 0;
}

/* Where a walk over revision_changes has come to. */
struct cursor {
    char revision[24], upper[24], kind[40];
    struct buf name;
};

static int
changes_page(struct job *j, struct cursor *at)
{
    const char *params[] = {at->revision, at->upper, at->kind, buf_str(&at->name)};
    struct db_rows *rows;
    size_t n;
    int err;

    if (!params[3])
        return ERR_NOMEM;
    err = db_query(j->in->db,
                   "SELECT revision, kind, name, id, before ->> 'digest', after, "
                   "before -> 'retired' ->> 'digest' "
                   "FROM revision_changes WHERE revision <= $2 "
                   "AND (revision, kind, name) > ($1::bigint, $3, $4) "
                   "ORDER BY revision, kind, name LIMIT " PAGE_ROWS,
                   params, 4, &rows);
    if (err)
        return explain_db(j, err);
    n = db_count(rows);
    for (size_t i = 0; !err && i < n; i++)
        err = change(j, rows, i);
    if (!err && n) {
        snprintf(at->revision, sizeof(at->revision), "%" PRId64, db_int(rows, n - 1, 0));
        snprintf(at->kind, sizeof(at->kind), "%s", db_text(rows, n - 1, 1));
        buf_clear(&at->name);
        err = buf_add_slice(&at->name, db_slice(rows, n - 1, 2));
    }
    db_rows_free(rows);
    return err ? err : n > 0;
}

/* Every change after base's revision: its rows sort behind ("zzz...", "") of that revision. */
static int
take_changes(struct job *j)
{
    struct cursor at = {.kind = ""};
    int more;

    snprintf(at.revision, sizeof(at.revision), "%" PRId64, j->in->base->revision + 1);
    snprintf(at.upper, sizeof(at.upper), "%" PRId64, j->revision);
    buf_init(&at.name, 0);
    while ((more = changes_page(j, &at)) == 1)
        ;
    buf_free(&at.name);
    return more;
}

static int
take_everything(struct job *j)
{
    for (size_t i = 0; i < FIXED_SECTIONS; i++)
        j->dirty[i] = true;
    return add_kind(j, KIND_KEYS, NULL);
}

/* --- together -------------------------------------------------------------------------------- */

static int
find_revision(struct job *j)
{
    struct db_rows *rows;
    int err =
        db_query(j->in->db, "SELECT coalesce(max(revision), 0) FROM revisions", NULL, 0, &rows);

    if (err)
        return explain_db(j, err);
    j->revision = db_int(rows, 0, 0);
    db_rows_free(rows);
    if (j->in->up_to && j->in->up_to < j->revision)
        j->revision = j->in->up_to;
    if (j->in->base && j->revision < j->in->base->revision)
        return explain(j, ERR_STALE, "the database is at revision %" PRId64 ", before %" PRId64,
                       j->revision, j->in->base->revision);
    return 0;
}

int
compile_sections(struct sections *sections, const struct keyring *keys, int64_t revision,
                 const struct policy *previous, struct policy **ret_policy, struct buf *why)
{
    struct section *list[SECTIONS_MOST];
    struct policy_section all[SECTIONS_MOST] = {0};
    size_t n = sections_list(sections, list);
    struct policy_input in = {.revision = (uint64_t)revision,
                              .sections = all,
                              .count = n,
                              .previous = previous,
                              .keys = keys};

    for (size_t i = 0; i < n; i++) {
        all[i].name = slice_of(list[i]->name);
        all[i].bytes = section_bytes(list[i]);
        memcpy(all[i].digest, list[i]->sha256, SHA256_BYTES);
    }
    return policy_compile(&in, ret_policy, why);
}

static int
make_sections(struct job *j)
{
    int err = j->in->base ? take_changes(j) : take_everything(j);

    for (size_t i = 0; i < FIXED_SECTIONS; i++)
        j->dirty[i] = j->dirty[i] || j->in->refresh || !j->sections->fixed[i];
    j->dirty[SECTION_PROVIDERS] = true; /* a credential may have changed behind its reference */
    j->dirty[SECTION_SETTINGS] = true;
    if (!err && !j->in->fixed_given)
        err = mark_issuers(j);
    if (!err && !j->in->fixed_given)
        err = make_all_fixed(j);
    if (!err)
        err = key_edits_apply(j->edits, j->sections);
    if (!err && sections_total(j->sections) > LIMIT_SNAPSHOT_BYTES)
        err = explain(j, ERR_LIMIT, "the snapshot is over %zu MB", LIMIT_SNAPSHOT_BYTES >> 20);
    return err;
}

static int
finish(struct job *j, struct built **ret)
{
    struct built *b = calloc(1, sizeof(*b));
    int err;

    if (!b)
        return ERR_NOMEM;
    atomic_init(&b->refs, 1);
    b->revision = j->revision;
    b->sections = sections_ref(j->sections);
    err = j->in->fixed_given
              ? 0
              : compile_sections(b->sections, j->in->keys, j->revision,
                                 j->in->base ? j->in->base->policy : NULL, &b->policy, j->why);
    if (err)
        built_unref(b);
    else
        *ret = b;
    return err;
}

int
compile_config(const struct compile_input *in, struct built **ret_built, struct buf *why)
{
    struct job j = {.in = in, .why = why};
    int err;

    buf_clear(why);
    j.sections = sections_new(in->base ? in->base->sections : NULL);
    j.edits = key_edits_new();
    err = j.sections && j.edits ? find_revision(&j) : ERR_NOMEM;
    if (!err)
        err = make_sections(&j);
    if (!err)
        err = finish(&j, ret_built);
    key_edits_free(j.edits);
    sections_unref(j.sections);
    return err;
}
