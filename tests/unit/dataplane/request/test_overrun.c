/* F126: which stream is cut, and when. A request under way, with what a budget holds for it. */
#include "tests/unit/check.h"

#include "dataplane/request/overrun.h"
#include "dataplane/request/request.h"
#include "dataplane/request/settle.h"
#include "dataplane/state/estimates.h"
#include "dataplane/state/quota.h"
#include "lib/net/loop.h"

#define INPUT_BYTES 100
#define OUT 10000 /* nanodollars a token of output; input costs a thousandth */

static const struct endpoint chat = {.kind = ENDPOINT_CHAT, .way = WAY_CHAT};
static const struct policy_provider provider = {.name = SLICE("p")};
static const struct policy_target target = {.provider = &provider, .model = SLICE("m")};
static const struct policy_price price = {.rates = {.input = 10000, .output = 10000000}};

static char body[INPUT_BYTES];
static struct services svc;
static struct request r;
static struct admission admission;
static struct policy_limit limit;
static struct quota_claim claim;
static struct quota_part part;

static int
begin(void **state)
{
    (void)state;
    svc = (struct services){.loop = loop_new(), .estimates = estimates_new(), .quota = quota_new()};
    r = (struct request){.svc = &svc, .endpoint = &chat, .quota = &admission};
    r.plan.target = &target;
    r.plan.price = &price;
    r.body.len = INPUT_BYTES;
    r.body.at = body;
    r.body.brief.choices = 1;
    r.body.brief.max_tokens = 100;
    r.answer.mode = ANSWER_STREAM;
    r.answer.status = 200;
    limit = (struct policy_limit){.name = SLICE("b"),
                                  .id = SLICE("b"),
                                  .is_budget = true,
                                  .metric = METRIC_SPEND,
                                  .mode = LIMIT_STRICT,
                                  .amount = 1000 * OUT};
    return 0;
}

static int
end(void **state)
{
    (void)state;
    loop_free(svc.loop);
    quota_free(svc.quota);
    estimates_free(svc.estimates);
    return 0;
}

/* The leader's word: the worker's slice, and what there is beside it. */
static void
hear(uint64_t slice, int64_t share, int64_t remaining)
{
    struct bus_claim sent;
    struct bus_grant g = {
        .slice = slice, .share = share, .limit = limit.amount, .remaining = remaining};
    struct bus_lease_grants grants = {
        .epoch = 1, .fleet = 1, .life_ms = 15000, .grants = &g, .count = 1};
    assert_int_equal(quota_claims(svc.quota, 1000, &sent, 1), 1);
    quota_grants(svc.quota, 1000, &grants);
}

/* Admits the request, of a budget that has `share` in this worker and `remaining` elsewhere. */
static void
admit_it(int64_t share, int64_t remaining)
{
    struct quota_stand stand;
    claim = (struct quota_claim){&limit, SLICE(""), settle_reservation(&r, &limit)};
    admission = (struct admission){.claims = &claim, .count = 1, .budgets = limit.is_budget};
    admission.hold.parts = &part;
    (void)quota_reserve(svc.quota, 1000, &claim, 1, QUOTA_FIRST, &admission.hold, &stand);
    quota_withdraw(svc.quota, &claim, 1);
    hear(7, share, remaining);
    assert_int_equal(
        quota_reserve(svc.quota, 1000, &claim, 1, QUOTA_AGAIN, &admission.hold, &stand),
        QUOTA_ADMITTED);
    admission.held = true;
}

/* A word comes, of three bytes and so a token: whether it is cut. */
static bool
word(void)
{
    meter_text(&r.answer.passage.meter, SLICE("to "));
    return overrun_look(&r) != NULL;
}

/* With how many words it is cut; 0: not within `most`. */
static int
words_until_cut(int most)
{
    for (int n = 1; n <= most; n++)
        if (word())
            return n;
    return 0;
}

/* The reservation is 100 of output, and what came in; an eighth is let through. */
static void
test_a_strict_budget_cuts_beyond_the_tolerance(void **state)
{
    (void)state;
    admit_it(1000 * OUT, 0);
    int n = words_until_cut(1000);
    assert_in_range(n, 113, 113 + 4);
    assert_ptr_equal(admission.passed, &limit);
}

static void
test_a_budget_in_tokens_cuts_too(void **state)
{
    (void)state;
    limit.metric = METRIC_TOKENS;
    limit.amount = 10000;
    admit_it(10000, 0);
    /* 100 + 100, and 25 beyond: of that what came in is thought to be 34 */
    assert_in_range(words_until_cut(1000), 191, 191 + 4);
}

/* Who keeps to the limit is never cut, whatever the money says. */
static void
test_within_the_limit_nothing_is_cut(void **state)
{
    (void)state;
    admit_it(1000 * OUT, 0);
    r.answer.report =
        (struct usage_report){.seen = true, .has_input = true, .tokens.input = 10000000};
    assert_int_equal(words_until_cut(101), 0); /* n words are known by n - 1 borders */
    assert_in_range(words_until_cut(100), 1, 4);
}

/* Nor when another budget, that has reserved for less, is looked at already. */
static void
test_each_budget_has_its_own_limit(void **state)
{
    (void)state;
    admit_it(1000 * OUT, 0);
    admission.look_at = 1;
    r.answer.report =
        (struct usage_report){.seen = true, .has_input = true, .tokens.input = 10000000};
    assert_int_equal(words_until_cut(101), 0);
}

static void
test_text_without_an_end_to_its_words_is_within_the_limit(void **state)
{
    (void)state;
    admit_it(1000 * OUT, 0);
    for (int i = 0; i < 10000; i++) { /* 80 bytes each: a hundred tokens, cut very small */
        meter_text(&r.answer.passage.meter, SLICE("-------"));
        assert_null(overrun_look(&r));
    }
}

/* What the provider reports as it goes counts, and nothing else. */
static void
test_a_running_report_is_believed(void **state)
{
    (void)state;
    admit_it(1000 * OUT, 0);
    r.answer.report = (struct usage_report){.seen = true, .has_input = true, .has_output = true};
    for (int n = 1; n <= 112; n++) {
        r.answer.report.tokens.output = n;
        meter_text(&r.answer.passage.meter,
                   SLICE("many words in one piece, so that the text says more"));
        assert_null(overrun_look(&r));
    }
    r.answer.report.tokens.output = 114;
    meter_text(&r.answer.passage.meter, SLICE("x"));
    assert_null(overrun_look(&r)); /* this one passes it: the next cuts */
    meter_text(&r.answer.passage.meter, SLICE("x"));
    assert_ptr_equal(overrun_look(&r), &limit);
}

static void
test_a_report_that_cannot_be_cuts_nothing(void **state)
{
    (void)state;
    admit_it(1000 * OUT, 0);
    r.answer.report = (struct usage_report){.seen = true,
                                            .has_input = true,
                                            .has_output = true,
                                            .tokens.input = 10000000,
                                            .tokens.output = 1000000};
    assert_int_equal(words_until_cut(90), 0);
}

/* After its last word nothing would be saved. */
static void
test_what_has_no_more_to_say_is_not_cut(void **state)
{
    (void)state;
    admit_it(1000 * OUT, 0);
    r.answer.report = (struct usage_report){.seen = true, .has_output = true, .tokens.output = 200};
    meter_text(&r.answer.passage.meter, SLICE("to "));
    for (int i = 0; i < 5; i++)
        assert_null(overrun_look(&r));
    assert_ptr_equal(admission.passed, &limit);
    assert_true(word());
}

static void
test_what_cuts_nothing(void **state)
{
    static const enum limit_mode modes[] = {LIMIT_SHADOW, LIMIT_ENFORCE};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        limit.mode = modes[i];
        limit.is_budget = modes[i] != LIMIT_ENFORCE;
        limit.id = i ? SLICE("q") : SLICE("b");
        admit_it(1000 * OUT, 0);
        assert_int_equal(words_until_cut(5000), 0);
        admission.held = false;
        quota_free(svc.quota);
        svc.quota = quota_new();
        memset(&r.answer.passage.meter, 0, sizeof(struct meter));
    }
    r.quota = NULL;
    assert_int_equal(words_until_cut(5000), 0);
}

/* What was reserved is an estimate: what is left of the budget may be had too, and is taken. */
static void
test_an_estimate_goes_on_while_something_is_left(void **state)
{
    (void)state;
    limit.mode = LIMIT_ESTIMATE;
    r.body.brief.max_tokens = 0;
    admit_it(300 * OUT, 700 * OUT); /* 256 are supposed */
    int n = words_until_cut(5000);
    assert_in_range(n, 1000, 1000 + 256 / 8 + 2 * 16);
    assert_true(part.amount > 980 * OUT); /* nobody else can take what it has used */
    assert_true(quota_room(svc.quota, &claim) <= 700 * OUT);
}

static void
test_an_estimate_without_a_slice_is_not_cut(void **state)
{
    (void)state;
    limit.mode = LIMIT_ESTIMATE;
    r.body.brief.max_tokens = 0;
    admit_it(300 * OUT, 0);
    hear(8, 0, 0); /* the period is over: the new one's money is not what it spends */
    assert_int_equal(words_until_cut(5000), 0);
}

/* What a strict budget books of a cut stream that nobody has counted: never less than it held, nor
 * than what went by. */
static void
test_what_is_booked(void **state)
{
    (void)state;
    admit_it(1000 * OUT, 0);
    assert_true(words_until_cut(1000) > 0);
    int64_t so_far = settle_so_far(&r, &limit);
    assert_int_equal(so_far, (int64_t)r.answer.passage.meter.chunks * OUT + 34 * 10);
    r.answer.reserved = true;
    r.at = DELIVER;
    settle_tally(&r);
    assert_true(r.tally.estimated);
    assert_int_equal(r.tally.cost, so_far);
    settle_admission(&r);
    assert_int_equal(quota_room(svc.quota, &claim), 1000 * OUT - so_far);
}

/* A count of the beginning, and then only text: what is known to be behind is not the truth. */
static void
test_a_report_that_was_left_behind(void **state)
{
    (void)state;
    admit_it(1000 * OUT, 0);
    r.answer.report = (struct usage_report){.seen = true,
                                            .has_input = true,
                                            .has_output = true,
                                            .tokens.input = 7,
                                            .tokens.output = 3,
                                            .tokens.reasoning = 4};
    assert_in_range(words_until_cut(1000), 113, 117);
    r.answer.reserved = true;
    r.at = DELIVER;
    settle_tally(&r);
    assert_true(r.tally.estimated);
    assert_int_equal(r.tally.tokens.input, 7);
    assert_int_equal(tokens_output(&r.tally.tokens), r.answer.passage.meter.chunks);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    static const struct CMUnitTest tests[] = {
        T(test_a_strict_budget_cuts_beyond_the_tolerance),
        T(test_a_budget_in_tokens_cuts_too),
        T(test_within_the_limit_nothing_is_cut),
        T(test_text_without_an_end_to_its_words_is_within_the_limit),
        T(test_a_running_report_is_believed),
        T(test_a_report_that_cannot_be_cuts_nothing),
        T(test_what_has_no_more_to_say_is_not_cut),
        T(test_what_cuts_nothing),
        T(test_an_estimate_goes_on_while_something_is_left),
        T(test_an_estimate_without_a_slice_is_not_cut),
        T(test_each_budget_has_its_own_limit),
        T(test_what_is_booked),
        T(test_a_report_that_was_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
