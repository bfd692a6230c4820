/*
 * The daemon's life: read options and keys, become the unprivileged user, start the parts, run the
 * loop, drain, stop them in the reverse order. PostgreSQL may be away at any time, the start
 * included.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "controlplane/api/server.h"
#include "controlplane/api/throttle.h"
#include "controlplane/commands.h"
#include "controlplane/jobs/jobs.h"
#include "controlplane/plane.h"
#include "controlplane/publish/publish.h"
#include "controlplane/secrets/ring.h"
#include "controlplane/secrets/seal.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/options.h"
#include "lib/base/secret.h"
#include "lib/http/url.h"
#include "lib/net/loop.h"

struct serve {
    struct plane plane;
    const char *sign_key, *seal_key, *log_level, *user;
    long drain_ms;
    bool force_epoch;
    struct loop *loop;
    struct loop_signal *signals[3];
    struct timer drain_timer;
    bool draining;
};

static int
fail(const char *what, const char *why)
{
    fprintf(stderr, "headgate-controlplane serve: %s%s%s\n", what, why[0] ? ": " : "", why);
    return 1;
}

/* ---- options --------------------------------------------------------------------------------- */

static int
parse(struct serve *s, int argc, char **argv)
{
    struct plane_config *c = &s->plane.config;
    // clang-format off
    const struct option_row rows[] = {
        {.name = "database", .kind = OPTION_TEXT, .into = &c->database, .value = "DSN", .env = "HEADGATE_DATABASE_URL", .help = "PostgreSQL, as the application's role (headgate_app)"},
        {.name = "admin-listen", .kind = OPTION_TEXT, .into = &c->admin_listen, .value = "ADDRESS", .help = "where the admin API listens"},
        {.name = "admin-public-url", .kind = OPTION_TEXT, .into = &c->admin_public_url, .value = "URL", .env = "HEADGATE_ADMIN_PUBLIC_URL", .help = "how browsers reach the admin API, https://HOST[:PORT]: for signing in"},
        {.name = "admin-tls-cert", .kind = OPTION_TEXT, .into = &c->admin_tls_cert, .value = "FILE", .help = "certificate chain of the admin API (PEM)"},
        {.name = "admin-tls-key", .kind = OPTION_TEXT, .into = &c->admin_tls_key, .value = "FILE", .help = "its private key (PEM)"},
        {.name = "bus-pub", .kind = OPTION_TEXT, .into = &c->bus_pub, .value = "URL", .help = "announcements to workers: ipc:///PATH or tls+tcp://HOST:PORT"},
        {.name = "bus-req", .kind = OPTION_TEXT, .into = &c->bus_req, .value = "URL", .help = "requests of workers, likewise"},
        {.name = "bus-tls-ca", .kind = OPTION_TEXT, .into = &c->bus_tls_ca, .value = "FILE", .help = "whose certificates workers must show on the bus"},
        {.name = "bus-tls-cert", .kind = OPTION_TEXT, .into = &c->bus_tls_cert, .value = "FILE", .help = "our certificate on the bus"},
        {.name = "bus-tls-key", .kind = OPTION_TEXT, .into = &c->bus_tls_key, .value = "FILE", .help = "its private key"},
        {.name = "sign-key", .kind = OPTION_TEXT, .into = &s->sign_key, .value = "FILE", .help = "signs snapshots (Ed25519 secret, hex)"},
        {.name = "seal-key", .kind = OPTION_TEXT, .into = &s->seal_key, .value = "FILE", .help = "seals credentials: a file of keys (hex, one a line; read again when it changes), env:NAME, aws-kms:CIPHERTEXT or vault-transit:MOUNT/KEY:CIPHERTEXT; without it HEADGATE_SEAL_KEY"},
        {.name = "state-dir", .kind = OPTION_TEXT, .into = &c->state_dir, .value = "DIR", .help = "what it keeps: published snapshots, audit heads"},
        {.name = "credentials-dir", .kind = OPTION_TEXT, .into = &c->credentials_dir, .value = "DIR", .help = "files that file: credentials name"},
        {.name = "secrets-refresh-s", .kind = OPTION_NUMBER, .into = &c->secrets_refresh_s, .value = "SECONDS", .env = "HEADGATE_SECRETS_REFRESH_S", .min = 1, .max = 86400, .help = "between two questions to a secret manager for the same reference"},
        {.name = "secrets-allow-private", .kind = OPTION_FLAG, .into = &c->secrets_allow_private, .env = "HEADGATE_SECRETS_ALLOW_PRIVATE", .help = "secret managers may have private addresses, and speak without TLS"},
        {.name = "litellm-shim", .kind = OPTION_FLAG, .into = &c->litellm_shim, .env = "HEADGATE_LITELLM_SHIM", .help = "the admin API also takes LiteLLM's management calls (/key/generate and the like)"},
        {.name = "log-level", .kind = OPTION_TEXT, .into = &s->log_level, .value = "LEVEL", .env = "HEADGATE_LOG_LEVEL", .help = "debug, info, warn, error"},
        {.name = "threads", .kind = OPTION_NUMBER, .into = &c->threads, .value = "N", .min = 1, .max = 64, .help = "of the admin API, one database connection each"},
        {.name = "wrong-credentials-per-minute", .kind = OPTION_NUMBER, .into = &c->wrong_per_minute, .value = "N", .env = "HEADGATE_WRONG_CREDENTIALS_PER_MINUTE", .min = 0, .max = LIMIT_THROTTLE_PER_MINUTE, .help = "of one account, that an address may show to the admin API before it has to wait; 16 times as many of all together; 0: no limit"},
        {.name = "audit-anchor-s", .kind = OPTION_NUMBER, .into = &c->anchor_s, .value = "SECONDS", .min = 1, .max = 86400, .help = "between exports of the audit log's head (when it moved)"},
        {.name = "drain-ms", .kind = OPTION_NUMBER, .into = &s->drain_ms, .value = "MS", .min = 0, .max = 600000, .help = "how long calls may take to end at SIGTERM"},
        {.name = "user", .kind = OPTION_TEXT, .into = &s->user, .value = "NAME", .help = "the user to become when started as root"},
        {.name = "force-epoch", .kind = OPTION_FLAG, .into = &s->force_epoch, .help = "publish although the database was restored from a backup"},
    };
    // clang-format on
    const struct options o = {.program = "headgate-controlplane serve",
                              .summary = "Run the control plane's daemon.",
                              .arguments = "",
                              .rows = rows,
                              .count = sizeof(rows) / sizeof(rows[0])};
    size_t args;
    return options_parse(&o, argc, argv, &args);
}

/* Browsers keep our cookies in clear on their own machine only. */
static bool
is_origin(const char *text)
{
    struct url url;
    const char *why;
    if (strlen(text) > 300 || url_parse(slice_of(text), &url, &why) != 0 || url.path.len > 0 ||
        slice_ends(slice_of(text), url.https ? SLICE(":443") : SLICE(":80")))
        return false;
    for (const char *c = text; *c; c++) /* as browsers spell it */
        if (*c >= 'A' && *c <= 'Z')
            return false;
    return url.https || slice_is(url.host, "127.0.0.1") || slice_is(url.host, "localhost") ||
           slice_is(url.host, "::1");
}

static int
check_options(struct serve *s)
{
    struct plane_config *c = &s->plane.config;
    enum log_level level;
    s->plane.keys.name = s->seal_key ? s->seal_key : keyring_default();
    const struct {
        const char *name, *value;
    } needed[] = {{"--database", c->database},        {"--bus-pub", c->bus_pub},
                  {"--bus-req", c->bus_req},          {"--sign-key", s->sign_key},
                  {"--seal-key", s->plane.keys.name}, {"--state-dir", c->state_dir}};
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (!needed[i].value || !*needed[i].value)
            return fail(needed[i].name, "is needed");
    if (c->admin_public_url && !*c->admin_public_url)
        c->admin_public_url = NULL;
    if (c->admin_public_url && !is_origin(c->admin_public_url))
        return fail(
            "--admin-public-url",
            "is https://HOST[:PORT] as a browser spells it (small letters, no :443, nothing "
            "behind it), or http:// on this very machine");
    if (!c->admin_tls_cert != !c->admin_tls_key)
        return fail("--admin-tls-cert and --admin-tls-key", "give both or none");
    if (!c->bus_tls_ca != !c->bus_tls_cert || !c->bus_tls_cert != !c->bus_tls_key)
        return fail("--bus-tls-ca, --bus-tls-cert and --bus-tls-key", "give all or none");
    if (log_parse_level(s->log_level, &level) != 0)
        return fail("--log-level", "is debug, info, warn or error");
    log_init("controlplane", level, STDERR_FILENO);
    return 0;
}

/* ---- keys and user --------------------------------------------------------------------------- */

static int
read_key(const char *path, unsigned char *into, size_t n)
{
    char why[256];
    int err = file_key(path, into, n, false);
    if (!err)
        return 0;
    snprintf(why, sizeof(why), "%s; `headgate-controlplane keys DIR` makes key files",
             err == ERR_SYNTAX ? "is not a key file (64 hex digits)" : err_name(err));
    return fail(path, why);
}

static int
read_keys(struct serve *s)
{
    struct plane *p = &s->plane;
    struct keyring ring;
    char why[KEYRING_WHY_BYTES];
    if (ring_load(&p->keys, p->config.secrets_allow_private, &ring, why) != 0) {
        fprintf(stderr,
                "headgate-controlplane serve: --seal-key %s: %s; `headgate-controlplane keys DIR` "
                "makes key files\n",
                p->keys.name, why);
        return 1;
    }
    if (read_key(s->sign_key, p->sign_secret, sizeof(p->sign_secret)) != 0)
        return 1;
    if (sign_public(p->sign_secret, p->sign_public) != 0)
        return fail(s->sign_key, "is not an Ed25519 key");
    p->secrets = secrets_new(&ring, p->config.credentials_dir);
    keyring_wipe(&ring);
    return p->secrets ? 0 : fail("no memory", "");
}

static int
drop_privileges(const struct serve *s)
{
    if (!s->user || geteuid() != 0)
        return 0;
    const struct passwd *pw = getpwnam(s->user);
    if (!pw || pw->pw_uid == 0)
        return fail("--user", pw ? "must not be root" : "there is no such user");
    if (initgroups(s->user, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 || setuid(pw->pw_uid) != 0)
        return fail("--user", strerror(errno));
    return 0;
}

static int
make_state_dir(const struct serve *s)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/audit", s->plane.config.state_dir);
    if (n < 0 || (size_t)n >= sizeof(path))
        return fail("--state-dir", "is too long");
    return file_make_dirs(path, 0700) == 0 ? 0 : fail(path, strerror(errno));
}

/* ---- parts ----------------------------------------------------------------------------------- */

static int
start_publisher(struct serve *s, struct buf *why)
{
    const struct plane_config *c = &s->plane.config;
    struct channel_tls tls = {c->bus_tls_ca, c->bus_tls_cert, c->bus_tls_key};
    struct publisher_options o = {.database = c->database,
                                  .state_dir = c->state_dir,
                                  .secrets = s->plane.secrets,
                                  .sign_secret = s->plane.sign_secret,
                                  .pub_url = c->bus_pub,
                                  .req_url = c->bus_req,
                                  .tls = c->bus_tls_ca ? &tls : NULL,
                                  .force_epoch = s->force_epoch};
    return publisher_start(&o, &s->plane.publisher, why);
}

static int
start_parts(struct serve *s)
{
    const struct plane_config *c = &s->plane.config;
    struct buf why;
    buf_init(&why, 4096);
    int err = start_publisher(s, &why);
    if (!err && c->wrong_per_minute > 0) {
        s->plane.throttle = throttle_new(c->wrong_per_minute);
        err = s->plane.throttle ? 0 : ERR_NOMEM;
    }
    if (!err)
        err = api_server_start(&s->plane, s->loop, &s->plane.api, &why);
    if (!err) {
        s->plane.jobs = jobs_start(&s->plane);
        err = s->plane.jobs ? 0 : ERR_NOMEM;
    }
    const char *text = buf_str(&why);
    if (err)
        fail(text && *text ? text : err_name(err), "");
    buf_free(&why);
    return err ? 1 : 0;
}

static void
stop_parts(struct serve *s)
{
    api_server_free(s->plane.api);
    throttle_free(s->plane.throttle);
    jobs_stop(s->plane.jobs);
    publisher_stop(s->plane.publisher);
    secrets_free(s->plane.secrets);
    for (size_t i = 0; i < 3; i++)
        if (s->signals[i])
            loop_signal_free(s->signals[i]);
    timer_cancel(&s->drain_timer);
    loop_free(s->loop);
    secret_wipe(s->plane.sign_secret, sizeof(s->plane.sign_secret));
}

/* ---- running --------------------------------------------------------------------------------- */

static void
on_drained(void *ctx)
{
    struct serve *s = ctx;
    loop_stop(s->loop);
}

static void
on_signal(void *ctx, int signo)
{
    struct serve *s = ctx;
    if (signo == SIGHUP) {
        api_server_reload(s->plane.api);
        atomic_store(&s->plane.reread_keys, true);
        publisher_kick(s->plane.publisher);
        return;
    }
    if (s->draining) { /* asked twice */
        loop_stop(s->loop);
        return;
    }
    s->draining = true;
    log_info("controlplane.draining", F_INT("ms", s->drain_ms));
    timer_set(&s->drain_timer, s->loop, s->drain_ms, on_drained, s);
    api_server_drain(s->plane.api, on_drained, s);
}

static int
run(struct serve *s)
{
    static const int signos[] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < 3; i++)
        s->signals[i] = loop_on_signal(s->loop, signos[i], on_signal, s);
    log_info("controlplane.started", F_STR("version", HEADGATE_VERSION),
             F_STR("admin", s->plane.config.admin_listen),
             F_INT("port", api_server_port(s->plane.api)));
    loop_run(s->loop);
    log_info("controlplane.stopped");
    return 0;
}

int
command_serve(int argc, char **argv)
{
    struct serve s = {.log_level = "info", .drain_ms = 5000};
    s.plane.config.admin_listen = "127.0.0.1:8081";
    s.plane.config.threads = 4;
    s.plane.config.wrong_per_minute = THROTTLE_PER_MINUTE;
    s.plane.config.anchor_s = 1;
    s.plane.config.secrets_refresh_s = 300;
    s.plane.started_ms = clock_mono_ms();
    int parsed = parse(&s, argc, argv);
    if (parsed)
        return parsed > 0 ? 0 : 2;
    if (check_options(&s) != 0)
        return 2;
    if (read_keys(&s) != 0)
        return 1;
    s.loop = loop_new();
    int code = 1;
    if (!s.loop)
        fail("no memory", "");
    else if (drop_privileges(&s) == 0 && make_state_dir(&s) == 0 && start_parts(&s) == 0)
        code = run(&s);
    stop_parts(&s);
    return code;
}
