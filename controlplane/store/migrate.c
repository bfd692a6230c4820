/* See migrate.h. */
#include "controlplane/store/migrate.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/encode.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"

/* The lock's number: "headgate" and "migrate" folded into 64 bits; any constant would do. */
#define LOCK_SQL "SELECT pg_advisory_lock(7523094288201234)"
#define UNLOCK_SQL "SELECT pg_advisory_unlock(7523094288201234)"

struct applied {
    struct db_rows *rows; /* version, name, checksum; sorted by version */
    size_t count;
};

static int explain(struct buf *why, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
explain(struct buf *why, int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_clear(why);
    int full = buf_vaddf(why, format, args);
    va_end(args);
    return full ? full : err;
}

static int
explain_db(struct buf *why, int err, struct db *db, const char *what)
{
    return explain(why, err, "%s: %s", what, db_error(db));
}

static void
checksum(const struct migration_file *f, char ret_hex[static 2 * SHA256_BYTES + 1])
{
    unsigned char digest[SHA256_BYTES];
    hash_sha256(f->text, f->len, digest);
    hex_encode(digest, sizeof(digest), ret_hex);
}

/* "0042_words.sql" has version 42; 0 for anything else. */
static int
version_of(const char *name)
{
    struct slice rest = slice_of(name);
    struct slice digits = slice_cut(&rest, '_');
    unsigned long long v = 0;
    if (digits.len != 4 || slice_to_u64(digits, &v) != 0 || rest.len < 5 ||
        !slice_ends(rest, SLICE(".sql")))
        return 0;
    return (int)v;
}

static int
check_names(const struct migration_file *files, size_t count, struct buf *why)
{
    int last = 0;
    for (size_t i = 0; i < count; i++) {
        int v = version_of(files[i].name);
        if (v <= last)
            return explain(why, ERR_SYNTAX,
                           "migration %s: names are NNNN_words.sql, each number once",
                           files[i].name);
        last = v;
    }
    return 0;
}

static const struct migration_file *
find_version(const struct migration_file *files, size_t count, int64_t version)
{
    for (size_t i = 0; i < count; i++)
        if (version_of(files[i].name) == version)
            return &files[i];
    return NULL;
}

static bool
is_applied(const struct applied *a, int version)
{
    for (size_t i = 0; i < a->count; i++)
        if (db_int(a->rows, i, 0) == version)
            return true;
    return false;
}

/* What the database says was applied must be in this program, unchanged. */
static int
compare(const struct applied *a, const struct migration_file *files, size_t count, struct buf *why)
{
    char hex[2 * SHA256_BYTES + 1];
    for (size_t i = 0; i < a->count; i++) {
        const struct migration_file *f = find_version(files, count, db_int(a->rows, i, 0));
        if (!f)
            return explain(
                why, ERR_CONFLICT,
                "migration %s was applied to this database but is not part of this program "
                "(version " HEADGATE_VERSION "): use the version that applied it, or newer",
                db_text(a->rows, i, 1));
        checksum(f, hex);
        if (strcmp(hex, db_text(a->rows, i, 2)) != 0)
            return explain(
                why, ERR_CONFLICT,
                "migration %s was changed after it was applied to this database: restore the "
                "file and put the change into a new migration",
                f->name);
    }
    return 0;
}

static int
load_applied(struct db *db, struct applied *ret, struct buf *why)
{
    int err = db_query(db, "SELECT version, name, checksum FROM schema_migrations ORDER BY version",
                       NULL, 0, &ret->rows);
    if (err)
        return explain_db(why, err, db, "cannot read which migrations were applied");
    ret->count = db_count(ret->rows);
    return 0;
}

static int
apply_one(struct db *db, const struct migration_file *f, struct buf *why)
{
    char hex[2 * SHA256_BYTES + 1], version[16];
    checksum(f, hex);
    snprintf(version, sizeof(version), "%d", version_of(f->name));
    const char *const row[] = {version, f->name, hex};
    int err = db_begin(db);
    if (!err)
        err = db_script(db, "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'");
    if (!err)
        err = db_script(db, f->text);
    if (!err)
        err = db_query(
            db, "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)", row,
            3, NULL);
    if (!err)
        err = db_commit(db);
    if (err) {
        db_rollback(db);
        return explain_db(why, err, db, f->name);
    }
    log_info("migration.applied", F_STR("name", f->name));
    return 0;
}

static int
run_locked(struct db *db, const struct migration_file *files, size_t count, size_t *ret_applied,
           struct buf *why)
{
    struct applied a = {0};
    int err =
        db_script(db, "CREATE TABLE IF NOT EXISTS schema_migrations ("
                      "version integer PRIMARY KEY, name text NOT NULL, "
                      "checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())");
    if (err)
        return explain_db(why, err, db, "cannot make the table schema_migrations");
    err = load_applied(db, &a, why);
    if (!err)
        err = compare(&a, files, count, why);
    for (size_t i = 0; i < count && !err; i++) {
        if (is_applied(&a, version_of(files[i].name)))
            continue;
        err = apply_one(db, &files[i], why);
        if (!err)
            ++*ret_applied;
    }
    db_rows_free(a.rows);
    return err;
}

int
migrate_run(struct db *db, const struct migration_file *files, size_t count, size_t *ret_applied,
            struct buf *why)
{
    *ret_applied = 0;
    int err = check_names(files, count, why);
    if (err)
        return err;
    err = db_script(db, "SET statement_timeout = '60s'; SET lock_timeout = 0");
    if (err)
        return explain_db(why, err, db, "cannot reach the database");
    err = db_query(db, LOCK_SQL, NULL, 0, NULL);
    if (err)
        return explain_db(why, err, db, "another migration holds the lock");
    err = run_locked(db, files, count, ret_applied, why);
    int unlocked = db_query(db, UNLOCK_SQL, NULL, 0, NULL);
    return err ? err : unlocked;
}

int
migrate_check(struct db *db, const struct migration_file *files, size_t count, size_t *ret_pending,
              struct buf *why)
{
    struct applied a = {0};
    int err = load_applied(db, &a, why);
    if (!err)
        err = compare(&a, files, count, why);
    *ret_pending = 0;
    for (size_t i = 0; i < count && !err; i++)
        *ret_pending += is_applied(&a, version_of(files[i].name)) ? 0 : 1;
    db_rows_free(a.rows);
    return err;
}
