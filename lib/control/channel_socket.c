#include "lib/control/channel_socket.h"

#include <limits.h>
#include <nng/supplemental/tls/tls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"

#define RECONNECT_MIN_MS 50
#define RECONNECT_MAX_MS 2000 /* each wait is uniform below a bound that doubles up to here */
#define LIMIT_PEM_BYTES ((size_t)256 << 10)

int
channel_socket_err(int nng_code)
{
    switch (nng_code) {
    case 0:
        return 0;
    case NNG_ENOMEM:
        return ERR_NOMEM;
    case NNG_ETIMEDOUT:
        return ERR_TIMEOUT;
    case NNG_EMSGSIZE:
        return ERR_LIMIT;
    case NNG_ECANCELED:
        return ERR_CANCELLED;
    default:
        return ERR_IO;
    }
}

/* --- URLs ------------------------------------------------------------------------------------ */

/* The host of "scheme://host:port", without brackets. */
static struct slice
host_of(const char *url)
{
    struct slice rest = slice_of(strstr(url, "://") + 3);
    size_t colon = rest.len;

    while (colon > 0 && rest.at[colon - 1] != ':')
        colon--;
    rest.len = colon ? colon - 1 : rest.len;
    if (rest.len >= 2 && rest.at[0] == '[' && rest.at[rest.len - 1] == ']')
        return slice_make(rest.at + 1, rest.len - 2);
    return rest;
}

static bool
is_loopback(const char *url)
{
    struct slice host = host_of(url);

    return slice_is(host, "localhost") || slice_is(host, "::1") ||
           slice_starts(host, SLICE("127."));
}

static bool
is_ipc(const char *url)
{
    return strncmp(url, "ipc:///", 7) == 0;
}

static bool
is_tls(const char *url)
{
    return strncmp(url, "tls+tcp://", 10) == 0;
}

int
channel_socket_check(const char *url, const struct channel_tls *tls, const char **ret_why)
{
    bool has_tls = tls && tls->ca_file && tls->cert_file && tls->key_file;

    *ret_why = NULL;
    if (is_ipc(url))
        return 0;
    if (strncmp(url, "tcp://", 6) == 0) {
        if (!is_loopback(url))
            *ret_why = "plain tcp:// is for loopback addresses only: use tls+tcp://";
    } else if (!is_tls(url)) {
        *ret_why = "the URL must begin with ipc:///, tls+tcp:// or tcp://127.";
    } else if (!has_tls) {
        *ret_why = "tls+tcp:// needs a CA, a certificate and a key";
    }
    return *ret_why ? ERR_SYNTAX : 0;
}

/* --- who may be at the other end ------------------------------------------------------------- */

/* On one host: ourselves, root, and whoever owns the folder the socket lies in. */
static bool
is_trusted_uid(const char *url, uint64_t uid)
{
    char dir[PATH_MAX];
    struct stat st;
    char *slash;

    if (uid == 0 || uid == geteuid())
        return true;
    if ((size_t)snprintf(dir, sizeof(dir), "%s", url + strlen("ipc://")) >= sizeof(dir))
        return false;
    slash = strrchr(dir, '/');
    slash[slash == dir] = '\0';
    return stat(dir, &st) == 0 && st.st_uid == uid;
}

/* From a thread of nng's, before the pipe is used. url lives as long as the socket's owner. */
static void
check_peer(nng_pipe pipe, nng_pipe_ev event, void *url)
{
    uint64_t uid;

    (void)event;
    if (nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &uid) == 0 && !is_trusted_uid(url, uid))
        nng_pipe_close(pipe);
}

int
channel_socket_prepare(nng_socket s, const char *url)
{
    int code = nng_socket_set_size(s, NNG_OPT_RECVMAXSZ, LIMIT_BUS_MESSAGE_BYTES);

    if (!code)
        code = nng_socket_set_ms(s, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
    if (!code)
        code = nng_socket_set_ms(s, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
    if (!code && is_ipc(url))
        code = nng_pipe_notify(s, NNG_PIPE_EV_ADD_PRE, check_peer, (void *)(uintptr_t)url);
    return code ? ERR_NOMEM : 0;
}

/* --- TLS ----------------------------------------------------------------------------------- */

/* nng wants PEM text, terminated. */
static int
load_pem(nng_tls_config *c, const struct channel_tls *tls)
{
    struct buf ca, cert, key;
    int err;

    buf_init(&ca, 0);
    buf_init(&cert, 0);
    buf_init(&key, 0);
    err = file_read(tls->ca_file, LIMIT_PEM_BYTES, false, &ca);
    if (!err)
        err = file_read(tls->cert_file, LIMIT_PEM_BYTES, false, &cert);
    if (!err)
        err = file_read(tls->key_file, LIMIT_PEM_BYTES, false, &key);
    if (!err && (!buf_str(&ca) || !buf_str(&cert) || !buf_str(&key)))
        err = ERR_NOMEM;
    if (!err && (nng_tls_config_ca_chain(c, buf_str(&ca), NULL) != 0 ||
                 nng_tls_config_own_cert(c, buf_str(&cert), buf_str(&key), NULL) != 0))
        err = ERR_TLS;
    buf_free(&ca);
    buf_free(&cert);
    buf_wipe(&key);
    return err;
}

static int
make_tls(const char *url, const struct channel_tls *tls, nng_tls_mode mode, nng_tls_config **ret)
{
    char host[256];
    int err = nng_tls_config_alloc(ret, mode) == 0 ? 0 : ERR_NOMEM;

    if (err)
        return err;
    snprintf(host, sizeof(host), "%.*s", SLICE_ARG(host_of(url)));
    err = load_pem(*ret, tls);
    if (!err && nng_tls_config_auth_mode(*ret, NNG_TLS_AUTH_MODE_REQUIRED) != 0)
        err = ERR_TLS;
    if (!err && mode == NNG_TLS_MODE_CLIENT && nng_tls_config_server_name(*ret, host) != 0)
        err = ERR_TLS;
    if (err)
        nng_tls_config_free(*ret);
    return err;
}

/* --- starting -------------------------------------------------------------------------------- */

static int
explain(int code, const char **ret_why)
{
    *ret_why = nng_strerror(code);
    return code == NNG_EADDRINVAL ? ERR_SYNTAX : channel_socket_err(code);
}

int
channel_socket_listen(nng_socket s, const char *url, const struct channel_tls *tls,
                      const char **ret_why)
{
    nng_tls_config *config = NULL;
    nng_listener l;
    int err = channel_socket_check(url, tls, ret_why);
    int code;

    if (err)
        return err;
    if ((code = nng_listener_create(&l, s, url)) != 0)
        return explain(code, ret_why);
    if (is_tls(url)) {
        err = make_tls(url, tls, NNG_TLS_MODE_SERVER, &config);
        if (err) {
            *ret_why = "the CA, the certificate or the key cannot be used";
            return err;
        }
        code = nng_listener_set_ptr(l, NNG_OPT_TLS_CONFIG, config);
        nng_tls_config_free(config);
    } else if (is_ipc(url)) {
        /* peers are told by their uid, see check_peer() */
        code = nng_listener_set_int(l, NNG_OPT_IPC_PERMISSIONS, 0666);
    }
    if (!code)
        code = nng_listener_start(l, 0);
    return code ? explain(code, ret_why) : 0;
}

/* With the configuration that d has. */
static int
start_dialer(nng_socket s, const char *url, struct channel_dialer *d)
{
    int code = nng_dialer_create(&d->dialer, s, url);

    if (code)
        return code;
    if (d->config)
        code = nng_dialer_set_ptr(d->dialer, NNG_OPT_TLS_CONFIG, d->config);
    if (!code)
        code = nng_dialer_start(d->dialer, NNG_FLAG_NONBLOCK);
    d->started = !code;
    if (code)
        (void)nng_dialer_close(d->dialer);
    return code;
}

int
channel_socket_dial(nng_socket s, const char *url, const struct channel_tls *tls,
                    struct channel_dialer *d, const char **ret_why)
{
    int err = channel_socket_check(url, tls, ret_why);
    int code;

    if (!err && is_tls(url) && (err = make_tls(url, tls, NNG_TLS_MODE_CLIENT, &d->config)) != 0) {
        d->config = NULL;
        *ret_why = "the CA, the certificate or the key cannot be used";
    }
    if (err)
        return err;
    code = start_dialer(s, url, d);
    return code ? explain(code, ret_why) : 0;
}

int
channel_socket_redial(nng_socket s, const char *url, struct channel_dialer *d)
{
    if (d->started)
        (void)nng_dialer_close(d->dialer);
    d->started = false;
    return channel_socket_err(start_dialer(s, url, d));
}

void
channel_socket_undial(struct channel_dialer *d)
{
    if (d->config)
        nng_tls_config_free(d->config);
}
