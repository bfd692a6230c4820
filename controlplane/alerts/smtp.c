/* See smtp.h. */
#include "controlplane/alerts/smtp.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/net/dns.h"

struct sending {
    struct ask *ask;
    struct slice left; /* of the message */
    bool guarded;      /* an address was refused */
    struct smtp_replies *replies;
    int asked; /* how many receivers were named */
    bool open; /* the last of them was not answered yet */
};

/* The status that a reply ends with; 0: it goes on, or is none. RFC 5321, 4.2.1. */
static int
smtp_status(struct slice line)
{
    int status = 0;
    for (size_t i = 0; i < 3; i++) {
        if (i >= line.len || line.at[i] < '0' || line.at[i] > '9')
            return 0;
        status = status * 10 + (line.at[i] - '0');
    }
    return line.len > 3 && line.at[3] == '-' ? 0 : status;
}

static size_t
on_read(char *into, size_t size, size_t count, void *ctx)
{
    struct sending *s = ctx;
    size_t n = s->left.len < size * count ? s->left.len : size * count;
    memcpy(into, s->left.at, n);
    s->left = slice_from(s->left, n);
    return n;
}

/* libcurl tells only the last reply of all. It names one receiver after another and waits for each
 * answer, so the lines that pass tell whose it is. What goes out holds the password: nothing of it
 * is kept. */
static int
on_line(CURL *c, curl_infotype type, char *data, size_t size, void *ctx)
{
    struct sending *s = ctx;
    struct slice line = {data, size};
    (void)c;
    if (type == CURLINFO_HEADER_OUT && slice_starts(line, SLICE("RCPT TO:"))) {
        s->open = s->asked < LIMIT_ALERT_RECEIVERS;
        s->asked += s->open;
    } else if (type == CURLINFO_HEADER_IN && s->open) {
        int status = smtp_status(line);
        if (status)
            s->replies->at[s->asked - 1] = status;
        s->open = status == 0;
    }
    return 0;
}

static int
watch(CURL *c, struct sending *s)
{
    CURLcode e = curl_easy_setopt(c, CURLOPT_VERBOSE, 1L);
    if (!e)
        e = curl_easy_setopt(c, CURLOPT_DEBUGFUNCTION, on_line);
    if (!e)
        e = curl_easy_setopt(c, CURLOPT_DEBUGDATA, s);
    if (!e) /* one refused receiver is not all of them */
        e = curl_easy_setopt(c, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
    return e ? ERR_NOMEM : 0;
}

/* The address that will really be connected to. */
static curl_socket_t
on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct sending *s = ctx;
    (void)purpose;
    if (!s->ask->allow_private && address_is_private(&address->addr)) {
        s->guarded = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int
set_address(CURL *c, const struct smtp_call *call)
{
    char url[400];
    bool v6 = slice_find(call->host, ':', 0) < call->host.len;
    snprintf(url, sizeof(url), "%s://%s%.*s%s:%d", call->tls == SMTP_IMPLICIT ? "smtps" : "smtp",
             v6 ? "[" : "", SLICE_ARG(call->host), v6 ? "]" : "", call->port);
    CURLcode e = curl_easy_setopt(c, CURLOPT_URL, url);
    if (!e)
        e = curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    if (!e)
        e = curl_easy_setopt(c, CURLOPT_PROXY, "");
    if (!e)
        e = curl_easy_setopt(c, CURLOPT_USE_SSL,
                             (long)(call->tls == SMTP_CLEAR ? CURLUSESSL_NONE : CURLUSESSL_ALL));
    if (!e)
        e = curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    const char *roots = getenv("SSL_CERT_FILE"); /* as OpenSSL's own defaults have it */
    if (!e && roots && *roots)
        e = curl_easy_setopt(c, CURLOPT_CAINFO, roots);
    return e ? ERR_NOMEM : 0;
}

static int
set_limits(CURL *c, struct sending *s)
{
    CURLcode e = curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    if (!e)
        e = curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)s->ask->total_ms);
    if (!e)
        e = curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)s->ask->total_ms / 2);
    if (!e)
        e = curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    if (!e)
        e = curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, s);
    return e ? ERR_NOMEM : 0;
}

/* libcurl takes terminated texts and copies them. */
static CURLcode
set_text(CURL *c, CURLoption option, struct slice text)
{
    char *copy = slice_dup(text);
    CURLcode e = copy ? curl_easy_setopt(c, option, copy) : CURLE_OUT_OF_MEMORY;
    if (copy)
        secret_wipe(copy, text.len);
    free(copy);
    return e;
}

static int
set_who(CURL *c, const struct smtp_call *call)
{
    CURLcode e = set_text(c, CURLOPT_MAIL_FROM, call->from);
    if (!e && call->user.len)
        e = set_text(c, CURLOPT_USERNAME, call->user);
    if (!e && call->user.len)
        e = set_text(c, CURLOPT_PASSWORD, secret_reveal(call->password));
    return e ? ERR_NOMEM : 0;
}

static int
add_receivers(const struct json *to, struct curl_slist **list)
{
    for (size_t i = 0; i < json_size(to); i++) {
        struct curl_slist *longer = curl_slist_append(*list, json_str(json_at(to, i)).at);
        if (!longer)
            return ERR_NOMEM;
        *list = longer;
    }
    return 0;
}

static int
perform(CURL *c, struct sending *s)
{
    long status = 0;
    CURLcode e = curl_easy_perform(c);
    (void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    if (!e)
        return 0;
    if (s->guarded)
        return ask_fail(s->ask, ERR_DENIED, "the mail server: a private address");
    return ask_fail(s->ask, ERR_UNAVAILABLE, "the mail server: %s (status %ld)",
                    curl_easy_strerror(e), status);
}

static int
send_by(CURL *c, struct sending *s, const struct smtp_call *call, struct curl_slist *to)
{
    int err = set_address(c, call);
    if (!err)
        err = set_limits(c, s);
    if (!err)
        err = set_who(c, call);
    if (!err)
        err = watch(c, s);
    if (!err &&
        (curl_easy_setopt(c, CURLOPT_MAIL_RCPT, to) || curl_easy_setopt(c, CURLOPT_UPLOAD, 1L) ||
         curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read) ||
         curl_easy_setopt(c, CURLOPT_READDATA, s)))
        err = ERR_NOMEM;
    return err ? ask_fail(s->ask, err, "no memory") : perform(c, s);
}

static void
set_up(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

int
smtp_send(struct ask *a, const struct smtp_call *call, struct smtp_replies *ret_replies)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sending s = {.ask = a, .left = call->message, .replies = ret_replies};
    struct curl_slist *to = NULL;
    *ret_replies = (struct smtp_replies){{0}};
    pthread_once(&once, set_up);
    CURL *c = curl_easy_init();
    int err = c ? add_receivers(call->to, &to) : ERR_NOMEM;
    err = err ? ask_fail(a, err, "no memory") : send_by(c, &s, call, to);
    curl_slist_free_all(to);
    curl_easy_cleanup(c);
    return err;
}
