#include "controlplane/cli/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/login_file.h"
#include "lib/base/buf.h"
#include "lib/base/secret.h"
#include "lib/http/client.h"
#include "lib/net/tls.h"

#define CALL_MS 60000
#define LIMIT_PAGE 1000 /* the API's largest */

/* --- which gateway ------------------------------------------------------------------------------
 */

static void
trim_slashes(char *url)
{
    size_t n = strlen(url);
    while (n > 0 && url[n - 1] == '/')
        url[--n] = '\0';
}

/* The token that `headgate login` left. url: whose it must be, or NULL. ERR_NOT_FOUND: none is
 * there; else CLI_OK, or CLI_FAILED with the error printed. */
static int
find_login(struct client *c, const char *dir, const char *url)
{
    char path[HOME_PATH_BYTES], wanted[CLIENT_URL_BYTES] = "";
    struct login l;
    int e = login_path(dir, path);
    if (!e)
        e = login_read(path, &l);
    if (e == ERR_NOT_FOUND)
        return e;
    if (url)
        snprintf(wanted, sizeof(wanted), "%s", url);
    trim_slashes(wanted);
    if (e == ERR_TIMEOUT)
        e = cli_fail("your sign-in ended at %s: headgate login again%s", l.expires,
                     dir ? ", or headgate logout to use the admin token" : "");
    else if (e)
        e = cli_fail("%s cannot be read (%s): remove it, and run headgate login", path,
                     err_name(e));
    else if (url && strcmp(wanted, l.url) != 0)
        e = ERR_NOT_FOUND; /* of another gateway */
    else {
        memcpy(c->url, l.url, sizeof(c->url));
        memcpy(c->token, l.token, sizeof(c->token));
    }
    secret_wipe(&l, sizeof(l));
    return e;
}

static int
open_login(struct client *c, const char *dir, const char *url)
{
    int e = find_login(c, dir, url);
    if (e == ERR_NOT_FOUND)
        e = cli_fail("HEADGATE_ADMIN_URL is set, but HEADGATE_ADMIN_TOKEN is not, and nobody is "
                     "logged in there: headgate login --url %s",
                     url);
    return e;
}

static int
open_environment(struct client *c)
{
    const char *url = getenv("HEADGATE_ADMIN_URL");
    const char *token = getenv("HEADGATE_ADMIN_TOKEN");
    if (url && *url && (!token || !*token))
        return open_login(c, NULL, url);
    if (!url || !*url)
        return cli_fail("no gateway: give --home DIR, or set HEADGATE_HOME, or HEADGATE_ADMIN_URL "
                        "and HEADGATE_ADMIN_TOKEN");
    if (strlen(url) >= sizeof(c->url) || strlen(token) >= sizeof(c->token))
        return cli_fail("HEADGATE_ADMIN_URL or HEADGATE_ADMIN_TOKEN is too long");
    snprintf(c->url, sizeof(c->url), "%s", url);
    snprintf(c->token, sizeof(c->token), "%s", token);
    return CLI_OK;
}

/* named: it was said where; else it is where a gateway would be, were there one. */
static int
open_home(struct client *c, const char *dir, bool named)
{
    struct home h;
    int e = home_open(&h, dir);
    if (e == ERR_NOT_FOUND && !named && (e = find_login(c, NULL, NULL)) != ERR_NOT_FOUND)
        return e;
    if (e == ERR_NOT_FOUND)
        return cli_fail("no gateway in %s: start one with `headgate up --home %s`", dir, dir);
    if (e != 0)
        return CLI_FAILED;
    e = find_login(c, dir, NULL);
    home_url(h.admin, c->url, sizeof(c->url));
    if (e != ERR_NOT_FOUND)
        return e;
    if (home_env_get(&h, "HEADGATE_ADMIN_TOKEN", c->token, sizeof(c->token)) != 0)
        return cli_fail("%s/env holds no HEADGATE_ADMIN_TOKEN: run `headgate up --home %s`", dir,
                        dir);
    return CLI_OK;
}

int
client_open(struct client *c, const struct cli *cli)
{
    char dir[HOME_PATH_BYTES];
    *c = (struct client){0};
    int e = home_find(cli->home, false, dir);
    if (e == ERR_NOT_FOUND)
        e = open_environment(c);
    else if (e != 0)
        return cli_fail("the gateway's directory cannot be found: %s", err_name(e));
    else
        e = open_home(c, dir, cli->home || getenv("HEADGATE_HOME"));
    trim_slashes(c->url);
    return e;
}

static int
open_url(struct client *c, const char *url, char ret_path[static HOME_PATH_BYTES])
{
    if (!url || !*url)
        return cli_fail("which gateway? headgate login --url URL, or --home DIR");
    if (strlen(url) >= sizeof(c->url) ||
        (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0))
        return cli_fail("--url: http(s)://HOST[:PORT] of the admin API");
    snprintf(c->url, sizeof(c->url), "%s", url);
    trim_slashes(c->url);
    return login_path(NULL, ret_path) == 0
               ? CLI_OK
               : cli_fail("there is no place to keep a sign-in: set HOME");
}

int
client_open_unsigned(struct client *c, const struct cli *cli, const char *url,
                     char ret_path[static HOME_PATH_BYTES])
{
    char dir[HOME_PATH_BYTES];
    struct home h;
    *c = (struct client){0};
    if (url)
        return open_url(c, url, ret_path);
    int e = home_find(cli->home, false, dir);
    if (e == ERR_NOT_FOUND)
        return open_url(c, getenv("HEADGATE_ADMIN_URL"), ret_path);
    if (e == 0)
        e = home_open(&h, dir);
    if (e == ERR_NOT_FOUND && !cli->home && !getenv("HEADGATE_HOME")) {
        struct login l; /* of an earlier one */
        e = login_path(NULL, ret_path);
        if (!e && ((e = login_read(ret_path, &l)) == 0 || e == ERR_TIMEOUT))
            e = open_url(c, l.url, ret_path);
        else
            e = open_url(c, NULL, ret_path);
        secret_wipe(&l, sizeof(l));
        return e;
    }
    if (e == ERR_NOT_FOUND)
        return cli_fail("no gateway in %s: start one with `headgate up --home %s`", dir, dir);
    if (e != 0 || login_path(dir, ret_path) != 0)
        return cli_fail("the gateway's directory cannot be read: %s", err_name(e));
    home_url(h.admin, c->url, sizeof(c->url));
    return CLI_OK;
}

void
client_open_local(struct client *c, const struct home *h, const char *token)
{
    *c = (struct client){0};
    home_url(h->admin, c->url, sizeof(c->url));
    snprintf(c->token, sizeof(c->token), "%s", token);
}

void
client_close(struct client *c)
{
    secret_wipe(c->token, sizeof(c->token));
    *c = (struct client){0};
}

/* --- paths -------------------------------------------------------------------------------------
 */

int
client_escape(struct buf *into, struct slice text)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    int e = 0;
    for (size_t i = 0; i < text.len && e == 0; i++) {
        unsigned char b = (unsigned char)text.at[i];
        e = b && strchr(plain, b) ? buf_add(into, &text.at[i], 1) : buf_addf(into, "%%%02X", b);
    }
    return e;
}

bool
client_path(char *ret_path, size_t bytes, const char *kind, const char *name)
{
    struct buf b;
    buf_init(&b, bytes - 1);
    bool fits = buf_addf(&b, "/api/v1/%s/", kind) == 0 && client_escape(&b, slice_of(name)) == 0;
    if (fits)
        snprintf(ret_path, bytes, "%.*s", SLICE_ARG(buf_slice(&b)));
    buf_free(&b);
    return fits;
}

int
client_query(struct buf *into, const char *path, const struct client_filter *filters, size_t count)
{
    char separator = '?';
    int err = buf_add_str(into, path);
    for (size_t i = 0; i < count && err == 0; i++) {
        if (!filters[i].value)
            continue;
        err = buf_addf(into, "%c%s=", separator, filters[i].name);
        if (err == 0)
            err = client_escape(into, slice_of(filters[i].value));
        separator = '&';
    }
    return err;
}

/* --- calls -------------------------------------------------------------------------------------
 */

static struct slice
put_fields(const struct client_call *call, struct http_field fields[static 4], size_t *ret_count,
           char *auth, size_t auth_bytes, const char *token)
{
    size_t n = 0;
    snprintf(auth, auth_bytes, "Bearer %s", token);
    if (*token)
        fields[n++] = (struct http_field){SLICE("authorization"), slice_of(auth), true};
    fields[n++] = (struct http_field){SLICE("accept"), SLICE("application/json"), false};
    if (call->body)
        fields[n++] = (struct http_field){SLICE("content-type"), SLICE("application/json"), false};
    if (call->if_match)
        fields[n++] = (struct http_field){SLICE("if-match"), slice_of(call->if_match), false};
    *ret_count = n;
    return slice_of(call->method);
}

static struct tls_client *
tls_of(const struct client *c, char *why, size_t why_bytes, int *ret_err)
{
    static const char *const alpn[] = {"http/1.1", NULL};
    struct tls_client *tls = NULL;
    const char *problem = "";
    *ret_err = 0;
    if (strncmp(c->url, "https:", 6) != 0)
        return NULL;
    *ret_err = tls_client_new(getenv("HEADGATE_ADMIN_CA"), NULL, NULL, alpn, &tls, &problem);
    if (*ret_err != 0)
        snprintf(why, why_bytes, "no TLS to %s: %s", c->url, problem);
    return tls;
}

/* Why no answer came, and what to do. */
static void
explain(const struct client *c, int e, const char *problem, char *why, size_t why_bytes)
{
    if (e == ERR_CONNECT || e == ERR_RESET || e == ERR_CLOSED)
        snprintf(why, why_bytes,
                 "the control plane at %s does not answer (%s): is it running? See `headgate "
                 "status`",
                 c->url, problem && *problem ? problem : err_name(e));
    else
        snprintf(why, why_bytes, "no answer from %s: %s (%s)", c->url,
                 problem && *problem ? problem : err_name(e), err_name(e));
}

static int
take_answer(struct http_answer *http, struct client_answer *ret_answer, char *why, size_t why_bytes)
{
    char problem[200];
    ret_answer->status = http->status;
    if (http->body.len == 0)
        return 0;
    int e = json_parse(buf_slice(&http->body), &ret_answer->body, problem, sizeof(problem));
    if (e != 0)
        snprintf(why, why_bytes, "the answer (status %d) is not JSON: is this the admin API?",
                 http->status);
    return e;
}

static int
fetch(const struct client *c, const struct client_call *call, struct slice body,
      struct http_answer *ret_http, char *why, size_t why_bytes)
{
    char auth[CLIENT_TOKEN_BYTES + 16], url[CLIENT_URL_BYTES + 4096];
    struct http_field fields[4];
    size_t count;
    const char *problem = NULL;
    int e;
    struct tls_client *tls = tls_of(c, why, why_bytes, &e);
    if (e != 0)
        return e;
    int n = snprintf(url, sizeof(url), "%s%s", c->url, call->path);
    if (n < 0 || (size_t)n >= sizeof(url)) {
        snprintf(why, why_bytes, "the address is too long");
        e = ERR_LIMIT;
    } else {
        struct slice method = put_fields(call, fields, &count, auth, sizeof(auth), c->token);
        e = http_fetch(tls, method, slice_of(url), fields, count, body, true,
                       call->total_ms ? call->total_ms : CALL_MS, ret_http, &problem);
        if (e != 0)
            explain(c, e, problem, why, why_bytes);
    }
    secret_wipe(auth, sizeof(auth));
    tls_client_free(tls);
    return e;
}

int
client_call(const struct client *c, const struct client_call *call,
            struct client_answer *ret_answer, char *why, size_t why_bytes)
{
    struct http_answer http = {0};
    struct buf body;
    *ret_answer = (struct client_answer){0};
    buf_init(&body, 0);
    int e = call->body ? json_write(call->body, false, 0, &body) : 0;
    if (e != 0)
        snprintf(why, why_bytes, "out of memory");
    else
        e = fetch(c, call, buf_slice(&body), &http, why, why_bytes);
    buf_wipe(&body);
    if (e != 0)
        return e;
    if (call->text && http.status / 100 == 2) {
        ret_answer->status = http.status;
        e = buf_add_slice(call->text, buf_slice(&http.body));
    } else {
        e = take_answer(&http, ret_answer, why, why_bytes);
    }
    buf_wipe(&http.body);
    http_answer_free(&http);
    return e;
}

void
client_answer_free(struct client_answer *a)
{
    json_free(a->body);
    *a = (struct client_answer){0};
}

/* Text from the server is cleaned: it may quote what somebody else wrote. */
int
client_complain(const struct client_answer *a)
{
    struct slice detail = json_str(json_get(a->body, "detail"));
    struct slice code = json_str(json_get(a->body, "code"));
    char *text = cli_clean(detail.at ? detail : SLICE("the control plane gave no reason"));
    char *word = cli_clean(code.at ? code : SLICE("error"));
    cli_fail("%s (%d %s)", text ? text : "", a->status, word ? word : "");
    free(text);
    free(word);
    return CLI_FAILED;
}

int
client_do(const struct client *c, const struct client_call *call, struct json **ret_body)
{
    struct client_answer answer;
    char why[CLIENT_URL_BYTES + 300];
    if (ret_body)
        *ret_body = NULL;
    if (client_call(c, call, &answer, why, sizeof(why)) != 0)
        return cli_fail("%s", why);
    int e = answer.status / 100 == 2 ? CLI_OK : client_complain(&answer);
    if (e == CLI_OK && ret_body) {
        *ret_body = answer.body;
        answer.body = NULL;
    }
    client_answer_free(&answer);
    return e;
}

/* --- collections -------------------------------------------------------------------------------
 */

static int
page_path(char *path, size_t bytes, const char *base, size_t left, struct slice cursor)
{
    struct buf b;
    buf_init(&b, bytes - 1);
    size_t limit = left && left < LIMIT_PAGE ? left : LIMIT_PAGE;
    int e = buf_addf(&b, "%s%climit=%zu", base, strchr(base, '?') ? '&' : '?', limit);
    if (e == 0 && cursor.len && (e = buf_add_str(&b, "&cursor=")) == 0)
        e = client_escape(&b, cursor);
    if (e == 0)
        snprintf(path, bytes, "%.*s", SLICE_ARG(buf_slice(&b)));
    buf_free(&b);
    return e;
}

/* Moves the items of a page to the end of `all`. */
static int
add_page(struct json *all, const struct json *page)
{
    const struct json *from = json_get(page, "data");
    struct json *into = json_get(all, "data");
    int e = json_kind(from) == JSON_LIST ? 0 : ERR_SYNTAX;
    for (size_t i = 0; i < json_size(from) && e == 0; i++)
        e = json_append(into, json_ref(json_at(from, i)));
    struct slice cursor = json_str(json_get(page, "next"));
    if (e == 0)
        e = json_set(all, "next", cursor.at ? json_new_text(cursor) : json_new_null());
    return e;
}

static int
fetch_page(const struct client *c, const char *base, size_t limit, struct json *all)
{
    char path[3000];
    struct json *page = NULL;
    size_t have = json_size(json_get(all, "data"));
    if (page_path(path, sizeof(path), base, limit ? limit - have : 0,
                  json_str(json_get(all, "next"))) != 0)
        return cli_fail("the filter is too long");
    struct client_call call = {.method = "GET", .path = path};
    int e = client_do(c, &call, &page);
    if (e == CLI_OK && add_page(all, page) != 0)
        e = cli_fail("the control plane's answer holds no list");
    json_free(page);
    return e;
}

int
client_list(const struct client *c, const char *path, size_t limit, struct json **ret_page)
{
    struct json *all = json_new_map();
    *ret_page = NULL;
    if (!all || json_set(all, "data", json_new_list()) != 0) {
        json_free(all);
        return cli_fail("out of memory");
    }
    int e;
    do
        e = fetch_page(c, path, limit, all);
    while (e == CLI_OK && json_str(json_get(all, "next")).at &&
           (limit == 0 || json_size(json_get(all, "data")) < limit));
    if (e != CLI_OK) {
        json_free(all);
        return e;
    }
    *ret_page = all;
    return CLI_OK;
}

int
client_probe(const char *url, const char *token, int total_ms)
{
    struct http_answer http = {0};
    char auth[CLIENT_TOKEN_BYTES + 16];
    const char *problem = NULL;
    snprintf(auth, sizeof(auth), "Bearer %s", token ? token : "");
    struct http_field field = {SLICE("authorization"), slice_of(auth), true};
    int e = http_fetch(NULL, SLICE("GET"), slice_of(url), &field, token ? 1 : 0, (struct slice){0},
                       true, total_ms, &http, &problem);
    int status = e == 0 ? http.status : e;
    if (e == 0)
        http_answer_free(&http);
    secret_wipe(auth, sizeof(auth));
    return status;
}
