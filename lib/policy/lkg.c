#include "lib/policy/lkg.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/encode.h"
#include "lib/base/file.h"
#include "lib/base/map.h"

#define LIMIT_ROOTS 64 /* looked at in the folder: three are kept, a crash may leave one more */
#define LIMIT_FLOOR_BYTES 1024
#define HEX_BYTES (2 * SHA256_BYTES + 1)

/* A root that may be started from. */
struct mark {
    uint64_t epoch, version;
    unsigned char digest[SHA256_BYTES]; /* of the envelope */
};

struct floor {
    struct mark marks[LKG_KEPT]; /* newest first */
    size_t count;
};

struct lkg {
    char dir[PATH_MAX - 128];
    struct hmac *macs[KEYRING_MOST]; /* one a sealing key; the first signs, all are believed */
    size_t mac_count;
};

/* --- names --------------------------------------------------------------------------------- */

static void
path_of(const struct lkg *l, const char *name, char ret[static PATH_MAX])
{
    int n = snprintf(ret, PATH_MAX, "%s/%s", l->dir, name);

    assert(n > 0 && n < PATH_MAX); /* dir leaves room for every name we use */
}

static void
root_path(const struct lkg *l, uint64_t epoch, uint64_t version, char ret[static PATH_MAX])
{
    char name[64];

    snprintf(name, sizeof(name), "root-%016" PRIx64 "-%016" PRIx64, epoch, version);
    path_of(l, name, ret);
}

static void
section_path(const struct lkg *l, const unsigned char digest[static SHA256_BYTES],
             char ret[static PATH_MAX])
{
    char name[sizeof("sections/") + HEX_BYTES] = "sections/";

    hex_encode(digest, SHA256_BYTES, name + sizeof("sections/") - 1);
    path_of(l, name, ret);
}

/* "root-EPOCH-VERSION", nothing before or behind it. */
static bool
parse_root_name(const char *name, struct mark *ret)
{
    unsigned char numbers[16];
    struct slice rest = slice_of(name);

    if (rest.len != 5 + 16 + 1 + 16 || !slice_starts(rest, SLICE("root-")) || name[21] != '-' ||
        hex_decode(slice_make(name + 5, 16), numbers, 8) != 0 ||
        hex_decode(slice_make(name + 22, 16), numbers + 8, 8) != 0)
        return false;
    *ret = (struct mark){0};
    for (size_t i = 0; i < 8; i++) {
        ret->epoch = ret->epoch << 8 | numbers[i];
        ret->version = ret->version << 8 | numbers[8 + i];
    }
    return true;
}

static int
order(const struct mark *a, const struct mark *b)
{
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? -1 : 1;
    return (a->version > b->version) - (a->version < b->version);
}

/* --- opening ------------------------------------------------------------------------------- */

/* A real directory of ours. */
static int
check_dir(const char *path)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return ERR_IO;
    return S_ISDIR(st.st_mode) && st.st_uid == geteuid() ? 0 : ERR_DENIED;
}

static int
make_dirs(const struct lkg *l)
{
    char sections[PATH_MAX];
    int err;

    path_of(l, "sections", sections);
    if (file_make_dirs(l->dir, 0700) != 0)
        return ERR_IO;
    if ((err = check_dir(l->dir)) != 0)
        return err;
    if (file_make_dirs(sections, 0700) != 0)
        return ERR_IO;
    return check_dir(sections);
}

/* The MAC's key is made from the seal key, so that neither stands in for the other. */
static struct hmac *
floor_mac(const unsigned char key_bytes[static SEAL_KEY_BYTES])
{
    static const char purpose[] = "headgate policy floor v1";
    struct hmac *sealing = hmac_new(key_bytes, SEAL_KEY_BYTES);
    struct hmac *mac = NULL;
    unsigned char key[SHA256_BYTES];

    if (sealing) {
        hmac_sha256(sealing, purpose, sizeof(purpose) - 1, key);
        mac = hmac_new(key, sizeof(key));
    }
    secret_wipe(key, sizeof(key));
    hmac_free(sealing);
    return mac;
}

static void
drop_macs(struct lkg *l)
{
    while (l->mac_count > 0)
        hmac_free(l->macs[--l->mac_count]);
}

static int
take_keys(struct lkg *l, const struct keyring *keys)
{
    drop_macs(l);
    for (size_t i = 0; i < keys->count; i++) {
        if (!(l->macs[i] = floor_mac(keys->keys[i].bytes)))
            return ERR_NOMEM;
        l->mac_count++;
    }
    return l->mac_count ? 0 : ERR_BAD_STATE;
}

int
lkg_open(const char *dir, const struct keyring *keys, struct lkg **ret_lkg)
{
    struct lkg *l = calloc(1, sizeof(*l));
    int err = ERR_NOMEM;

    if (!l)
        return ERR_NOMEM;
    if ((size_t)snprintf(l->dir, sizeof(l->dir), "%s", dir) >= sizeof(l->dir)) {
        errno = ENAMETOOLONG;
        err = ERR_IO;
    } else if ((err = take_keys(l, keys)) == 0) {
        err = make_dirs(l);
    }
    if (err) {
        lkg_close(l);
        return err;
    }
    *ret_lkg = l;
    return 0;
}

void
lkg_close(struct lkg *l)
{
    if (!l)
        return;
    drop_macs(l);
    free(l);
}

/* Held until the descriptor is closed; -1 when it cannot be had. */
static int
lock(const struct lkg *l, int how)
{
    char path[PATH_MAX];
    int fd;

    path_of(l, "lock", path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
    if (fd < 0)
        return -1;
    while (flock(fd, how) != 0) {
        if (errno == EINTR)
            continue;
        close(fd);
        return -1;
    }
    return fd;
}

/* --- the floor: which roots may be started from -------------------------------------------- */

static int
floor_text(struct hmac *with, const struct floor *f, struct buf *into)
{
    unsigned char mac[SHA256_BYTES];
    char hex[HEX_BYTES];
    int err = buf_add_str(into, "headgate policy floor 1\n");

    for (size_t i = 0; !err && i < f->count; i++) {
        hex_encode(f->marks[i].digest, SHA256_BYTES, hex);
        err = buf_addf(into, "root %" PRIu64 " %" PRIu64 " %s\n", f->marks[i].epoch,
                       f->marks[i].version, hex);
    }
    if (err)
        return err;
    hmac_sha256(with, into->at, into->len, mac);
    hex_encode(mac, SHA256_BYTES, hex);
    return buf_addf(into, "mac %s\n", hex);
}

static bool
parse_mark(struct slice line, struct mark *ret)
{
    unsigned long long epoch, version;

    if (!slice_is(slice_cut(&line, ' '), "root") ||
        slice_to_u64(slice_cut(&line, ' '), &epoch) != 0 ||
        slice_to_u64(slice_cut(&line, ' '), &version) != 0 ||
        hex_decode(line, ret->digest, SHA256_BYTES) != 0)
        return false;
    ret->epoch = epoch;
    ret->version = version;
    return true;
}

/* What a valid text says is what we would write for it: comparing whole texts checks the MAC and
 * the form at once. */
static bool
parse_floor(const struct lkg *l, struct slice text, struct floor *ret)
{
    struct slice rest = text;
    struct buf again;
    bool same = false;

    *ret = (struct floor){0};
    slice_cut(&rest, '\n');
    while (ret->count < LKG_KEPT && slice_starts(rest, SLICE("root ")))
        if (!parse_mark(slice_cut(&rest, '\n'), &ret->marks[ret->count++]))
            return false;
    buf_init(&again, 0);
    for (size_t i = 0; i < l->mac_count && !same; i++) {
        buf_clear(&again);
        same = floor_text(l->macs[i], ret, &again) == 0 && again.len == text.len &&
               secret_equal(again.at, text.at, text.len);
    }
    buf_free(&again);
    return same;
}

static bool
read_floor(const struct lkg *l, const char *name, struct floor *ret)
{
    char path[PATH_MAX];
    struct buf text;
    bool valid;

    path_of(l, name, path);
    buf_init(&text, 0);
    valid = file_read(path, LIMIT_FLOOR_BYTES, true, &text) == 0 &&
            parse_floor(l, buf_slice(&text), ret);
    buf_free(&text);
    return valid;
}

/* The higher of the two copies; false when neither is whole. */
static bool
best_floor(const struct lkg *l, struct floor *ret)
{
    struct floor a, b;
    bool has_a = read_floor(l, "floor.a", &a);
    bool has_b = read_floor(l, "floor.b", &b);

    if (!has_a && !has_b)
        return false;
    if (has_a && has_b)
        *ret = order(&a.marks[0], &b.marks[0]) >= 0 ? a : b;
    else
        *ret = has_a ? a : b;
    return true;
}

static int
write_floor(const struct lkg *l, const struct floor *f)
{
    char path[PATH_MAX];
    struct buf text;
    int err;

    buf_init(&text, LIMIT_FLOOR_BYTES);
    err = floor_text(l->macs[0], f, &text);
    for (size_t i = 0; !err && i < 2; i++) {
        path_of(l, i == 0 ? "floor.a" : "floor.b", path);
        err = file_replace(path, buf_slice(&text), 0600);
    }
    buf_free(&text);
    return err;
}

static bool
floor_allows(const struct floor *f, const struct mark *m)
{
    for (size_t i = 0; i < f->count; i++)
        if (memcmp(f->marks[i].digest, m->digest, SHA256_BYTES) == 0)
            return true;
    return f->count == 0 || order(m, &f->marks[0]) > 0;
}

/* m becomes the newest; what is over LKG_KEPT falls off. */
static void
floor_push(struct floor *f, const struct mark *m)
{
    if (f->count == LKG_KEPT)
        f->count--;
    memmove(f->marks + 1, f->marks, f->count * sizeof(*f->marks));
    f->marks[0] = *m;
    f->count++;
}

/* --- loading ------------------------------------------------------------------------------- */

/* A section's file into a buffer, whole and right: 0 or an error. */
static int
read_section(const struct lkg *l, const struct section_ref *ref, struct buf *into)
{
    char path[PATH_MAX];
    int err;

    section_path(l, ref->sha256, path);
    err = file_read(path, LIMIT_SECTION_BYTES, true, into);
    if (err)
        return err;
    return snapshot_check_section(ref, buf_slice(into)) == SNAPSHOT_FINE ? 0 : ERR_SYNTAX;
}

/* What is done with a root that was found whole: 0 when it is taken, else the next one is tried. */
struct reader {
    const struct snapshot_trust *trust;
    int (*use)(struct reader *r, struct slice envelope, const struct snapshot_root *root,
               const struct slice *sections, bool expired);
    struct buf *why;
    size_t skipped; /* newer ones that were not taken */
    /* of lkg_load */
    const struct keyring *keys;
    struct lkg_found *found;
    /* of lkg_each */
    bool (*each)(void *ctx, struct slice envelope, const struct snapshot_root *root,
                 const struct slice *sections, bool expired);
    void *ctx;
    size_t shown;
};

/* Notes why a root is not usable; gives the error back. */
static int
note(struct reader *r, int err, const char *what)
{
    return buf_addf(r->why, "%s; ", what) == 0 ? err : ERR_NOMEM;
}

static int
use_sections(const struct lkg *l, struct reader *r, struct slice envelope,
             const struct snapshot_root *root, bool expired)
{
    struct buf *bufs = calloc(root->count + 1, sizeof(*bufs));
    struct slice *bytes = calloc(root->count + 1, sizeof(*bytes));
    int err = bufs && bytes ? 0 : ERR_NOMEM;

    for (size_t i = 0; !err && i < root->count; i++) {
        if ((err = read_section(l, &root->sections[i], &bufs[i])) != 0)
            err = buf_addf(r->why, "section %.*s: ", SLICE_ARG(root->sections[i].name)) == 0
                      ? note(r, err, err_name(err))
                      : ERR_NOMEM;
        bytes[i] = bufs[i].len ? buf_slice(&bufs[i]) : SLICE("");
    }
    if (!err)
        err = r->use(r, envelope, root, bytes, expired);
    for (size_t i = 0; bufs && i < root->count; i++)
        buf_free(&bufs[i]);
    free(bufs);
    free(bytes);
    return err;
}

static int
use_envelope(const struct lkg *l, struct reader *r, const struct mark *named,
             const struct floor *floor, struct slice envelope)
{
    struct snapshot_root root = {0};
    struct mark mark = *named;
    enum snapshot_refusal refusal;
    struct arena arena;
    int err;

    hash_sha256(envelope.at, envelope.len, mark.digest);
    arena_init(&arena, 0);
    refusal = snapshot_open(envelope, r->trust, &arena, &root);
    if (refusal != SNAPSHOT_FINE && refusal != SNAPSHOT_EXPIRED)
        err = note(r, ERR_AUTH, snapshot_refusal_name(refusal));
    else if (root.epoch != mark.epoch || root.version != mark.version ||
             !floor_allows(floor, &mark))
        err = note(r, ERR_STALE, "older than the floor");
    else
        err = use_sections(l, r, envelope, &root, refusal == SNAPSHOT_EXPIRED);
    arena_free(&arena);
    return err;
}

static int
use_root(const struct lkg *l, struct reader *r, const struct mark *named, const struct floor *floor)
{
    char path[PATH_MAX];
    struct buf envelope;
    int err = buf_addf(r->why, "%" PRIu64 ".%" PRIu64 ": ", named->epoch, named->version);

    if (err)
        return err;
    buf_init(&envelope, 0);
    root_path(l, named->epoch, named->version, path);
    err = file_read(path, LIMIT_ENVELOPE_BYTES, true, &envelope);
    if (err)
        err = note(r, err, err_name(err));
    else
        err = use_envelope(l, r, named, floor, buf_slice(&envelope));
    buf_free(&envelope);
    return err;
}

static int
newest_first(const void *a, const void *b)
{
    return order(b, a);
}

/* Names of roots in the folder, newest first. */
static size_t
list_roots(const struct lkg *l, struct mark marks[static LIMIT_ROOTS])
{
    DIR *d = opendir(l->dir);
    const struct dirent *e;
    size_t n = 0;

    while (d && n < LIMIT_ROOTS && (e = readdir(d)) != NULL)
        n += parse_root_name(e->d_name, &marks[n]);
    if (d)
        closedir(d);
    qsort(marks, n, sizeof(*marks), newest_first);
    return n;
}

static int
read_roots(const struct lkg *l, struct reader *r)
{
    struct mark marks[LIMIT_ROOTS];
    size_t n = list_roots(l, marks);
    struct floor floor;

    if (n == 0)
        return note(r, ERR_NOT_FOUND, "there is no policy on disk");
    if (!best_floor(l, &floor))
        return note(r, ERR_NOT_FOUND, "the floor files are missing or damaged");
    for (size_t i = 0; i < n; i++) {
        int err = use_root(l, r, &marks[i], &floor);

        if (err == 0 || err == ERR_NOMEM)
            return err;
        r->skipped++;
    }
    return ERR_NOT_FOUND;
}

static int
read_locked(struct lkg *l, struct reader *r)
{
    int fd = lock(l, LOCK_SH);
    int err;

    buf_clear(r->why);
    err = read_roots(l, r);
    if (fd >= 0)
        close(fd);
    return err;
}

static int
use_policy(struct reader *r, struct slice envelope, const struct snapshot_root *root,
           const struct slice *sections, bool expired)
{
    struct policy_section *all = calloc(root->count + 1, sizeof(*all));
    struct policy_input in = {.epoch = root->epoch,
                              .version = root->version,
                              .revision = root->revision,
                              .sections = all,
                              .count = root->count,
                              .keys = r->keys};
    struct lkg_found *f = r->found;
    struct buf reason;
    int err;

    if (!all)
        return ERR_NOMEM;
    for (size_t i = 0; i < root->count; i++) {
        all[i] = (struct policy_section){.name = root->sections[i].name, .bytes = sections[i]};
        memcpy(all[i].digest, root->sections[i].sha256, SHA256_BYTES);
    }
    buf_init(&reason, 4096);
    err = policy_compile(&in, &f->policy, &reason);
    if (err)
        err = note(r, err, buf_str(&reason) ? buf_str(&reason) : err_name(err));
    buf_free(&reason);
    free(all);
    hash_sha256(envelope.at, envelope.len, f->root_digest);
    snprintf(f->cluster_id, sizeof(f->cluster_id), "%.*s", SLICE_ARG(root->cluster_id));
    f->not_after_ms = root->not_after_ms;
    f->expired = expired;
    return err;
}

int
lkg_load(struct lkg *l, const struct snapshot_trust *trust, const struct keyring *keys,
         struct lkg_found *ret_found, struct buf *why)
{
    struct reader r = {
        .trust = trust, .use = use_policy, .why = why, .keys = keys, .found = ret_found};
    int err;

    *ret_found = (struct lkg_found){0};
    err = read_locked(l, &r);
    ret_found->skipped = r.skipped;
    return err;
}

static int
use_each(struct reader *r, struct slice envelope, const struct snapshot_root *root,
         const struct slice *sections, bool expired)
{
    r->shown++;
    return r->each(r->ctx, envelope, root, sections, expired) ? 0 : ERR_CANCELLED;
}

size_t
lkg_each(struct lkg *l, const struct snapshot_trust *trust,
         bool (*use)(void *ctx, struct slice envelope, const struct snapshot_root *root,
                     const struct slice *sections, bool expired),
         void *ctx, struct buf *why)
{
    struct reader r = {.trust = trust, .use = use_each, .why = why, .each = use, .ctx = ctx};

    (void)read_locked(l, &r); /* what was not usable is told in *why */
    return r.shown;
}

/* --- saving -------------------------------------------------------------------------------- */

bool
lkg_has_section(const struct lkg *l, const struct section_ref *ref)
{
    char path[PATH_MAX];
    struct stat st;

    section_path(l, ref->sha256, path);
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == ref->size;
}

/* A damaged file is written again; a whole one is left alone. */
static int
save_section(const struct lkg *l, const struct section_ref *ref, struct slice bytes)
{
    char path[PATH_MAX];
    struct buf there;
    int err;

    if (!bytes.at)
        return lkg_has_section(l, ref) ? 0 : ERR_NOT_FOUND;
    if (lkg_has_section(l, ref)) {
        buf_init(&there, 0);
        err = read_section(l, ref, &there);
        buf_free(&there);
        if (!err)
            return 0;
    }
    section_path(l, ref->sha256, path);
    return file_replace(path, bytes, 0600);
}

static int
save_root(const struct lkg *l, struct slice envelope, const struct mark *m)
{
    char path[PATH_MAX];

    root_path(l, m->epoch, m->version, path);
    return file_replace(path, envelope, 0600);
}

static bool
root_is_there(const struct lkg *l, const struct mark *m)
{
    unsigned char digest[SHA256_BYTES];
    char path[PATH_MAX];
    struct buf envelope;
    bool whole;

    root_path(l, m->epoch, m->version, path);
    buf_init(&envelope, 0);
    whole = file_read(path, LIMIT_ENVELOPE_BYTES, true, &envelope) == 0;
    hash_sha256(envelope.at, envelope.len, digest);
    buf_free(&envelope);
    return whole && memcmp(digest, m->digest, SHA256_BYTES) == 0;
}

/* Notes the sections of a kept root; false when it cannot be read (then nothing is swept). */
static bool
note_sections(const struct lkg *l, const struct mark *m, struct arena *a, struct map *keep)
{
    unsigned char digest[SHA256_BYTES];
    struct snapshot_root root;
    char path[PATH_MAX];
    struct buf envelope;
    bool noted = false;

    root_path(l, m->epoch, m->version, path);
    buf_init(&envelope, 0);
    if (file_read(path, LIMIT_ENVELOPE_BYTES, true, &envelope) == 0) {
        hash_sha256(envelope.at, envelope.len, digest);
        noted = memcmp(digest, m->digest, SHA256_BYTES) == 0 &&
                snapshot_peek(buf_slice(&envelope), a, &root) == SNAPSHOT_FINE;
    }
    buf_free(&envelope);
    for (size_t i = 0; noted && i < root.count; i++) {
        char *name = arena_alloc(a, HEX_BYTES);

        noted = name != NULL;
        if (noted) {
            hex_encode(root.sections[i].sha256, SHA256_BYTES, name);
            noted = map_put(keep, slice_make(name, HEX_BYTES - 1), name) == 0;
        }
    }
    return noted;
}

/* Removes what no kept root names, leftovers of a crash included. */
static void
sweep_sections(const struct lkg *l, const struct map *keep)
{
    char path[PATH_MAX], name[sizeof("sections/") + NAME_MAX];
    const struct dirent *e;
    DIR *d;

    path_of(l, "sections", path);
    d = opendir(path);
    while (d && (e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.' || map_find(keep, slice_of(e->d_name)))
            continue;
        snprintf(name, sizeof(name), "sections/%s", e->d_name);
        path_of(l, name, path);
        unlink(path);
    }
    if (d)
        closedir(d);
}

static bool
is_kept(const struct floor *f, const struct mark *m)
{
    for (size_t i = 0; i < f->count; i++)
        if (order(&f->marks[i], m) == 0)
            return true;
    return f->count && order(m, &f->marks[0]) > 0;
}

static void
sweep_roots(const struct lkg *l, const struct floor *f)
{
    struct mark marks[LIMIT_ROOTS];
    size_t n = list_roots(l, marks);
    char path[PATH_MAX];

    for (size_t i = 0; i < n; i++)
        if (!is_kept(f, &marks[i])) {
            root_path(l, marks[i].epoch, marks[i].version, path);
            unlink(path);
        }
}

/* Best effort: what stays behind costs room, not truth. Roots that are gone or damaged name
 * nothing. */
static void
sweep(const struct lkg *l, const struct floor *f)
{
    struct arena arena;
    struct map keep;
    bool newest;

    sweep_roots(l, f);
    arena_init(&arena, 0);
    map_init(&keep);
    newest = note_sections(l, &f->marks[0], &arena, &keep);
    for (size_t i = 1; newest && i < f->count; i++)
        (void)note_sections(l, &f->marks[i], &arena, &keep);
    if (newest)
        sweep_sections(l, &keep);
    map_free(&keep);
    arena_free(&arena);
}

static int
save_locked(const struct lkg *l, struct slice envelope, const struct snapshot_root *root,
            const struct slice *sections)
{
    struct mark mark = {.epoch = root->epoch, .version = root->version};
    struct floor floor = {0};
    int err = 0;

    hash_sha256(envelope.at, envelope.len, mark.digest);
    (void)best_floor(l, &floor); /* none: the first, or a damaged one that is written anew */
    if (floor.count && order(&mark, &floor.marks[0]) < 0)
        return 0;
    if (floor.count && order(&mark, &floor.marks[0]) == 0 &&
        memcmp(mark.digest, floor.marks[0].digest, SHA256_BYTES) != 0)
        return ERR_CONFLICT;
    for (size_t i = 0; !err && i < root->count; i++)
        err = save_section(l, &root->sections[i], sections[i]);
    if (!err && floor.count && order(&mark, &floor.marks[0]) == 0 && root_is_there(l, &mark))
        return 0; /* another worker of this node was first */
    if (!err)
        err = save_root(l, envelope, &mark);
    if (err)
        return err;
    if (floor.count == 0 || order(&mark, &floor.marks[0]) > 0)
        floor_push(&floor, &mark);
    err = write_floor(l, &floor);
    if (!err)
        sweep(l, &floor);
    return err;
}

int
lkg_save(struct lkg *l, struct slice envelope, const struct snapshot_root *root,
         const struct slice *sections)
{
    int fd = lock(l, LOCK_EX);
    int err;

    if (fd < 0)
        return ERR_IO;
    err = save_locked(l, envelope, root, sections);
    close(fd);
    return err;
}

int
lkg_rekey(struct lkg *l, const struct keyring *keys)
{
    int fd = lock(l, LOCK_EX);
    struct floor floor;
    bool has_floor;
    int err;

    if (fd < 0)
        return ERR_IO;
    has_floor = best_floor(l, &floor); /* under what was believed so far */
    err = take_keys(l, keys);
    if (!err && has_floor)
        err = write_floor(l, &floor);
    close(fd);
    return err;
}
