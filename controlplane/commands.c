/* The commands that end: migrate, token, audit verify, version; keys is in keys_command.c. */
#include "controlplane/commands.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/secrets/seal.h"
#include "controlplane/store/audit.h"
#include "controlplane/store/migrate.h"
#include "controlplane/store/tokens.h"
#include "lib/base/encode.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/options.h"
#include "lib/base/secret.h"

static int
fail(const char *command, const char *what, const char *why)
{
    fprintf(stderr, "headgate-controlplane %s: %s%s%s\n", command, what, why[0] ? ": " : "", why);
    return 1;
}

/* Their own lines go to standard error only when something is worth a warning. */
static void
quiet_log(void)
{
    log_init("controlplane", LOG_WARN, STDERR_FILENO);
}

int
command_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("headgate-controlplane " HEADGATE_VERSION);
    return 0;
}

/* ---- migrate --------------------------------------------------------------------------------- */

static int
migrate(const char *dsn)
{
    struct db *db = db_new_owner(dsn, "headgate migrate");
    struct buf why;
    size_t applied = 0;
    if (!db)
        return fail("migrate", "no memory", "");
    buf_init(&why, 4096);
    int err = migrate_run(db, migration_files, migration_file_count, &applied, &why);
    const char *text = buf_str(&why);
    int code = 0;
    if (err)
        code = fail("migrate", text && *text ? text : err_name(err), "");
    else
        printf("%zu of %zu migrations applied now; the database is up to date\n", applied,
               migration_file_count);
    buf_free(&why);
    db_free(db);
    return code;
}

int
command_migrate(int argc, char **argv)
{
    const char *dsn = NULL;
    const struct option_row rows[] = {
        {.name = "owner-database",
         .kind = OPTION_TEXT,
         .into = &dsn,
         .value = "DSN",
         .env = "HEADGATE_OWNER_DATABASE_URL",
         .help = "PostgreSQL, as the owner of the tables"},
    };
    const struct options o = {.program = "headgate-controlplane migrate",
                              .summary = "Bring the database to this program's schema.",
                              .arguments = "",
                              .rows = rows,
                              .count = 1};
    size_t args;
    int parsed = options_parse(&o, argc, argv, &args);
    if (parsed)
        return parsed > 0 ? 0 : 2;
    if (!dsn || !*dsn)
        return fail("migrate", "--owner-database is needed", "") + 1;
    log_init("controlplane", LOG_INFO, STDERR_FILENO);
    return migrate(dsn);
}

/* ---- token ----------------------------------------------------------------------------------- */

struct token_options {
    const char *dsn, *name, *role;
};

/* Who does it, for the audit log: there is no token yet. */
static void
local_actor(char *into, size_t room)
{
    const struct passwd *pw = getpwuid(getuid());
    snprintf(into, room, "local:%s", pw ? pw->pw_name : "?");
}

static int
audited(struct db *db, const char *action, const char *name, const char *role)
{
    char actor[128], object[256];
    struct json *detail = json_new_map();
    local_actor(actor, sizeof(actor));
    snprintf(object, sizeof(object), "tokens/%s", name);
    struct audit_row row = {.actor = actor,
                            .action = action,
                            .object = object,
                            .request_id = "command",
                            .detail = detail};
    int err = detail ? 0 : ERR_NOMEM;
    if (!err && role)
        err = json_set_str(detail, "role", role);
    if (!err)
        err = audit_append(db, &row);
    json_free(detail);
    return err;
}

static int
begin_write(struct db *db)
{
    int err = db_begin(db);
    /* The lock of every writer: see api/dispatch.c. */
    return err ? err
               : db_query(db, "SELECT pg_advisory_xact_lock(7523094288201235)", NULL, 0, NULL);
}

static int
end_write(struct db *db, int err)
{
    if (!err)
        return db_commit(db);
    db_rollback(db);
    return err;
}

static int
token_create(struct db *db, const struct token_options *o)
{
    struct token t = {0};
    char text[TOKEN_TEXT_BYTES + 1];
    unsigned char digest[SHA256_BYTES];
    secrets_mint_token(text);
    hash_sha256(text, TOKEN_TEXT_BYTES, digest);
    snprintf(t.name, sizeof(t.name), "%s", o->name);
    snprintf(t.role, sizeof(t.role), "%s", o->role);
    snprintf(t.prefix, sizeof(t.prefix), "%.8s", text);
    local_actor(t.created_by, sizeof(t.created_by));
    int err = begin_write(db);
    if (!err)
        err = token_insert(db, &t, digest);
    if (!err)
        err = audited(db, "token.create", t.name, t.role);
    err = end_write(db, err);
    if (!err)
        printf("%s\n", text);
    secret_wipe(text, sizeof(text));
    if (err == ERR_EXISTS)
        return fail("token",
                    "there is a token of that name already; revoke it first, or take another "
                    "name",
                    "");
    return err ? fail("token", err_name(err), db_error(db)) : 0;
}

static int
token_revoke(struct db *db, const struct token_options *o)
{
    struct token t;
    int err = begin_write(db);
    if (!err)
        err = token_get(db, slice_of(o->name), &t);
    if (!err)
        err = token_delete(db, t.id);
    if (!err)
        err = audited(db, "token.delete", t.name, NULL);
    err = end_write(db, err);
    if (err == ERR_NOT_FOUND)
        return fail("token", "there is no token of that name", "");
    return err ? fail("token", err_name(err), db_error(db)) : 0;
}

static int
token_list(struct db *db)
{
    static struct token page[100];
    size_t count = 100;
    char after[201] = "";
    int err = 0;
    while (!err && count == 100) {
        err = token_page(db, after, page, 100, &count);
        for (size_t i = 0; i < count && !err; i++) {
            printf("%-24s %-10s %s...  %s  %s\n", page[i].name, page[i].role, page[i].prefix,
                   page[i].created_at, page[i].expires[0] ? page[i].expires : "never expires");
            snprintf(after, sizeof(after), "%s", page[i].name);
        }
    }
    return err ? fail("token", err_name(err), db_error(db)) : 0;
}

static int
run_token(const struct token_options *o, const char *action)
{
    struct db *db = db_new(o->dsn, "headgate token");
    int code = 2;
    if (!db)
        return fail("token", "no memory", "");
    if (strcmp(action, "list") == 0)
        code = token_list(db);
    else if (!o->name || !*o->name || strlen(o->name) > 128)
        fail("token", "--name is needed, with at most 128 bytes", "");
    else if (strcmp(action, "revoke") == 0)
        code = token_revoke(db, o);
    else if (strcmp(action, "create") != 0)
        fail("token", "create, list or revoke", action);
    else if (strcmp(o->role, "admin") != 0 && strcmp(o->role, "read-only") != 0)
        fail("token", "--role is admin or read-only", "");
    else
        code = token_create(db, o);
    db_free(db);
    return code;
}

int
command_token(int argc, char **argv)
{
    struct token_options t = {.role = "admin"};
    // clang-format off
    const struct option_row rows[] = {
        {.name = "database", .kind = OPTION_TEXT, .into = &t.dsn, .value = "DSN", .env = "HEADGATE_DATABASE_URL", .help = "PostgreSQL"},
        {.name = "name", .kind = OPTION_TEXT, .into = &t.name, .value = "NAME", .help = "the token's name: the actor of the audit log"},
        {.name = "role", .kind = OPTION_TEXT, .into = &t.role, .value = "ROLE", .help = "admin or read-only"},
    };
    // clang-format on
    const struct options o = {.program = "headgate-controlplane token",
                              .summary =
                                  "Create (the default), list or revoke admin tokens. The new "
                                  "token is printed once.",
                              .arguments = "[create|list|revoke]",
                              .rows = rows,
                              .count = 3,
                              .max_args = 1};
    size_t args = 0;
    int parsed = options_parse(&o, argc, argv, &args);
    if (parsed)
        return parsed > 0 ? 0 : 2;
    if (!t.dsn || !*t.dsn)
        return fail("token", "--database is needed", "") + 1;
    quiet_log();
    return run_token(&t, args > 0 ? argv[1] : "create");
}

/* ---- audit verify ---------------------------------------------------------------------------- */

struct audit_options {
    const char *dsn, *state_dir, *verify_key;
};

static int
load_anchors(const struct audit_options *o, struct audit_anchors *ret)
{
    unsigned char public_key[SIGN_PUBLIC_BYTES];
    char path[4096], what[128];
    size_t line = 0;
    if (!o->state_dir)
        return 0;
    if (!o->verify_key)
        return fail("audit", "--verify-key FILE is needed with --state-dir", "") + 1;
    int err = file_key(o->verify_key, public_key, sizeof(public_key), false);
    if (err)
        return fail("audit", o->verify_key, err_name(err));
    audit_anchor_path(o->state_dir, path, sizeof(path));
    err = audit_anchors_load(path, public_key, ret, &line);
    if (!err)
        return 0;
    snprintf(what, sizeof(what), "exported heads, line %zu: %s", line,
             err == ERR_AUTH ? "not signed by this key" : err_name(err));
    return fail("audit", path, what);
}

static int
verify(const struct audit_options *o)
{
    struct audit_anchors anchors = {0};
    struct audit_verdict v;
    char what[300];
    int code = load_anchors(o, &anchors);
    if (code)
        return code;
    struct db *db = db_new(o->dsn, "headgate audit");
    int err = db ? audit_verify(db, &anchors, &v) : ERR_NOMEM;
    if (err) {
        code = fail("audit", err_name(err), db ? db_error(db) : "");
    } else if (v.first_bad) {
        snprintf(what, sizeof(what), "row %lld %s", (long long)v.first_bad, v.reason);
        code = fail("audit", what, "");
    } else {
        printf("%lld rows verified; the head is %s; %zu exported heads agree\n", (long long)v.rows,
               v.head.hash[0] ? v.head.hash : "empty", v.anchors);
    }
    audit_anchors_free(&anchors);
    db_free(db);
    return code;
}

int
command_audit(int argc, char **argv)
{
    struct audit_options a = {0};
    // clang-format off
    const struct option_row rows[] = {
        {.name = "database", .kind = OPTION_TEXT, .into = &a.dsn, .value = "DSN", .env = "HEADGATE_DATABASE_URL", .help = "PostgreSQL"},
        {.name = "state-dir", .kind = OPTION_TEXT, .into = &a.state_dir, .value = "DIR", .help = "the daemon's: compare with the heads exported there too"},
        {.name = "verify-key", .kind = OPTION_TEXT, .into = &a.verify_key, .value = "FILE", .help = "public key that the exported heads are signed with (hex)"},
    };
    // clang-format on
    const struct options o = {.program = "headgate-controlplane audit",
                              .summary =
                                  "Prove the audit log whole, or name its first bad row (exit 1).",
                              .arguments = "verify",
                              .rows = rows,
                              .count = 3,
                              .min_args = 1,
                              .max_args = 1};
    size_t args = 0;
    int parsed = options_parse(&o, argc, argv, &args);
    if (parsed)
        return parsed > 0 ? 0 : 2;
    if (strcmp(argv[1], "verify") != 0)
        return fail("audit", "the one action is: verify", "") + 1;
    if (!a.dsn || !*a.dsn)
        return fail("audit", "--database is needed", "") + 1;
    quiet_log();
    return verify(&a);
}
