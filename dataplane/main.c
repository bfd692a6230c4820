/*
 * headgate-dataplane: reads its command line, binds its sockets, gives up its privileges, and
 * becomes the supervisor of its workers.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "dataplane/supervisor.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/options.h"
#include "lib/base/rand.h"
#include "lib/base/secret.h"
#include "lib/net/listener.h"
#include "lib/net/tls.h"

/* --- the command line ------------------------------------------------------------------------- */

struct flags {
    const char *listen, *tls_listen, *tls_cert, *tls_key, *metrics_listen;
    const char *state_dir, *bus_ca, *bus_cert, *bus_key;
    struct option_list bus_pub, bus_req;
    const char *verify_key, *seal_key, *user, *log_level, *upstream_ca, *sync;
    long workers, spool_bytes, drain_ms;
    bool access_log;
    long body_bytes, upload_bytes, head_ms, body_idle_ms, keepalive_ms, write_stall_ms, connect_ms;
    long first_byte_ms, between_bytes_ms, total_ms, held_bytes, event_bytes, cache_bytes, requests;
    long client_drain_ms, client_drains;
};

#define MOST INT32_MAX
/* NOLINTBEGIN(bugprone-macro-parentheses): initialisers, not expressions */
#define TEXT(n, field, v, e, h)                                                                    \
    {                                                                                              \
        .name = n, .kind = OPTION_TEXT, .into = &f->field, .value = v, .env = e, .help = h         \
    }
#define LIST(n, field, v, e, h)                                                                    \
    {                                                                                              \
        .name = n, .kind = OPTION_LIST, .into = &f->field, .value = v, .env = e, .help = h         \
    }
#define NUMBER(n, field, v, lo, hi, h)                                                             \
    {                                                                                              \
        .name = n, .kind = OPTION_NUMBER, .into = &f->field, .value = v, .min = lo, .max = hi,     \
        .help = h                                                                                  \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

/* 0: go on; otherwise the exit code + 1. */
static int
parse(struct flags *f, int argc, char **argv)
{
    const struct option_row rows[] = {
        TEXT("listen", listen, "ADDR", "HEADGATE_LISTEN", "address for clients, in clear"),
        TEXT("tls-listen", tls_listen, "ADDR", NULL, "address for clients, with TLS"),
        TEXT("tls-cert", tls_cert, "FILE", NULL, "certificate chain (PEM)"),
        TEXT("tls-key", tls_key, "FILE", NULL, "its private key (PEM)"),
        TEXT("metrics-listen", metrics_listen, "ADDR", NULL, "address of the Prometheus metrics"),
        NUMBER("workers", workers, "N", 0, LIMIT_WORKERS, "worker processes; 0: one a core"),
        TEXT("state-dir", state_dir, "DIR", "HEADGATE_STATE_DIR", "spool and last good policy"),
        LIST("bus-pub", bus_pub, "URL", "HEADGATE_BUS_PUB", "where a control plane announces"),
        LIST("bus-req", bus_req, "URL", "HEADGATE_BUS_REQ", "where it answers requests"),
        TEXT("bus-ca", bus_ca, "FILE", NULL, "CA of the bus (tls+tcp)"),
        TEXT("bus-cert", bus_cert, "FILE", NULL, "our certificate on the bus"),
        TEXT("bus-key", bus_key, "FILE", NULL, "its private key"),
        TEXT("verify-key", verify_key, "FILE", NULL, "public key of the snapshots, in hex"),
        TEXT("seal-key", seal_key, "FILE", NULL,
             "keys that open sealed credentials (hex, one a line; read again when it changes), or "
             "env:NAME; without it HEADGATE_SEAL_KEY"),
        TEXT("user", user, "NAME", NULL, "give up root for this user once the sockets are bound"),
        TEXT("log-level", log_level, "LEVEL", "HEADGATE_LOG_LEVEL", "debug, info, warn or error"),
        {.name = "access-log",
         .kind = OPTION_FLAG,
         .into = &f->access_log,
         .help = "log every request, not only those that fail"},
        NUMBER("spool-bytes", spool_bytes, "N", 0, INT64_C(1) << 40,
               "disk a worker's usage records may take; 0: 1 GiB"),
        TEXT("sync", sync, "MODE", NULL, "when usage records reach the disk: group, always, none"),
        NUMBER("drain-ms", drain_ms, "N", 0, MOST, "time for streams to end after SIGTERM"),
        TEXT("upstream-ca", upstream_ca, "FILE", NULL, "trust these CAs instead of the system's"),
        NUMBER("limit-body-bytes", body_bytes, "N", 1, INT64_C(1) << 31, "of one request"),
        NUMBER("limit-upload-bytes", upload_bytes, "N", 1, INT64_C(1) << 40,
               "of a file, which is passed on and not held"),
        NUMBER("limit-head-ms", head_ms, "N", 1, MOST, "for a request's head to arrive"),
        NUMBER("limit-body-idle-ms", body_idle_ms, "N", 1, MOST, "without a byte of a body"),
        NUMBER("limit-keepalive-ms", keepalive_ms, "N", 1, MOST, "between requests"),
        NUMBER("limit-write-stall-ms", write_stall_ms, "N", 1, MOST,
               "for a client that reads nothing"),
        NUMBER("limit-connect-ms", connect_ms, "N", 1, MOST, "to connect to a provider"),
        NUMBER("limit-first-byte-ms", first_byte_ms, "N", 1, MOST, "to a provider's first byte"),
        NUMBER("limit-between-bytes-ms", between_bytes_ms, "N", 1, MOST, "of a provider's silence"),
        NUMBER("limit-total-ms", total_ms, "N", 1, MOST, "for one answer of a provider"),
        NUMBER("limit-held-bytes", held_bytes, "N", 1, INT64_C(1) << 40,
               "bodies and answers in a worker's memory"),
        NUMBER("limit-event-bytes", event_bytes, "N", 1024, INT64_C(1) << 30,
               "one event of a stream"),
        NUMBER("limit-cache-bytes", cache_bytes, "N", 0, INT64_C(1) << 36,
               "answers a worker keeps to give again; 0: none"),
        NUMBER("limit-requests", requests, "N", 1, 1000000, "in flight in one worker"),
        NUMBER("limit-client-drains", client_drains, "N", 0, 100000,
               "upstream calls that go on without their client"),
        NUMBER("limit-client-drain-ms", client_drain_ms, "N", 1, MOST, "how long one of them may"),
    };
    const struct options options = {
        .program = "headgate-dataplane",
        .summary = "The data plane: a supervisor and its workers. SIGTERM drains, SIGHUP reads the "
                   "certificate and the sealing keys again.",
        .arguments = "",
        .rows = rows,
        .count = sizeof(rows) / sizeof(rows[0]),
    };
    size_t args;
    int err = options_parse(&options, argc, argv, &args);
    return err == 0 ? 0 : err == 1 ? 1 : 3;
}

static struct flags
default_flags(void)
{
    const struct limits *l = &limits_default;
    const struct http_limits *h = &http_limits_default;
    return (struct flags){
        .state_dir = "/var/lib/headgate/dataplane",
        .log_level = "info",
        .sync = "group",
        .drain_ms = 30000,
        .body_bytes = (long)h->body_bytes,
        .upload_bytes = (long)l->upload_bytes,
        .head_ms = h->head_ms,
        .body_idle_ms = h->body_idle_ms,
        .keepalive_ms = h->keepalive_ms,
        .write_stall_ms = h->write_stall_ms,
        .connect_ms = h->connect_ms,
        .first_byte_ms = h->first_byte_ms,
        .between_bytes_ms = h->between_bytes_ms,
        .total_ms = h->total_ms,
        .held_bytes = (long)l->held_bytes,
        .event_bytes = (long)l->event_bytes,
        .cache_bytes = (long)l->cache_bytes,
        .requests = l->requests,
        .client_drains = l->drains,
        .client_drain_ms = l->drain_ms,
    };
}

/* --- errors ----------------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static bool
fault(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("headgate-dataplane: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return false;
}

/* --- settings --------------------------------------------------------------------------------- */

static bool
read_keys(const struct flags *f, struct worker_options *w)
{
    char why[KEYRING_WHY_BYTES];
    int err;
    w->keys.name = f->seal_key ? f->seal_key : keyring_default();
    if (!w->keys.name || !f->verify_key)
        return fault("--%s-key FILE is missing", w->keys.name ? "verify" : "seal");
    if (keyring_load(&w->keys, NULL, &w->ring, why) != 0)
        return fault("--seal-key %s: %s", w->keys.name, why);
    if ((err = file_key(f->verify_key, w->verify_key, sizeof(w->verify_key), false)) != 0)
        return fault("--verify-key %s: %s", f->verify_key,
                     err == ERR_SYNTAX ? "not 64 hexadecimal digits" : err_name(err));
    return true;
}

static bool
read_sync(const char *text, enum spool_sync *ret_sync)
{
    static const char *const names[] = {
        [SPOOL_SYNC_GROUP] = "group", [SPOOL_SYNC_ALWAYS] = "always", [SPOOL_SYNC_NONE] = "none"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(text, names[i]) == 0) {
            *ret_sync = (enum spool_sync)i;
            return true;
        }
    return fault("--sync must be group, always or none");
}

static void
read_limits(const struct flags *f, struct limits *l)
{
    *l = limits_default;
    l->http = http_limits_default;
    l->http.body_bytes = (uint64_t)f->body_bytes;
    l->upload_bytes = (uint64_t)f->upload_bytes;
    l->http.head_ms = (int)f->head_ms;
    l->http.body_idle_ms = (int)f->body_idle_ms;
    l->http.keepalive_ms = (int)f->keepalive_ms;
    l->http.write_stall_ms = (int)f->write_stall_ms;
    l->http.connect_ms = (int)f->connect_ms;
    l->http.first_byte_ms = (int)f->first_byte_ms;
    l->http.between_bytes_ms = (int)f->between_bytes_ms;
    l->http.total_ms = (int)f->total_ms;
    l->held_bytes = (uint64_t)f->held_bytes;
    l->event_bytes = (size_t)f->event_bytes;
    l->cache_bytes = (uint64_t)f->cache_bytes;
    l->requests = (unsigned)f->requests;
    l->drains = (unsigned)f->client_drains;
    l->drain_ms = (int)f->client_drain_ms;
}

/* All of the bus or none of it; all of its TLS or none of it. */
static bool
read_bus(const struct flags *f, struct worker_options *w, struct channel_tls *tls)
{
    const char *pub = f->bus_pub.text, *req = f->bus_req.text, *why = "no memory";
    int urls = (*pub != '\0') + (*req != '\0');
    int files = (f->bus_ca != NULL) + (f->bus_cert != NULL) + (f->bus_key != NULL);
    if (urls == 1)
        return fault("--bus-pub and --bus-req go together");
    if (files != 0 && files != 3)
        return fault("--bus-ca, --bus-cert and --bus-key go together");
    if (files) {
        *tls = (struct channel_tls){f->bus_ca, f->bus_cert, f->bus_key};
        w->bus_tls = tls;
    }
    if (!urls)
        return true;
    if (channel_check(pub, req, w->bus_tls, &why) != 0)
        return fault("--bus-pub %s, --bus-req %s: %s", pub, req, why);
    w->bus_pub = pub;
    w->bus_req = req;
    return true;
}

/* The workers read these files; what is wrong with them is said here, once, and not in a loop. */
static bool
check_tls(const struct flags *f)
{
    struct tls_server *server = NULL;
    struct tls_client *client = NULL;
    const char *why = NULL;
    if (f->tls_listen && (!f->tls_cert || !f->tls_key))
        return fault("--tls-listen needs --tls-cert FILE and --tls-key FILE");
    if (f->tls_listen && tls_server_new(f->tls_cert, f->tls_key, NULL, NULL, &server, &why))
        return fault("--tls-cert %s, --tls-key %s: %s", f->tls_cert, f->tls_key,
                     why ? why : "cannot be used");
    if (f->upstream_ca && tls_client_new(f->upstream_ca, NULL, NULL, NULL, &client, &why)) {
        tls_server_free(server);
        return fault("--upstream-ca %s: %s", f->upstream_ca, why ? why : "cannot be used");
    }
    tls_server_free(server);
    tls_client_free(client);
    return true;
}

static bool
read_settings(const struct flags *f, struct supervisor_options *o, struct channel_tls *tls)
{
    struct worker_options *w = &o->worker;
    enum log_level level;
    if (log_parse_level(f->log_level, &level))
        return fault("--log-level must be debug, info, warn or error");
    log_init("dataplane", level, 2);
    if (!f->listen && !f->tls_listen)
        return fault("--listen ADDR or --tls-listen ADDR is needed");
    if (strlen(f->state_dir) > 400)
        return fault("--state-dir is too long");
    w->tls_cert = f->tls_cert;
    w->tls_key = f->tls_key;
    w->upstream_ca = f->upstream_ca;
    w->state_dir = f->state_dir;
    w->drain_ms = (int)f->drain_ms;
    w->access_log = f->access_log;
    w->spool.bytes = (uint64_t)f->spool_bytes;
    read_limits(f, &w->limits);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    o->workers = (unsigned)(f->workers ? f->workers : cores > 0 ? cores : 1);
    if (o->workers > LIMIT_WORKERS)
        o->workers = LIMIT_WORKERS;
    w->workers = o->workers;
    return read_sync(f->sync, &w->spool.sync) && check_tls(f) && read_keys(f, w) &&
           read_bus(f, w, tls);
}

/* --- sockets ---------------------------------------------------------------------------------- */

/* One socket a slot, so that the kernel spreads connections; where it cannot, one for all. */
static bool
bind_all(const char *flag, const char *address, unsigned slots, int *fds)
{
    const char *why = NULL;
    char first[64];
    for (unsigned i = 0; i < slots; i++)
        fds[i] = -1;
    if (!address)
        return true;
    for (unsigned i = 0; i < slots; i++) {
        if (listener_bind(address, slots > 1, &fds[i], &why)) {
            if (i > 0) {
                fds[i] = fds[0];
                continue;
            }
            return fault("%s %s: %s%s%s", flag, address, why ? why : "cannot be bound",
                         errno ? ": " : "", errno ? strerror(errno) : "");
        }
        size_t host = strlen(address);
        while (host > 0 && address[host - 1] != ':')
            host--;
        if (i == 0 && strcmp(address + host, "0") == 0 && host < sizeof(first) - 8) {
            snprintf(first, sizeof(first), "%.*s%d", (int)host, address, listener_port(fds[0]));
            address = first; /* the others share the port that the first one got */
        }
    }
    log_info("supervisor.listen", F_STR("flag", flag), F_STR("address", address),
             F_INT("port", listener_port(fds[0])));
    return true;
}

static bool
bind_metrics(const char *address, int *ret_fd)
{
    const char *why = NULL;
    *ret_fd = -1;
    if (!address)
        return true;
    if (listener_bind(address, false, ret_fd, &why))
        return fault("--metrics-listen %s: %s", address, why ? why : strerror(errno));
    log_info("supervisor.listen", F_STR("flag", "--metrics-listen"),
             F_INT("port", listener_port(*ret_fd)));
    return true;
}

/* --- state ------------------------------------------------------------------------------------ */

/* Made once: the name under which this data plane is known to the control plane. */
static bool
read_node(const char *state_dir, char node[static 37])
{
    char path[512];
    struct buf text;
    unsigned char id[16];
    snprintf(path, sizeof(path), "%s/node.id", state_dir);
    buf_init(&text, 0);
    int err = file_read(path, 64, true, &text);
    if (err == ERR_NOT_FOUND) {
        uuid7(id);
        uuid_format(id, node);
        err = file_replace(path, slice_make(node, 36), 0600);
    } else if (!err) {
        struct slice s = slice_trim(buf_slice(&text));
        if (s.len > 36)
            s.len = 36;
        err = uuid_parse(s.at, s.len, id);
        if (!err)
            uuid_format(id, node);
    }
    buf_free(&text);
    return err == 0 || fault("%s: %s", path, err_name(err));
}

static bool
make_state(const char *dir, const struct passwd *user)
{
    char path[512];
    static const char *const names[] = {"", "/spool", "/policy"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s%s", dir, names[i]);
        if (file_make_dirs(path, 0700))
            return fault("--state-dir: cannot make %s: %s", path, strerror(errno));
        if (user && chown(path, user->pw_uid, user->pw_gid))
            return fault("--state-dir: cannot give %s to %s: %s", path, user->pw_name,
                         strerror(errno));
    }
    return true;
}

/* --- privileges ------------------------------------------------------------------------------- */

static void
raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool
give_up_root(const struct passwd *user)
{
    if (user &&
        (initgroups(user->pw_name, user->pw_gid) || setgid(user->pw_gid) || setuid(user->pw_uid)))
        return fault("--user %s: %s", user->pw_name, strerror(errno));
    if (user && user->pw_uid != 0 && setuid(0) == 0)
        return fault("--user %s: root could be had back", user->pw_name);
    return true;
}

/* No core files and no ptrace: credentials are in memory. No privileges by exec, ever. */
static bool
harden(void)
{
    struct rlimit none = {0, 0};
#ifndef __SANITIZE_ADDRESS__ /* whose leak check traces its own process */
    if (prctl(PR_SET_DUMPABLE, 0))
        return fault("cannot become undumpable: %s", strerror(errno));
#endif
    if (setrlimit(RLIMIT_CORE, &none) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return fault("cannot give up privileges: %s", strerror(errno));
    return true;
}

/* --- the title -------------------------------------------------------------------------------- */

static struct {
    char *at;
    size_t room;
} title;

/* The memory that ps reads: the arguments as the kernel laid them out, one after the other. */
static void
find_title(int argc, char **argv)
{
    char *end = argv[0];
    for (int i = 0; i < argc; i++)
        if (argv[i] == end)
            end = argv[i] + strlen(argv[i]) + 1;
    title.at = argv[0];
    title.room = (size_t)(end - argv[0]);
}

static void
name_worker(unsigned slot)
{
    char name[16];
    log_init("worker", log_threshold(), 2);
    snprintf(name, sizeof(name), "worker %u", slot);
    prctl(PR_SET_NAME, name);
    memset(title.at, 0, title.room);
    snprintf(title.at, title.room, "headgate-dataplane: worker %u", slot);
}

/* --- main ------------------------------------------------------------------------------------- */

static bool
prepare(const struct flags *f, struct supervisor_options *o, struct channel_tls *tls,
        char node[static 37])
{
    struct passwd *user = NULL;
    if (!read_settings(f, o, tls))
        return false;
    if (f->user && (user = getpwnam(f->user)) == NULL)
        return fault("--user %s: no such user", f->user);
    raise_descriptors();
    if (!bind_all("--listen", f->listen, o->workers, o->listen_fds) ||
        !bind_all("--tls-listen", f->tls_listen, o->workers, o->tls_listen_fds) ||
        !bind_metrics(f->metrics_listen, &o->metrics_fd))
        return false;
    if (!make_state(f->state_dir, user) || !give_up_root(user) || !harden() ||
        !read_node(f->state_dir, node))
        return false;
    o->worker.node = node;
    o->worker.supervisor = getpid();
    o->pages = metrics_pages_new(o->workers);
    return o->pages || fault("out of memory");
}

int
main(int argc, char **argv)
{
    static struct supervisor_options o;
    struct flags f = default_flags();
    static struct channel_tls tls; /* as long-lived as o, which points to it */
    static char node[37];          /* likewise */
    find_title(argc, argv);
    char *copy[128]; /* the options' texts must outlive the title that is written over them */
    if (argc >= 128) {
        fault("too many arguments");
        return 2;
    }
    for (int i = 0; i <= argc; i++)
        copy[i] = i < argc ? slice_dup(slice_of(argv[i])) : NULL;
    int code = parse(&f, argc, copy);
    if (code)
        return code - 1;
    signal(SIGPIPE, SIG_IGN);
    o.on_worker = name_worker;
    if (!prepare(&f, &o, &tls, node))
        return 2;
    code = supervisor_run(&o);
    keyring_wipe(&o.worker.ring);
    for (int i = 0; i < argc; i++)
        free(copy[i]);
    return code;
}
