/* Published versions outside of this process: rows in PostgreSQL that every control plane of the
 * fleet sees, and files that outlive this one. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/publish/publisher.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#define ROWS_KEPT "500" /* of snapshots: a history for people */

/* --- bytea, as text -------------------------------------------------------------------------- */

/* "\xHEX", the caller frees; NULL: no memory. */
static char *
bytea(struct slice bytes)
{
    char *text = malloc(2 * bytes.len + 3);

    if (text) {
        memcpy(text, "\\x", 3);
        hex_encode(bytes.at, bytes.len, text + 2);
    }
    return text;
}

static int
bytea_take(struct slice text, struct buf *into)
{
    size_t n = text.len >= 2 ? (text.len - 2) / 2 : 0;
    char *at = buf_reserve(into, n + 1);
    int err = !at                                 ? ERR_NOMEM
              : !slice_starts(text, SLICE("\\x")) ? ERR_SYNTAX
                                                  : hex_decode(slice_from(text, 2), at, n);

    if (!err)
        buf_commit(into, n);
    return err;
}

/* --- a new version --------------------------------------------------------------------------- */

static size_t
list_refs(const struct sections *s, struct section_ref refs[static SECTIONS_MOST])
{
    struct section *list[SECTIONS_MOST];
    size_t n = sections_list(s, list);

    for (size_t i = 0; i < n; i++) {
        refs[i] = (struct section_ref){.name = slice_of(list[i]->name), .size = list[i]->size};
        memcpy(refs[i].sha256, list[i]->sha256, SHA256_BYTES);
    }
    return n;
}

static struct head *
make_head(struct publisher *p, const struct built *b, uint64_t version)
{
    struct section_ref refs[SECTIONS_MOST];
    struct snapshot_root root = {.cluster_id = slice_of(secrets_cluster_id(p->secrets)),
                                 .epoch = p->lead.epoch,
                                 .version = version,
                                 .revision = (uint64_t)b->revision,
                                 .created_ms = clock_wall_ms(),
                                 .sections = refs,
                                 .count = list_refs(b->sections, refs)};
    struct head *head = NULL;
    struct buf envelope;

    buf_init(&envelope, LIMIT_ENVELOPE_BYTES);
    if (snapshot_sign(&root, p->sign_secret, &envelope) == 0)
        head = head_new(&root, buf_slice(&envelope), b->sections);
    buf_free(&envelope);
    return head;
}

static int
insert_snapshot(struct db *db, const struct head *h)
{
    char numbers[5][24];
    char *digest = bytea(slice_make(h->digest, SHA256_BYTES));
    char *envelope = bytea(head_envelope(h));
    struct section *list[SECTIONS_MOST];
    const char *params[7] = {numbers[0], numbers[1], numbers[2], digest,
                             envelope,   numbers[3], numbers[4]};
    int err = ERR_NOMEM;

    snprintf(numbers[0], sizeof(numbers[0]), "%" PRIu64, h->epoch);
    snprintf(numbers[1], sizeof(numbers[1]), "%" PRIu64, h->version);
    snprintf(numbers[2], sizeof(numbers[2]), "%" PRIu64, h->revision);
    snprintf(numbers[3], sizeof(numbers[3]), "%zu", sections_list(h->sections, list));
    snprintf(numbers[4], sizeof(numbers[4]), "%" PRIu64, sections_total(h->sections));
    if (digest && envelope)
        err = db_query(db,
                       "INSERT INTO snapshots (epoch, version, revision, root_sha256, envelope, "
                       "sections, bytes) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                       params, 7, NULL);
    free(digest);
    free(envelope);
    return err;
}

static int
insert_section(struct db *db, const struct section *s)
{
    char *digest = bytea(slice_make(s->sha256, SHA256_BYTES));
    char *bytes = bytea(section_bytes(s));
    const char *params[3] = {digest, s->name, bytes};
    int err = ERR_NOMEM;

    if (digest && bytes)
        err = db_query(db,
                       "INSERT INTO snapshot_sections (sha256, name, bytes) VALUES ($1, $2, $3) "
                       "ON CONFLICT (sha256) DO NOTHING",
                       params, 3, NULL);
    free(digest);
    free(bytes);
    return err;
}

/* Those that the version before had are there already. */
static int
insert_sections(struct db *db, const struct head *h, const struct head *before)
{
    int err = 0;

    for (size_t i = 0; !err && i < FIXED_SECTIONS; i++) {
        const struct section *s = h->sections->fixed[i];

        if (!before || h->epoch != before->epoch || before->sections->fixed[i] != s)
            err = insert_section(db, s);
    }
    return err;
}

_Static_assert(FIXED_SECTIONS == 6, "the statement below names as many");

static int
forget_old(struct db *db, const struct head *h)
{
    char *digests[FIXED_SECTIONS] = {0};
    const char *params[FIXED_SECTIONS];
    int err = 0;

    for (size_t i = 0; i < FIXED_SECTIONS; i++) {
        params[i] = digests[i] = bytea(slice_make(h->sections->fixed[i]->sha256, SHA256_BYTES));
        if (!digests[i])
            err = ERR_NOMEM;
    }
    if (!err)
        err =
            db_query(db,
                     "DELETE FROM snapshot_sections WHERE published_at < now() - interval '1 hour' "
                     "AND sha256 NOT IN ($1::bytea, $2::bytea, $3::bytea, $4::bytea, $5::bytea, "
                     "$6::bytea)",
                     params, FIXED_SECTIONS, NULL);
    if (!err)
        err = db_query(db,
                       "DELETE FROM snapshots WHERE (epoch, version) < (SELECT epoch, version FROM "
                       "snapshots ORDER BY epoch DESC, version DESC OFFSET " ROWS_KEPT " LIMIT 1)",
                       NULL, 0, NULL);
    for (size_t i = 0; i < FIXED_SECTIONS; i++)
        free(digests[i]);
    return err;
}

/* One more than was ever recorded, or is on the shelf. */
static int
next_version(struct db *db, const struct head *before, uint64_t *ret)
{
    struct db_rows *rows;
    int err = db_query(db, "SELECT coalesce(max(version), 0) FROM snapshots", NULL, 0, &rows);

    if (err)
        return err;
    *ret = (uint64_t)db_int(rows, 0, 0) + 1;
    if (before && before->version >= *ret)
        *ret = before->version + 1;
    db_rows_free(rows);
    return 0;
}

static int
write_head(struct publisher *p, const struct built *b, const struct head *before, struct head **ret)
{
    uint64_t version;
    int err = lead_confirm(&p->lead, p->db);

    if (!err)
        err = next_version(p->db, before, &version);
    if (err)
        return err;
    *ret = make_head(p, b, version);
    if (!*ret)
        return ERR_NOMEM;
    err = insert_snapshot(p->db, *ret);
    if (!err)
        err = insert_sections(p->db, *ret, before);
    if (!err)
        err = forget_old(p->db, *ret);
    if (!err)
        err = db_query(p->db, "NOTIFY " PUBLISHED_CHANNEL, NULL, 0, NULL);
    return err;
}

/* Recorded before it is announced: no two publishers ever sign different bytes under one number. */
int
record_version(struct publisher *p, struct built *b, struct buf *why)
{
    struct head *before = shelf_newest(p->shelf);
    struct head *head = NULL;
    int err = db_begin(p->db);

    if (!err)
        err = write_head(p, b, before, &head);
    if (!err)
        err = db_commit(p->db);
    else
        db_rollback(p->db);
    head_unref(before);
    if (err) {
        head_unref(head);
        if (buf_addf(why, "cannot record the version: %s", db_error(p->db)) != 0)
            return ERR_NOMEM;
        return err;
    }
    log_info("publish.published", F_INT("epoch", head->epoch), F_INT("version", head->version),
             F_INT("revision", head->revision), F_INT("bytes", sections_total(head->sections)));
    shelf_push(p->shelf, head);
    return 0;
}

int
record_is_known(struct publisher *p, const struct head *h)
{
    char epoch[24], version[24];
    char *digest = bytea(slice_make(h->digest, SHA256_BYTES));
    const char *params[3] = {epoch, version, digest};
    struct db_rows *rows;
    int known;
    int err = ERR_NOMEM;

    snprintf(epoch, sizeof(epoch), "%" PRIu64, h->epoch);
    snprintf(version, sizeof(version), "%" PRIu64, h->version);
    if (digest)
        err = db_query(
            p->db, "SELECT FROM snapshots WHERE epoch = $1 AND version = $2 AND root_sha256 = $3",
            params, 3, &rows);
    free(digest);
    if (err)
        return err;
    known = db_count(rows) > 0;
    db_rows_free(rows);
    return known;
}

/* --- what another leader published --------------------------------------------------------- */

static bool
is_newer(uint64_t epoch, uint64_t version, const struct head *than)
{
    if (!than)
        return true;
    return epoch != than->epoch ? epoch > than->epoch : version > than->version;
}

/* The newest version of all that are recorded: 1, 0 without any, or an error. */
static int
newest_mark(struct db *db, uint64_t *ret_epoch, uint64_t *ret_version)
{
    struct db_rows *rows;
    int err = db_query(
        db, "SELECT epoch, version FROM snapshots ORDER BY epoch DESC, version DESC LIMIT 1", NULL,
        0, &rows);
    int found;

    if (err)
        return err;
    found = db_count(rows) > 0;
    *ret_epoch = found ? (uint64_t)db_int(rows, 0, 0) : 0;
    *ret_version = found ? (uint64_t)db_int(rows, 0, 1) : 0;
    db_rows_free(rows);
    return found;
}

int
record_went_back(struct publisher *p, const struct head *h)
{
    uint64_t epoch = 0, version = 0;
    int found = newest_mark(p->db, &epoch, &version);
    const struct head newest = {.epoch = epoch, .version = version};

    if (found < 0 || !is_newer(h->epoch, h->version, &newest))
        return found < 0 ? found : 0;
    log_error("publish.database_went_back", F_INT("epoch", h->epoch), F_INT("version", h->version),
              F_INT("revision", h->revision), F_INT("recorded_epoch", epoch),
              F_INT("recorded_version", version),
              F_STR("why", "the database has forgotten what was published: it was restored, or "
                           "failed over without its last commits; changes are undone"));
    return 1;
}

/* Its envelope, when it is newer than the shelf's: 1, 0, or an error. */
static int
newest_recorded(struct publisher *p, const struct head *than, struct buf *envelope)
{
    struct db_rows *rows;
    uint64_t epoch = 0, version = 0;
    int err = newest_mark(p->db, &epoch, &version);
    bool news = err == 1 && is_newer(epoch, version, than);

    err = err < 0 ? err : 0;
    if (news)
        err = lead_saw(&p->lead, epoch);
    if (err || !news)
        return err;
    err =
        db_query(p->db, "SELECT envelope FROM snapshots ORDER BY epoch DESC, version DESC LIMIT 1",
                 NULL, 0, &rows);
    if (err)
        return err;
    err = db_count(rows) ? bytea_take(db_slice(rows, 0, 0), envelope) : ERR_NOT_FOUND;
    db_rows_free(rows);
    return err ? err : 1;
}

static int
fetch_section(struct db *db, const struct section_ref *ref, struct section **ret)
{
    char *digest = bytea(slice_make(ref->sha256, SHA256_BYTES));
    const char *params[1] = {digest};
    struct db_rows *rows;
    struct buf bytes;
    char name[16];
    int err = digest ? db_query(db, "SELECT bytes FROM snapshot_sections WHERE sha256 = $1", params,
                                1, &rows)
                     : ERR_NOMEM;

    free(digest);
    if (err)
        return err;
    buf_init(&bytes, LIMIT_SECTION_BYTES + 1);
    err = db_count(rows) ? bytea_take(db_slice(rows, 0, 0), &bytes) : ERR_NOT_FOUND;
    db_rows_free(rows);
    if (!err && snapshot_check_section(ref, buf_slice(&bytes)) != SNAPSHOT_FINE)
        err = ERR_SYNTAX;
    snprintf(name, sizeof(name), "%.*s", SLICE_ARG(ref->name));
    if (!err && !(*ret = section_new(name, buf_slice(&bytes))))
        err = ERR_NOMEM;
    buf_free(&bytes);
    return err;
}

/* The leader's own bytes of what is not keys; of keys, what we made must be what it signed. */
static int
match_sections(struct publisher *p, struct sections *s, const struct snapshot_root *root)
{
    size_t shards = 0;
    int err = 0;

    for (size_t i = 0; i < SHARDS; i++)
        shards += s->shards[i] != NULL;
    for (size_t i = 0; !err && i < root->count; i++) {
        const struct section_ref *ref = &root->sections[i];
        struct section *have = sections_find(s, ref->name);

        if (slice_starts(ref->name, SLICE("keys/"))) {
            shards--;
            if (!have || memcmp(have->sha256, ref->sha256, SHA256_BYTES) != 0)
                err = ERR_CONFLICT;
            continue;
        }
        for (size_t k = 0; !err && k < FIXED_SECTIONS; k++) {
            if (!slice_is(ref->name, section_id_name((enum section_id)k)))
                continue;
            have = shelf_section(p->shelf, ref->sha256);
            if (!have)
                err = fetch_section(p->db, ref, &have);
            if (!err)
                sections_set_fixed(s, (enum section_id)k, have);
        }
    }
    return err ? err : shards ? ERR_CONFLICT : 0;
}

static int
compile_keys(struct publisher *p, int64_t revision, struct built *base, struct built **ret,
             struct buf *why)
{
    struct compile_input in = {.db = p->db, .base = base, .up_to = revision, .fixed_given = true};
    int err = db_begin(p->db);

    if (!err)
        err = db_query(p->db, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL, 0,
                       NULL);
    if (!err)
        err = compile_config(&in, ret, why);
    db_rollback(p->db);
    return err;
}

/* Keys as they were at the root's revision. Without a base they are read as they are now, which is
 * right only when nothing was changed since: then the next version will do. */
static int
adopt_root(struct publisher *p, struct slice envelope, const struct snapshot_root *root,
           struct buf *why)
{
    struct built *base = publisher_base(p);
    struct built *b = NULL;
    struct head *head = NULL;
    struct keyring ring;
    int err = compile_keys(p, (int64_t)root->revision, base, &b, why);

    secrets_ring(p->secrets, &ring);
    if (!err)
        err = match_sections(p, b->sections, root);
    if (!err)
        err = compile_sections(b->sections, &ring, b->revision, base ? base->policy : NULL,
                               &b->policy, why);
    keyring_wipe(&ring);
    if (!err && !(head = head_new(root, envelope, b->sections)))
        err = ERR_NOMEM;
    built_unref(base);
    if (err) {
        built_unref(b);
        return err;
    }
    publisher_set_built(p, b);
    shelf_push(p->shelf, head);
    log_info("publish.adopted", F_INT("epoch", head->epoch), F_INT("version", head->version));
    return 1;
}

int
record_adopt(struct publisher *p, struct buf *why)
{
    struct snapshot_trust trust = {.public_keys =
                                       (const unsigned char(*)[SIGN_PUBLIC_BYTES]) & p->sign_public,
                                   .key_count = 1,
                                   .cluster_id = slice_of(secrets_cluster_id(p->secrets)),
                                   .now_wall_ms = clock_wall_ms()};
    struct head *newest = shelf_newest(p->shelf);
    struct snapshot_root root;
    struct arena arena;
    struct buf envelope;
    int got;

    arena_init(&arena, 16 * LIMIT_ROOT_BYTES);
    buf_init(&envelope, LIMIT_ENVELOPE_BYTES + 1);
    got = newest_recorded(p, newest, &envelope);
    head_unref(newest);
    if (got == 1 && snapshot_open(buf_slice(&envelope), &trust, &arena, &root) != SNAPSHOT_FINE)
        got = ERR_AUTH;
    if (got == 1)
        got = adopt_root(p, buf_slice(&envelope), &root, why);
    if (got < 0 && why->len == 0 &&
        buf_addf(why, "cannot take over the leader's snapshot: %s", err_name(got)) != 0)
        got = ERR_NOMEM;
    buf_free(&envelope);
    arena_free(&arena);
    return got;
}

/* --- the disk ------------------------------------------------------------------------------ */

void
record_save(struct publisher *p)
{
    struct head *h = shelf_newest(p->shelf);
    struct section *list[SECTIONS_MOST];
    struct section_ref refs[SECTIONS_MOST];
    struct slice bytes[SECTIONS_MOST];
    struct snapshot_root root;
    int err;

    if (!h)
        return;
    root = (struct snapshot_root){.epoch = h->epoch,
                                  .version = h->version,
                                  .sections = refs,
                                  .count = list_refs(h->sections, refs)};
    sections_list(h->sections, list);
    for (size_t i = 0; i < root.count; i++)
        bytes[i] = section_bytes(list[i]);
    err = lkg_save(p->disk, head_envelope(h), &root, bytes);
    if (!err && !p->build_noted)
        err = file_replace(p->build_path, SLICE(HEADGATE_VERSION), 0600);
    p->build_noted = p->build_noted || !err;
    if (err)
        log_error("publish.save_failed", F_INT("version", h->version), F_ERR(err));
    head_unref(h);
}

struct loader {
    struct publisher *p;
    struct head *heads[LKG_KEPT]; /* newest first */
    size_t count;
};

static struct section *
share_or_new(struct publisher *p, const struct loader *l, const struct section_ref *ref,
             struct slice bytes)
{
    char name[16];

    (void)p;
    for (size_t i = 0; i < l->count; i++) {
        struct section *s = sections_find(l->heads[i]->sections, ref->name);

        if (s && memcmp(s->sha256, ref->sha256, SHA256_BYTES) == 0)
            return section_ref(s);
    }
    snprintf(name, sizeof(name), "%.*s", SLICE_ARG(ref->name));
    return section_new(name, bytes);
}

static int
place_section(struct sections *to, struct section *s)
{
    unsigned char number;

    if (!s)
        return ERR_NOMEM;
    if (strncmp(s->name, "keys/", 5) == 0 && hex_decode(slice_of(s->name + 5), &number, 1) == 0) {
        sections_set_shard(to, number, s);
        return 0;
    }
    for (size_t k = 0; k < FIXED_SECTIONS; k++)
        if (strcmp(s->name, section_id_name((enum section_id)k)) == 0) {
            sections_set_fixed(to, (enum section_id)k, s);
            return 0;
        }
    section_unref(s);
    return ERR_NOT_FOUND;
}

static bool
load_head(void *ctx, struct slice envelope, const struct snapshot_root *root,
          const struct slice *bytes, bool expired)
{
    struct loader *l = ctx;
    struct sections *s = sections_new(NULL);
    struct head *h = NULL;
    int err = s ? 0 : ERR_NOMEM;

    (void)expired;
    for (size_t i = 0; !err && i < root->count; i++)
        err = place_section(s, share_or_new(l->p, l, &root->sections[i], bytes[i]));
    if (!err)
        h = head_new(root, envelope, s);
    sections_unref(s);
    if (h)
        l->heads[l->count++] = h;
    return l->count == LKG_KEPT;
}

/* Another version of this program may write keys in another form: then they are read again. */
static void
check_build(struct publisher *p)
{
    struct buf text;

    buf_init(&text, 0);
    p->build_noted = file_read(p->build_path, 64, true, &text) == 0 &&
                     slice_eq(buf_slice(&text), SLICE(HEADGATE_VERSION));
    buf_free(&text);
}

void
record_load(struct publisher *p)
{
    struct snapshot_trust trust = {.public_keys =
                                       (const unsigned char(*)[SIGN_PUBLIC_BYTES]) & p->sign_public,
                                   .key_count = 1,
                                   .now_wall_ms = clock_wall_ms()};
    struct loader l = {.p = p};
    struct buf why;

    check_build(p);
    buf_init(&why, 4096);
    (void)lkg_each(p->disk, &trust, load_head, &l, &why);
    if (l.count)
        log_info("publish.from_disk", F_INT("epoch", l.heads[0]->epoch),
                 F_INT("version", l.heads[0]->version));
    else
        log_info("publish.none_on_disk", F_SLICE("why", buf_slice(&why)));
    buf_free(&why);
    while (l.count) /* oldest first: the newest ends up in front */
        shelf_push(p->shelf, l.heads[--l.count]);
}
