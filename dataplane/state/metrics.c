#include "dataplane/state/metrics.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

/* Upper bounds of the histograms, in ms. */
static const uint32_t bounds_ms[METRICS_BUCKETS] = {
    10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 20000, 30000, 60000, 120000, 300000};

struct metrics_page *
metrics_pages_new(size_t slots)
{
    void *at = mmap(NULL, slots * sizeof(struct metrics_page), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

void
metrics_init(struct metrics *m, struct metrics_page *page)
{
    memset(m, 0, sizeof(*m));
    m->page = page;
    memcpy(page->providers[0], "none", 5);
    memcpy(page->providers[METRICS_PROVIDERS - 1], "other", 6);
}

/* The name's own row, a free one made its, or "other". */
static unsigned
claim(struct metrics_page *page, struct slice name)
{
    if (name.len >= METRICS_NAME_BYTES)
        return METRICS_PROVIDERS - 1;
    for (unsigned i = 1; i < METRICS_PROVIDERS - 1; i++) {
        if (page->providers[i][0] == '\0') {
            memcpy(page->providers[i], name.at, name.len);
            page->providers[i][name.len] = '\0';
        }
        if (slice_is(name, page->providers[i]))
            return i;
    }
    return METRICS_PROVIDERS - 1;
}

unsigned
metrics_provider(struct metrics *m, const struct policy_provider *p)
{
    if (!p)
        return 0;
    size_t i = p->index % METRICS_PROVIDERS;
    unsigned slot = m->seen[i].slot;
    /* An address may be used again by another policy's provider: the name itself decides. */
    if (m->seen[i].name != p->name.at || !slice_is(p->name, m->page->providers[slot])) {
        slot = claim(m->page, p->name);
        m->seen[i].name = p->name.at;
        m->seen[i].slot = slot;
    }
    return slot;
}

void
metrics_observe(struct metrics_histogram *h, int64_t ms)
{
    unsigned i = 0;
    if (ms < 0)
        ms = 0;
    while (i < METRICS_BUCKETS && ms > bounds_ms[i])
        i++;
    h->buckets[i]++;
    h->sum_ms += (uint64_t)ms;
}

/* --- text ------------------------------------------------------------------------------------- */

struct writer {
    const struct metrics_page *pages;
    size_t slots;
    struct buf *into;
    int err;
};

static uint64_t
load(const uint64_t *at)
{
    return __atomic_load_n(at, __ATOMIC_RELAXED);
}

/* The sum over all pages of the counter that lies at `offset` in a page. */
static uint64_t
sum(const struct writer *w, size_t offset)
{
    uint64_t n = 0;
    for (size_t i = 0; i < w->slots; i++)
        n += load((const uint64_t *)(const void *)((const char *)&w->pages[i] + offset));
    return n;
}

__attribute__((format(printf, 2, 3))) static void
line(struct writer *w, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!w->err)
        w->err = buf_vaddf(w->into, format, args);
    va_end(args);
}

static void
head(struct writer *w, const char *name, const char *type, const char *help)
{
    line(w, "# HELP headgate_%s %s\n# TYPE headgate_%s %s\n", name, help, name, type);
}

/* The distinct provider names of all pages. */
struct names {
    const char *at[4 * METRICS_PROVIDERS];
    size_t count;
};

static void
collect(const struct writer *w, struct names *n)
{
    n->count = 0;
    for (size_t s = 0; s < w->slots; s++) {
        for (size_t i = 0; i < METRICS_PROVIDERS; i++) {
            const char *name = w->pages[s].providers[i];
            size_t k = 0;
            while (k < n->count && strcmp(n->at[k], name) != 0)
                k++;
            if (*name && k == n->count && k < sizeof(n->at) / sizeof(n->at[0]))
                n->at[n->count++] = name;
        }
    }
}

/* The sum over all pages of a counter per provider: base + row * stride, row by the page's own
 * names. */
static uint64_t
sum_named(const struct writer *w, const char *name, size_t base, size_t stride)
{
    uint64_t n = 0;
    for (size_t s = 0; s < w->slots; s++)
        for (size_t i = 0; i < METRICS_PROVIDERS; i++)
            if (strcmp(w->pages[s].providers[i], name) == 0)
                n += load((const uint64_t *)(const void *)((const char *)&w->pages[s] + base +
                                                           i * stride));
    return n;
}

#define AT(field) offsetof(struct metrics_page, field)
#define PROVIDER_STRIDE sizeof(uint64_t)

static void
write_requests(struct writer *w, const struct names *names, const char *const *endpoints)
{
    static const char *const classes[METRICS_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    head(w, "requests_total", "counter", "Requests ended, by the status the client got.");
    for (size_t e = 0; e < METRICS_ENDPOINTS; e++)
        for (size_t c = 0; c < METRICS_CLASSES; c++)
            for (size_t p = 0; p < names->count; p++) {
                uint64_t n =
                    sum_named(w, names->at[p],
                              AT(requests[0][0]) +
                                  (e * METRICS_CLASSES + c) * METRICS_PROVIDERS * sizeof(uint64_t),
                              PROVIDER_STRIDE);
                if (n)
                    line(w,
                         "headgate_requests_total{endpoint=\"%s\",status=\"%s\",provider=\"%s\"} "
                         "%" PRIu64 "\n",
                         endpoints[e], classes[c], names->at[p], n);
            }
}

static void
write_histogram(struct writer *w, const char *name, size_t base, const char *const *endpoints,
                const char *help)
{
    head(w, name, "histogram", help);
    for (size_t e = 0; e < METRICS_ENDPOINTS; e++) {
        size_t at = base + e * sizeof(struct metrics_histogram);
        uint64_t seen = 0;
        for (size_t b = 0; b <= METRICS_BUCKETS; b++)
            seen += sum(w, at + b * sizeof(uint64_t));
        if (!seen)
            continue;
        seen = 0;
        for (size_t b = 0; b <= METRICS_BUCKETS; b++) {
            seen += sum(w, at + b * sizeof(uint64_t));
            if (b < METRICS_BUCKETS)
                line(w, "headgate_%s_bucket{endpoint=\"%s\",le=\"%u.%03u\"} %" PRIu64 "\n", name,
                     endpoints[e], bounds_ms[b] / 1000, bounds_ms[b] % 1000, seen);
        }
        line(w, "headgate_%s_bucket{endpoint=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name, endpoints[e],
             seen);
        uint64_t ms = sum(w, at + offsetof(struct metrics_histogram, sum_ms));
        line(w, "headgate_%s_sum{endpoint=\"%s\"} %" PRIu64 ".%03u\n", name, endpoints[e],
             ms / 1000, (unsigned)(ms % 1000));
        line(w, "headgate_%s_count{endpoint=\"%s\"} %" PRIu64 "\n", name, endpoints[e], seen);
    }
}

static void
write_classes(struct writer *w, const struct names *names, const char *counter, size_t from,
              size_t to)
{
    for (size_t p = 0; p < names->count; p++)
        for (size_t c = from; c < to; c++) {
            uint64_t n = sum_named(w, names->at[p], AT(usage[0][0]) + c * sizeof(uint64_t),
                                   USAGE_CLASSES * sizeof(uint64_t));
            if (n)
                line(w, "headgate_%s{provider=\"%s\",class=\"%s\"} %" PRIu64 "\n", counter,
                     names->at[p], usage_class_name((enum usage_class)c), n);
        }
}

static void
write_usage(struct writer *w, const struct names *names)
{
    head(w, "tokens_total", "counter", "Tokens booked, in disjoint classes.");
    write_classes(w, names, "tokens_total", 0, CLASS_TOKENS);
    head(w, "units_total", "counter", "What is not billed by tokens: searches, images, sound.");
    write_classes(w, names, "units_total", CLASS_TOKENS, USAGE_CLASSES);
    head(w, "cost_nanodollars_total", "counter", "Cost booked, in nanodollars.");
    for (size_t p = 0; p < names->count; p++) {
        uint64_t n = sum_named(w, names->at[p], AT(cost_nanos[0]), PROVIDER_STRIDE);
        if (n)
            line(w, "headgate_cost_nanodollars_total{provider=\"%s\"} %" PRIu64 "\n", names->at[p],
                 n);
    }
}

static void
write_upstream_errors(struct writer *w, const struct names *names, const char *const *reasons,
                      size_t count)
{
    head(w, "upstream_errors_total", "counter", "Attempts that failed, by kind.");
    for (size_t p = 0; p < names->count; p++)
        for (size_t k = 0; k < count && k < METRICS_REASONS; k++) {
            uint64_t n =
                sum_named(w, names->at[p], AT(upstream_errors[0][0]) + k * sizeof(uint64_t),
                          METRICS_REASONS * sizeof(uint64_t));
            if (n && reasons[k])
                line(w, "headgate_upstream_errors_total{provider=\"%s\",kind=\"%s\"} %" PRIu64 "\n",
                     names->at[p], reasons[k], n);
        }
}

static void
write_reasons(struct writer *w, const char *const *reasons, size_t count)
{
    head(w, "refused_total", "counter", "Requests the gateway itself refused or failed, by code.");
    for (size_t k = 0; k < count && k < METRICS_REASONS; k++) {
        uint64_t n = sum(w, AT(refused[0]) + k * sizeof(uint64_t));
        bool again = false; /* several problems may share a code: they are one label */
        for (size_t i = 0; i < k && !again; i++)
            again = reasons[i] && reasons[k] && strcmp(reasons[i], reasons[k]) == 0;
        if (!reasons[k] || again)
            continue;
        for (size_t i = k + 1; i < count && i < METRICS_REASONS; i++)
            if (reasons[i] && strcmp(reasons[i], reasons[k]) == 0)
                n += sum(w, AT(refused[0]) + i * sizeof(uint64_t));
        if (n)
            line(w, "headgate_refused_total{reason=\"%s\"} %" PRIu64 "\n", reasons[k], n);
    }
    head(w, "snapshot_refused_total", "counter", "Policy snapshots refused, by reason.");
    for (size_t k = 1; k < SNAPSHOT_REFUSALS; k++)
        line(w, "headgate_snapshot_refused_total{reason=\"%s\"} %" PRIu64 "\n",
             snapshot_refusal_name((enum snapshot_refusal)k),
             sum(w, AT(snapshot_refused[0]) + k * sizeof(uint64_t)));
}

/* clang-format off */
static const struct scalar {
    const char *name, *type, *help;
    size_t at;
} scalars[] = {
    { "usage_estimated_total", "counter", "Attempts booked at an estimate.", AT(usage_estimated) },
    { "limit_unverifiable_total", "counter", "Requests refused because a limit could not be verified.", AT(limit_unverifiable) },
    { "limit_overdrawn_total", "counter", "Requests that used more than what bounded them in a strict budget: look into it.", AT(limit_overdrawn) },
    { "limit_shadowed_total", "counter", "Times that a limit in shadow would have refused.", AT(limit_shadowed) },
    { "limit_cut_total", "counter", "Streams cut because they cost more than was reserved of a budget.", AT(limit_cut) },
    { "limit_unverified_total", "counter", "Requests let go on beyond a budget's slice, unverified.", AT(limit_unverified) },
    { "lease_claims_total", "counter", "Claims to shares of limits.", AT(lease_claims) },
    { "lease_failures_total", "counter", "Claims that were not answered.", AT(lease_failures) },
    { "lease_waits_total", "counter", "Requests that waited for a share.", AT(lease_waits) },
    { "cache_hits_total", "counter", "Requests with an answer that was given before.", AT(cache_hits) },
    { "cache_misses_total", "counter", "Requests of models with a cache that had no such answer.", AT(cache_misses) },
    { "cache_bypasses_total", "counter", "Requests of models with a cache that are not for it.", AT(cache_bypasses) },
    { "cache_stored_total", "counter", "Answers kept to be given again.", AT(cache_stored) },
    { "cache_evicted_total", "counter", "Of these, dropped before their time to make room.", AT(cache_evicted) },
    { "cache_answers", "gauge", "Answers kept.", AT(cache_answers) },
    { "cache_bytes", "gauge", "Memory they take.", AT(cache_bytes) },
    { "usage_unpriced_total", "counter", "Attempts with a search, an image or the like whose price says nothing of it.", AT(usage_unpriced) },
    { "usage_suspect_total", "counter", "Usage reports that were negative, absurd or went backwards.", AT(usage_suspect) },
    { "usage_disk_failures_total", "counter", "Usage records that the disk did not take.", AT(usage_lost_disk) },
    { "client_gone_total", "counter", "Requests whose client left before the end.", AT(client_gone) },
    { "drained_total", "counter", "Of these, upstream calls that went on for their usage.", AT(drained) },
    { "open_requests", "gauge", "Requests in flight.", AT(open_requests) },
    { "connections", "gauge", "Client connections open.", AT(connections) },
    { "connections_accepted_total", "counter", "Client connections accepted.", AT(accepted) },
    { "accept_refused_total", "counter", "Connections closed for want of descriptors.", AT(accept_refused) },
    { "head_timeouts_total", "counter", "Connections closed because no complete head came in time.", AT(head_timeouts) },
    { "bad_requests_total", "counter", "Requests refused by the HTTP parser.", AT(bad_requests) },
    { "upstream_connects_total", "counter", "Connections made to providers.", AT(upstream_connects) },
    { "upstream_reuses_total", "counter", "Attempts on a connection that was there.", AT(upstream_reuses) },
    { "upstream_retries_total", "counter", "Attempts moved from a dead connection to another.", AT(upstream_retries) },
    { "upstream_connections", "gauge", "Connections to providers open.", AT(upstream_connections) },
    { "spool_records", "gauge", "Settled usage records not acknowledged yet.", AT(spool_records) },
    { "spool_open_reservations", "gauge", "Attempts reserved and not settled.", AT(spool_open) },
    { "spool_bytes", "gauge", "Bytes of the spool on disk.", AT(spool_bytes) },
    { "spool_limit_bytes", "gauge", "Bytes the spool may use.", AT(spool_limit_bytes) },
    { "spool_refused_total", "counter", "Attempts refused because the spool had no room.", AT(spool_refused) },
    { "spool_torn_total", "counter", "Torn tails cut when a spool was opened.", AT(spool_torn) },
    { "spool_corrupt_total", "counter", "Damaged records set aside.", AT(spool_corrupt) },
    { "spool_lost_total", "counter", "Attempts of dead workers closed at their estimate.", AT(spool_lost) },
    { "spool_disk_errors_total", "counter", "Disk errors of the spool.", AT(spool_disk_errors) },
    { "usage_upload_failures_total", "counter", "Batches of usage that were not acknowledged.", AT(upload_failures) },
    { "log_lines_dropped_total", "counter", "Log lines dropped because the descriptor would block.", AT(log_dropped) },
    { "held_bytes", "gauge", "Bytes of bodies and answers held in memory.", AT(held_bytes) },
    { "policy_disk_errors_total", "counter", "Policies that could not be saved to disk.", AT(policy_disk_errors) },
    { "worker_restarts_total", "counter", "Workers started again after they died.", AT(restarts) },
};
/* clang-format on */

static void
write_scalars(struct writer *w)
{
    for (size_t i = 0; i < sizeof(scalars) / sizeof(scalars[0]); i++) {
        head(w, scalars[i].name, scalars[i].type, scalars[i].help);
        line(w, "headgate_%s %" PRIu64 "\n", scalars[i].name, sum(w, scalars[i].at));
    }
}

/* What differs between workers, by worker. */
static void
write_workers(struct writer *w)
{
    static const struct {
        const char *name, *help;
        size_t at;
    } rows[] = {
        {"policy_epoch", "Epoch of the policy in force.", AT(policy_epoch)},
        {"policy_version", "Version of the policy in force.", AT(policy_version)},
        {"policy_revision", "Configuration revision of the policy in force.", AT(policy_revision)},
        {"policy_stale", "1 when the policy in force has expired.", AT(policy_stale)},
        {"worker_state", "0 down, 1 starting, 2 ready, 3 draining.", AT(state)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        head(w, rows[i].name, "gauge", rows[i].help);
        for (size_t s = 0; s < w->slots; s++)
            line(w, "headgate_%s{worker=\"%zu\"} %" PRIu64 "\n", rows[i].name, s,
                 load((const uint64_t *)(const void *)((const char *)&w->pages[s] + rows[i].at)));
    }
}

int
metrics_write(const struct metrics_page *pages, size_t slots, const char *const *reasons,
              size_t reason_count, const char *const *endpoints, struct buf *into)
{
    struct writer w = {pages, slots, into, 0};
    struct names names;
    collect(&w, &names);
    write_requests(&w, &names, endpoints);
    write_histogram(&w, "request_duration_seconds", AT(duration[0]), endpoints,
                    "Time from a request's head to the end of its answer.");
    write_histogram(&w, "first_byte_seconds", AT(first_byte[0]), endpoints,
                    "Time from a request's head to the first byte of the provider's answer.");
    write_usage(&w, &names);
    write_upstream_errors(&w, &names, reasons, reason_count);
    write_reasons(&w, reasons, reason_count);
    write_scalars(&w);
    write_workers(&w);
    return w.err;
}
