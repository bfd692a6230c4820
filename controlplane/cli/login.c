/*
 * headgate login: through the browser and an identity provider to a token of limited life (RFC
 * 8252: the answer comes to a listener on loopback; RFC 7636 binds it to this very process);
 * headgate logout. The browser must be on this machine.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/login_file.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/hash.h"
#include "lib/base/rand.h"
#include "lib/base/secret.h"

#define RANDOM_BYTES 43 /* 256 bits, base64url */
#define LIMIT_REQUEST_BYTES 4096
#define WAIT_MS 300000
#define REQUEST_MS 5000

static void
make_random(char ret_text[static RANDOM_BYTES + 1])
{
    unsigned char bytes[32];
    rand_bytes(bytes, sizeof(bytes));
    base64url_encode(bytes, sizeof(bytes), ret_text);
}

/* --- the listener ------------------------------------------------------------------------------
 */

static int
open_listener(int *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 8) == 0 &&
        getsockname(fd, (struct sockaddr *)&at, &n) == 0) {
        *ret_port = ntohs(at.sin_port);
        return fd;
    }
    close(fd);
    return -1;
}

static bool
wait_readable(int fd, int64_t until_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    for (;;) {
        int64_t left = until_ms - clock_mono_ms();
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (n >= 0 || errno != EINTR)
            return n > 0;
    }
}

/* The request's head, or as much of it as came: its first line matters. */
static struct slice
read_head(int fd, char *into)
{
    size_t len = 0;
    int64_t until_ms = clock_mono_ms() + REQUEST_MS;
    while (len < LIMIT_REQUEST_BYTES && wait_readable(fd, until_ms)) {
        ssize_t n = read(fd, into + len, LIMIT_REQUEST_BYTES - len);
        if (n <= 0)
            break;
        len += (size_t)n;
        if (len >= 4 && memcmp(into + len - 4, "\r\n\r\n", 4) == 0)
            break;
    }
    return slice_make(into, len);
}

static void
answer(int fd, const char *status, const char *text)
{
    char page[512], whole[1024];
    snprintf(page, sizeof(page),
             "<!doctype html><meta charset=\"utf-8\"><title>Headgate</title><p>%s</p>\n", text);
    int n = snprintf(whole, sizeof(whole),
                     "HTTP/1.1 %s\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: "
                     "%zu\r\nconnection: close\r\ncache-control: no-store\r\nreferrer-policy: "
                     "no-referrer\r\n\r\n%s",
                     status, strlen(page), page);
    if (n > 0 && write(fd, whole, (size_t)n) < 0)
        return; /* the browser has gone: we have what we wanted */
}

/* "code=A&state=B" of "GET /?code=A&state=B HTTP/1.1" when the state is ours. */
static bool
take_code(struct slice head, const char *state, char ret_code[static RANDOM_BYTES + 1])
{
    struct slice rest = head, code = slice_none(), given = slice_none();
    struct slice line = slice_cut(&rest, '\r');
    struct slice method = slice_cut(&line, ' '), target = slice_cut(&line, ' ');
    if (!slice_is(method, "GET") || !slice_is(slice_cut(&target, '?'), "/"))
        return false;
    while (target.len > 0) {
        struct slice value = slice_cut(&target, '&');
        struct slice name = slice_cut(&value, '=');
        if (slice_is(name, "code"))
            code = value;
        else if (slice_is(name, "state"))
            given = value;
    }
    if (code.len != RANDOM_BYTES || given.len != RANDOM_BYTES ||
        !secret_equal(given.at, state, RANDOM_BYTES))
        return false;
    snprintf(ret_code, RANDOM_BYTES + 1, "%.*s", SLICE_ARG(code));
    return true;
}

static int
wait_for_code(int listener, const char *state, char ret_code[static RANDOM_BYTES + 1])
{
    char head[LIMIT_REQUEST_BYTES];
    int64_t until_ms = clock_mono_ms() + WAIT_MS;
    while (wait_readable(listener, until_ms)) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        bool ours = take_code(read_head(fd, head), state, ret_code);
        answer(fd, ours ? "200 OK" : "404 Not Found",
               ours ? "The command line is signed in. You can close this window."
                    : "There is nothing here.");
        close(fd);
        secret_wipe(head, sizeof(head));
        if (ours)
            return CLI_OK;
    }
    return cli_fail("nobody signed in within five minutes");
}

/* --- login -------------------------------------------------------------------------------------
 */

struct attempt {
    char verifier[RANDOM_BYTES + 1], state[RANDOM_BYTES + 1], code[RANDOM_BYTES + 1];
    int listener, port;
};

static int
print_address(const struct client *client, const struct attempt *a, const char *issuer)
{
    unsigned char digest[SHA256_BYTES];
    char challenge[RANDOM_BYTES + 1];
    struct buf url;
    buf_init(&url, 0);
    hash_sha256(a->verifier, RANDOM_BYTES, digest);
    base64url_encode(digest, sizeof(digest), challenge);
    int e = buf_addf(&url, "%s/auth/login?cli_port=%d&cli_challenge=%s&cli_state=%s", client->url,
                     a->port, challenge, a->state);
    if (!e && issuer)
        e = buf_add_str(&url, "&issuer=");
    if (!e && issuer)
        e = client_escape(&url, slice_of(issuer));
    const char *text = e ? NULL : buf_str(&url);
    if (text)
        fprintf(stderr, "Open this address in a browser on this machine:\n\n  %s\n\n", text);
    buf_free(&url);
    return text ? CLI_OK : cli_fail("out of memory");
}

static int
redeem(const struct client *client, const struct attempt *a, struct json **ret_answer)
{
    struct json *body = json_new_map();
    struct client_call call = {.method = "POST", .path = "/auth/token", .body = body};
    int e = body && json_set_str(body, "code", a->code) == 0 &&
                    json_set_str(body, "code_verifier", a->verifier) == 0
                ? client_do(client, &call, ret_answer)
                : cli_fail("out of memory");
    json_free(body);
    return e;
}

static int
keep(const struct client *client, const char *path, const struct json *answer)
{
    struct login l;
    snprintf(l.url, sizeof(l.url), "%s", client->url);
    snprintf(l.token, sizeof(l.token), "%.*s", SLICE_ARG(json_str(json_get(answer, "token"))));
    snprintf(l.user, sizeof(l.user), "%.*s", SLICE_ARG(json_str(json_get(answer, "user"))));
    snprintf(l.expires, sizeof(l.expires), "%.*s",
             SLICE_ARG(json_str(json_get(answer, "expires"))));
    int e = login_write(path, &l);
    secret_wipe(&l, sizeof(l));
    return e ? cli_fail("%s cannot be written: %s", path, err_name(e)) : CLI_OK;
}

static int
sign_in(const struct client *client, const char *issuer, struct json **ret_answer)
{
    struct attempt a = {.listener = -1};
    make_random(a.verifier);
    make_random(a.state);
    a.listener = open_listener(&a.port);
    int e = a.listener < 0 ? cli_fail("no port of this machine is free to listen on")
                           : print_address(client, &a, issuer);
    if (e == CLI_OK)
        e = wait_for_code(a.listener, a.state, a.code);
    if (e == CLI_OK)
        e = redeem(client, &a, ret_answer);
    if (a.listener >= 0)
        close(a.listener);
    secret_wipe(&a, sizeof(a));
    return e;
}

static int
print_login(const struct cli *c, struct json *answer)
{
    if (c->json) {
        (void)json_remove(answer, "token");
        return cli_print_json(answer);
    }
    printf("signed in as %.*s until %.*s\n", SLICE_ARG(json_str(json_get(answer, "user"))),
           SLICE_ARG(json_str(json_get(answer, "expires"))));
    return CLI_OK;
}

int
login_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *answer = NULL;
    char path[HOME_PATH_BYTES];
    const char *issuer = NULL, *url = NULL;
    const struct option_row rows[] = {
        {.name = "issuer",
         .into = &issuer,
         .value = "NAME",
         .help = "one of sign_ins; without it: the only one, or the browser asks"},
        {.name = "url",
         .into = &url,
         .value = "URL",
         .help = "a gateway elsewhere: the address of its admin API"},
    };
    int e = cli_begin(&c, command, rows, 2, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = client_open_unsigned(&client, &c, url, path);
    if (e == CLI_OK)
        e = sign_in(&client, issuer, &answer);
    if (e == CLI_OK)
        e = keep(&client, path, answer);
    if (e == CLI_OK)
        e = print_login(&c, answer);
    json_free(answer);
    client_close(&client);
    return e;
}

/* --- logout ------------------------------------------------------------------------------------
 */

int
logout_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct login l;
    char path[HOME_PATH_BYTES];
    struct client_call call = {.method = "POST", .path = "/auth/logout"};
    int e = cli_begin(&c, command, NULL, 0, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = client_open_unsigned(&client, &c, NULL, path);
    if (e != CLI_OK)
        return e;
    int read = login_read(path, &l);
    if (read == ERR_NOT_FOUND) {
        client_close(&client);
        return cli_fail("nobody is logged in");
    }
    snprintf(client.url, sizeof(client.url), "%s", l.url);
    snprintf(client.token, sizeof(client.token), "%s", l.token);
    if (read == 0 && client_do(&client, &call, NULL) != CLI_OK)
        cli_note("the session could not be ended there: it is over by itself at %s", l.expires);
    e = login_remove(path) == 0 ? CLI_OK : cli_fail("%s cannot be removed", path);
    if (e == CLI_OK)
        printf("%s", c.json ? "{\"signed_out\": true}\n" : "signed out\n");
    secret_wipe(&l, sizeof(l));
    client_close(&client);
    return e;
}
