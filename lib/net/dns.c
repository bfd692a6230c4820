/*
 * Names to addresses. A name has one cache entry; all who ask while a lookup runs wait for the same
 * one. A lookup asks for A and AAAA side by side and is over when both are answered or 5 s passed.
 * libevent's resolver speaks the wire; /etc/hosts is read here, at each lookup, so that an edit
 * counts at once.
 */
#include "lib/net/dns.h"

#include <arpa/inet.h>
#include <assert.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/slice.h"
#include "lib/net/loop_internal.h"

#define LOOKUP_MS 5000
#define TTL_MIN_MS 1000
#define TTL_MAX_MS (5 * 60 * 1000)
#define GRACE_MS (10 * 60 * 1000)
#define FAILURE_MS 1000
#define HOSTS_MS 5000
#define HOSTS_MAX_BYTES (1024 * 1024)
#define NAME_MAX_BYTES 253
#define ENTRIES_MAX 1024

struct address_set {
    struct sockaddr_storage at[DNS_MAX_ADDRESSES];
    size_t n;
};

struct dns_query {
    struct dns *dns;
    struct entry *entry; /* whose lookup it waits for; NULL: the answer is here */
    void (*on_done)(void *, int, const struct sockaddr_storage *, size_t);
    void *ctx;
    int port;
    int err;
    struct address_set *answer;
    struct task task;
    TAILQ_ENTRY(dns_query) link; /* of entry->waiting */
};

struct entry {
    char name[NAME_MAX_BYTES + 1];
    struct address_set good;
    int64_t fresh_until_ms;  /* `good` may be given without asking */
    int64_t grace_until_ms;  /* `good` may be given when asking fails */
    int64_t failed_until_ms; /* asking again is of no use yet */
    struct lookup *lookup;
    TAILQ_HEAD(, dns_query) waiting;
    TAILQ_ENTRY(entry) link;
};

/* One of the two questions. */
struct side {
    struct lookup *lookup;
    struct evdns_request *request; /* NULL iff answered */
};

/* Outlives its entry's interest in it: the resolver calls back even when cancelled. */
struct lookup {
    struct dns *dns;
    struct entry *entry;  /* NULL: nobody waits any more */
    struct side sides[2]; /* A, AAAA */
    int left;             /* callbacks still to come */
    struct address_set found4, found6;
    int64_t ttl_ms;
    bool timed_out;
    struct timer timer;
    TAILQ_ENTRY(lookup) link;
};

struct dns {
    struct loop *loop;
    struct evdns_base *resolver; /* made at the first lookup */
    char *servers;               /* instead of resolv.conf */
    size_t entries_count;
    TAILQ_HEAD(entry_list, entry) entries; /* most recently used first */
    TAILQ_HEAD(, lookup) lookups;
};

struct dns *
dns_new(struct loop *l)
{
    struct dns *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->loop = l;
    TAILQ_INIT(&d->entries);
    TAILQ_INIT(&d->lookups);
    return d;
}

static void
entry_free(struct dns *d, struct entry *e)
{
    struct dns_query *q;
    while ((q = TAILQ_FIRST(&e->waiting))) {
        TAILQ_REMOVE(&e->waiting, q, link);
        q->entry = NULL; /* its owner still cancels it */
    }
    if (e->lookup)
        e->lookup->entry = NULL;
    TAILQ_REMOVE(&d->entries, e, link);
    d->entries_count--;
    free(e);
}

void
dns_free(struct dns *d)
{
    if (!d)
        return;
    struct entry *e;
    while ((e = TAILQ_FIRST(&d->entries)))
        entry_free(d, e);
    if (d->resolver)
        evdns_base_free(d->resolver, 0);
    struct lookup *k;
    while ((k = TAILQ_FIRST(&d->lookups))) {
        TAILQ_REMOVE(&d->lookups, k, link);
        timer_cancel(&k->timer);
        k->dns = NULL;
        loop_bury_late(d->loop, k, free);
    }
    free(d->servers);
    free(d);
}

int
dns_set_servers(struct dns *d, const char *servers)
{
    char *copy = strdup(servers);
    if (!copy)
        return ERR_NOMEM;
    free(d->servers);
    d->servers = copy;
    if (d->resolver)
        evdns_base_free(d->resolver, 1);
    d->resolver = NULL;
    return 0;
}

/* --- address sets
 * ---------------------------------------------------------------------------------- */

static void
add4(struct address_set *set, const void *bytes)
{
    if (set->n == DNS_MAX_ADDRESSES)
        return;
    struct sockaddr_in *a = (struct sockaddr_in *)&set->at[set->n++];
    memset(a, 0, sizeof set->at[0]);
    a->sin_family = AF_INET;
    memcpy(&a->sin_addr, bytes, 4);
}

static void
add6(struct address_set *set, const void *bytes)
{
    if (set->n == DNS_MAX_ADDRESSES)
        return;
    struct sockaddr_in6 *a = (struct sockaddr_in6 *)&set->at[set->n++];
    memset(a, 0, sizeof set->at[0]);
    a->sin6_family = AF_INET6;
    memcpy(&a->sin6_addr, bytes, 16);
}

static bool
add_literal(struct address_set *set, const char *text)
{
    unsigned char bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1)
        add4(set, bytes);
    else if (inet_pton(AF_INET6, text, bytes) == 1)
        add6(set, bytes);
    else
        return false;
    return true;
}

static void
set_port(struct sockaddr_storage *a, int port)
{
    if (a->ss_family == AF_INET)
        ((struct sockaddr_in *)a)->sin_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in6 *)a)->sin6_port = htons((uint16_t)port);
}

/* --- /etc/hosts
 * ------------------------------------------------------------------------------------ */

static struct slice
next_word(struct slice *line)
{
    size_t i = 0;
    while (i < line->len && (line->at[i] == ' ' || line->at[i] == '\t'))
        i++;
    size_t end = i;
    while (end < line->len && line->at[end] != ' ' && line->at[end] != '\t')
        end++;
    struct slice word = slice_make(line->at + i, end - i);
    *line = slice_from(*line, end);
    return word;
}

static void
read_hosts_line(struct slice line, struct slice name, struct address_set *set)
{
    char text[INET6_ADDRSTRLEN];
    line = slice_cut(&line, '#');
    struct slice address = next_word(&line);
    if (address.len == 0 || address.len >= sizeof text)
        return;
    memcpy(text, address.at, address.len);
    text[address.len] = '\0';
    struct slice alias;
    while ((alias = next_word(&line)).len > 0) {
        if (slice_eq_nocase(alias, name)) {
            (void)add_literal(set, text);
            return;
        }
    }
}

static void
look_in_hosts(const char *name, struct address_set *set)
{
    struct buf content;
    if (strcasecmp(name, "localhost") == 0) { /* RFC 6761 6.3, whatever the file says */
        (void)add_literal(set, "127.0.0.1");
        (void)add_literal(set, "::1");
        return;
    }
    buf_init(&content, HOSTS_MAX_BYTES);
    if (file_read("/etc/hosts", HOSTS_MAX_BYTES, false, &content) == 0) {
        struct slice rest = buf_slice(&content);
        while (rest.len > 0)
            read_hosts_line(slice_cut(&rest, '\n'), slice_of(name), set);
    }
    buf_free(&content);
}

/* --- answering
 * --------------------------------------------------------------------------------------- */

/* Takes the query out of the world and calls back: the last that happens to it. */
static void
query_answer(struct dns_query *q, int err, const struct address_set *set)
{
    struct sockaddr_storage at[DNS_MAX_ADDRESSES];
    size_t n = err == 0 ? set->n : 0;
    for (size_t i = 0; i < n; i++) {
        at[i] = set->at[i];
        set_port(&at[i], q->port);
    }
    void (*on_done)(void *, int, const struct sockaddr_storage *, size_t) = q->on_done;
    void *ctx = q->ctx;
    free(q->answer);
    free(q);
    on_done(ctx, err, at, n);
}

static void
on_answer_task(void *ctx)
{
    struct dns_query *q = ctx;
    query_answer(q, q->err, q->answer);
}

/* From within dns_resolve: the answer is told after it returned. */
static bool
answer_soon(struct dns_query *q, int err, const struct address_set *set)
{
    q->err = err;
    if (err == 0) {
        q->answer = malloc(sizeof *q->answer);
        if (!q->answer)
            return false;
        *q->answer = *set;
    }
    loop_after(q->dns->loop, &q->task, on_answer_task, q);
    return true;
}

/* The waiting ones may, when told, ask again, cancel each other or free the whole resolver: so all
 * answers are made ready first and told by tasks. */
static void
entry_answer(struct entry *e, int err)
{
    struct dns_query *q;
    while ((q = TAILQ_FIRST(&e->waiting))) {
        TAILQ_REMOVE(&e->waiting, q, link);
        q->entry = NULL;
        if (!answer_soon(q, err, &e->good)) {
            (void)answer_soon(q, ERR_DNS, NULL);
        }
    }
}

/* --- looking up
 * -------------------------------------------------------------------------------------- */

static void
lookup_over(struct lookup *k, int err)
{
    struct entry *e = k->entry;
    struct dns *d = k->dns;
    timer_cancel(&k->timer);
    if (!e)
        return;
    k->entry = NULL;
    e->lookup = NULL;
    int64_t now = loop_now_ms(d->loop);
    size_t n4 = k->found4.n, n6 = k->found6.n;
    if (n4 + n6 > 0) {
        /* IPv4 first: an IPv6 address that cannot be reached costs a failed connect. */
        e->good = k->found4;
        for (size_t i = 0; i < n6 && e->good.n < DNS_MAX_ADDRESSES; i++)
            e->good.at[e->good.n++] = k->found6.at[i];
        e->fresh_until_ms = now + k->ttl_ms;
        e->grace_until_ms = e->fresh_until_ms + GRACE_MS;
        err = 0;
    } else {
        e->failed_until_ms = now + FAILURE_MS;
        if (e->good.n > 0 && now < e->grace_until_ms)
            err = 0;
    }
    entry_answer(e, err);
}

static void
lookup_unlink(struct lookup *k)
{
    if (k->left > 0)
        return;
    TAILQ_REMOVE(&k->dns->lookups, k, link);
    free(k);
}

static void
note_ttl(struct lookup *k, int ttl_s)
{
    int64_t ttl_ms = (int64_t)ttl_s * 1000;
    if (ttl_ms < k->ttl_ms)
        k->ttl_ms = ttl_ms < TTL_MIN_MS ? TTL_MIN_MS : ttl_ms;
}

static void
on_resolved(int result, char type, int count, int ttl, void *addresses, void *arg)
{
    struct side *side = arg;
    struct lookup *k = side->lookup;
    if (!k->dns)
        return; /* the resolver was freed meanwhile; k goes soon */
    struct loop *l = k->dns->loop;
    loop_enter(l);
    k->left--;
    side->request = NULL;
    for (int i = 0; result == DNS_ERR_NONE && i < count; i++) {
        if (type == DNS_IPv4_A)
            add4(&k->found4, (const char *)addresses + 4 * i);
        else if (type == DNS_IPv6_AAAA)
            add6(&k->found6, (const char *)addresses + 16 * i);
    }
    if (result == DNS_ERR_NONE && count > 0)
        note_ttl(k, ttl);
    if (result == DNS_ERR_TIMEOUT)
        k->timed_out = true;
    if (k->left == 0) {
        lookup_over(k, k->timed_out ? ERR_TIMEOUT : ERR_DNS);
        lookup_unlink(k);
    }
    loop_leave(l);
}

static void
on_lookup_due(void *ctx)
{
    struct lookup *k = ctx;
    lookup_over(k, ERR_TIMEOUT);
    /* The cancelled ones call back too, and the last of them frees k. */
    for (int i = 0; i < 2; i++)
        if (k->sides[i].request)
            evdns_cancel_request(k->dns->resolver, k->sides[i].request);
}

static bool
make_resolver(struct dns *d)
{
    if (d->resolver)
        return true;
    int flags = EVDNS_BASE_DISABLE_WHEN_INACTIVE;
    d->resolver = evdns_base_new(loop_base(d->loop),
                                 d->servers ? flags : flags | EVDNS_BASE_INITIALIZE_NAMESERVERS);
    if (!d->resolver)
        return false;
    (void)evdns_base_set_option(d->resolver, "timeout:", "2");
    (void)evdns_base_set_option(d->resolver, "attempts:", "2");
    (void)evdns_base_set_option(d->resolver, "initial-probe-timeout:", "1");
    return !d->servers || evdns_base_nameserver_ip_add(d->resolver, d->servers) == 0;
}

/* False: it cannot even be asked. */
static bool
lookup_start(struct dns *d, struct entry *e)
{
    if (!make_resolver(d))
        return false;
    struct lookup *k = calloc(1, sizeof *k);
    if (!k)
        return false;
    k->dns = d;
    k->entry = e;
    k->ttl_ms = TTL_MAX_MS;
    TAILQ_INSERT_TAIL(&d->lookups, k, link);
    k->sides[0].lookup = k->sides[1].lookup = k;
    k->sides[0].request =
        evdns_base_resolve_ipv4(d->resolver, e->name, 0, on_resolved, &k->sides[0]);
    k->sides[1].request =
        evdns_base_resolve_ipv6(d->resolver, e->name, 0, on_resolved, &k->sides[1]);
    k->left = (k->sides[0].request != NULL) + (k->sides[1].request != NULL);
    if (k->left == 0) {
        lookup_unlink(k);
        return false;
    }
    e->lookup = k;
    timer_set(&k->timer, d->loop, LOOKUP_MS, on_lookup_due, k);
    return true;
}

/* --- asking
 * ------------------------------------------------------------------------------------------ */

static void
make_place(struct dns *d)
{
    struct entry *e, *before;
    for (e = TAILQ_LAST(&d->entries, entry_list); e && d->entries_count >= ENTRIES_MAX;
         e = before) {
        before = TAILQ_PREV(e, entry_list, link);
        if (!e->lookup && TAILQ_EMPTY(&e->waiting))
            entry_free(d, e);
    }
}

static struct entry *
find_entry(struct dns *d, const char *name)
{
    struct entry *e;
    TAILQ_FOREACH (e, &d->entries, link)
        if (strcasecmp(e->name, name) == 0)
            break;
    if (e) {
        TAILQ_REMOVE(&d->entries, e, link);
    } else {
        make_place(d);
        e = calloc(1, sizeof *e);
        if (!e)
            return NULL;
        memcpy(e->name, name, strlen(name) + 1);
        TAILQ_INIT(&e->waiting);
        d->entries_count++;
    }
    TAILQ_INSERT_HEAD(&d->entries, e, link);
    return e;
}

static bool
resolve_name(struct dns *d, struct dns_query *q, const char *name)
{
    struct entry *e = find_entry(d, name);
    if (!e)
        return false;
    int64_t now = loop_now_ms(d->loop);
    if (!e->lookup && e->good.n > 0 && now < e->fresh_until_ms)
        return answer_soon(q, 0, &e->good);
    if (!e->lookup && now < e->failed_until_ms)
        return answer_soon(q, e->good.n > 0 && now < e->grace_until_ms ? 0 : ERR_DNS, &e->good);
    if (!e->lookup) {
        struct address_set set = {.n = 0};
        look_in_hosts(name, &set);
        if (set.n > 0) {
            e->good = set;
            e->fresh_until_ms = now + HOSTS_MS;
            e->grace_until_ms = e->fresh_until_ms;
            return answer_soon(q, 0, &e->good);
        }
        if (!lookup_start(d, e))
            return answer_soon(q, ERR_DNS, NULL);
    }
    q->entry = e;
    TAILQ_INSERT_TAIL(&e->waiting, q, link);
    return true;
}

struct dns_query *
dns_resolve(struct dns *d, const char *host, int port,
            void (*on_done)(void *ctx, int err, const struct sockaddr_storage *addresses, size_t n),
            void *ctx)
{
    struct dns_query *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    *q = (struct dns_query){.dns = d, .port = port, .on_done = on_done, .ctx = ctx};
    struct address_set literal = {.n = 0};
    bool ok;
    if (add_literal(&literal, host))
        ok = answer_soon(q, 0, &literal);
    else if (*host == '\0' || strlen(host) > NAME_MAX_BYTES)
        ok = answer_soon(q, ERR_DNS, NULL);
    else
        ok = resolve_name(d, q, host);
    if (!ok) {
        free(q);
        return NULL;
    }
    return q;
}

void
dns_cancel(struct dns_query *q)
{
    if (!q)
        return;
    if (q->entry)
        TAILQ_REMOVE(&q->entry->waiting, q, link);
    loop_unqueue(q->dns->loop, &q->task);
    free(q->answer);
    free(q);
}
