#include "tests/unit/check.h"

#include "dataplane/state/metrics.h"

static const char *const endpoints[METRICS_ENDPOINTS] = {"chat", "completions", "embeddings",
                                                         "models", "none"};
static const char *const reasons[] = {NULL, "same", "same", "else"};

static const char *
text_of(struct metrics_page *pages, size_t slots, struct buf *text)
{
    buf_init(text, 0);
    assert_int_equal(metrics_write(pages, slots, reasons, 4, endpoints, text), 0);
    return buf_str(text);
}

static void
has(const char *text, const char *line)
{
    if (!strstr(text, line))
        fail_msg("no line \"%s\"", line);
}

static struct policy_provider
provider(const char *name, size_t index)
{
    return (struct policy_provider){.name = slice_of(name), .index = index};
}

/* A provider may have different rows in two pages: it is summed by its name. */
static void
test_pages_are_summed_by_name(void **state)
{
    struct metrics_page *pages = metrics_pages_new(2);
    struct policy_provider a = provider("a", 0), b = provider("b", 1);
    struct metrics m[2];
    struct buf text;
    (void)state;
    metrics_init(&m[0], &pages[0]);
    metrics_init(&m[1], &pages[1]);
    pages[0].requests[0][2][metrics_provider(&m[0], &a)] += 3;
    pages[0].requests[0][2][metrics_provider(&m[0], &b)] += 5;
    pages[1].requests[0][2][metrics_provider(&m[1], &b)] += 7;
    pages[1].requests[0][2][metrics_provider(&m[1], &a)] += 11;
    assert_int_not_equal(metrics_provider(&m[0], &a), metrics_provider(&m[1], &a));
    pages[0].requests[4][4][metrics_provider(&m[0], NULL)] += 2;
    const char *t = text_of(pages, 2, &text);
    has(t, "headgate_requests_total{endpoint=\"chat\",status=\"2xx\",provider=\"a\"} 14\n");
    has(t, "headgate_requests_total{endpoint=\"chat\",status=\"2xx\",provider=\"b\"} 12\n");
    has(t, "headgate_requests_total{endpoint=\"none\",status=\"4xx\",provider=\"none\"} 2\n");
    buf_free(&text);
}

/* F148: however many providers come and go, the label set is bounded. */
static void
test_f148_labels_are_bounded(void **state)
{
    struct metrics_page *pages = metrics_pages_new(1);
    struct metrics m;
    struct buf text;
    static char names[500][16];
    (void)state;
    metrics_init(&m, pages);
    for (size_t i = 0; i < 500; i++) {
        snprintf(names[i], sizeof(names[i]), "p%zu", i);
        struct policy_provider p = provider(names[i], i);
        unsigned slot = metrics_provider(&m, &p);
        assert_true(slot > 0 && slot < METRICS_PROVIDERS);
        assert_int_equal(slot, metrics_provider(&m, &p));
        pages->cost_nanos[slot]++;
    }
    char long_name[100];
    memset(long_name, 'x', sizeof(long_name));
    struct policy_provider p = {.name = slice_make(long_name, sizeof(long_name))};
    assert_int_equal(metrics_provider(&m, &p), METRICS_PROVIDERS - 1);
    const char *t = text_of(pages, 1, &text);
    has(t, "headgate_cost_nanodollars_total{provider=\"p0\"} 1\n");
    has(t, "headgate_cost_nanodollars_total{provider=\"other\"} 470\n");
    buf_free(&text);
}

/* Another policy's provider may lie where a former one lay: its name decides. */
static void
test_an_address_used_again(void **state)
{
    struct metrics_page *pages = metrics_pages_new(1);
    struct metrics m;
    char name[] = "one";
    (void)state;
    metrics_init(&m, pages);
    struct policy_provider p = provider(name, 0);
    unsigned one = metrics_provider(&m, &p);
    memcpy(name, "two", 3);
    unsigned two = metrics_provider(&m, &p);
    assert_int_not_equal(one, two);
    assert_string_equal(pages->providers[two], "two");
}

static void
test_histograms_are_cumulative(void **state)
{
    struct metrics_page *pages = metrics_pages_new(2);
    struct buf text;
    (void)state;
    metrics_observe(&pages[0].duration[0], 0);
    metrics_observe(&pages[0].duration[0], 10);
    metrics_observe(&pages[1].duration[0], 11);
    metrics_observe(&pages[1].duration[0], 10000000);
    metrics_observe(&pages[1].duration[0], -5);
    const char *t = text_of(pages, 2, &text);
    has(t, "headgate_request_duration_seconds_bucket{endpoint=\"chat\",le=\"0.010\"} 3\n");
    has(t, "headgate_request_duration_seconds_bucket{endpoint=\"chat\",le=\"0.025\"} 4\n");
    has(t, "headgate_request_duration_seconds_bucket{endpoint=\"chat\",le=\"300.000\"} 4\n");
    has(t, "headgate_request_duration_seconds_bucket{endpoint=\"chat\",le=\"+Inf\"} 5\n");
    has(t, "headgate_request_duration_seconds_count{endpoint=\"chat\"} 5\n");
    has(t, "headgate_request_duration_seconds_sum{endpoint=\"chat\"} 10000.021\n");
    buf_free(&text);
}

/* Several problems may share a code: one sample, the sum of both. */
static void
test_reasons_are_unique(void **state)
{
    struct metrics_page *pages = metrics_pages_new(1);
    struct buf text;
    (void)state;
    pages->refused[1] = 2;
    pages->refused[2] = 3;
    pages->refused[3] = 4;
    const char *t = text_of(pages, 1, &text);
    has(t, "headgate_refused_total{reason=\"same\"} 5\n");
    has(t, "headgate_refused_total{reason=\"else\"} 4\n");
    const char *first = strstr(t, "reason=\"same\"");
    assert_null(strstr(first + 1, "reason=\"same\""));
    buf_free(&text);
}

/* Every line is a comment or a sample, and no sample comes twice. */
static void
test_the_format(void **state)
{
    struct metrics_page *pages = metrics_pages_new(3);
    struct buf text;
    (void)state;
    memset(pages[1].refused, 1, sizeof(pages[1].refused));
    struct slice rest = slice_of(text_of(pages, 3, &text));
    while (rest.len) {
        struct slice line = slice_cut(&rest, '\n');
        if (slice_starts(line, SLICE("# HELP headgate_")) ||
            slice_starts(line, SLICE("# TYPE headgate_")))
            continue;
        assert_true(slice_starts(line, SLICE("headgate_")));
        size_t space = line.len;
        while (space > 0 && line.at[space - 1] != ' ')
            space--;
        unsigned long long value;
        assert_int_equal(slice_to_u64(slice_from(line, space), &value), 0);
        char name[256];
        snprintf(name, sizeof(name), "\n%.*s", (int)space, line.at);
        const char *again = strstr(line.at + line.len, name);
        if (again)
            fail_msg("twice: %s", name + 1);
    }
    buf_free(&text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_are_summed_by_name),
        cmocka_unit_test(test_f148_labels_are_bounded),
        cmocka_unit_test(test_an_address_used_again),
        cmocka_unit_test(test_histograms_are_cumulative),
        cmocka_unit_test(test_reasons_are_unique),
        cmocka_unit_test(test_the_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
