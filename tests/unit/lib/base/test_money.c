#include "tests/unit/check.h"

#include "lib/base/money.h"

static const struct {
    const char *text;
    int err;
    int64_t value;
} usd_rows[] = {
    {"0", 0, 0},
    {"1", 0, 1000000000},
    {"2.50", 0, 2500000000},
    {"-2.50", 0, -2500000000},
    {"0.000000001", 0, 1},
    {"-0.000000001", 0, -1},
    {"007.5", 0, 7500000000},
    {"9223372036.854775807", 0, INT64_MAX},
    {"-9223372036.854775808", 0, INT64_MIN},
    {"9223372036.854775808", ERR_RANGE, 0},
    {"-9223372036.854775809", ERR_RANGE, 0},
    {"9223372037", ERR_RANGE, 0},
    {"0.0000000001", ERR_RANGE, 0},
    {"99999999999999999999999999999999999999999999999", ERR_RANGE, 0},
    {"", ERR_SYNTAX, 0},
    {"-", ERR_SYNTAX, 0},
    {"--1", ERR_SYNTAX, 0},
    {"+1", ERR_SYNTAX, 0},
    {".5", ERR_SYNTAX, 0},
    {"5.", ERR_SYNTAX, 0},
    {"1.2.3", ERR_SYNTAX, 0},
    {"1,5", ERR_SYNTAX, 0},
    {"1e3", ERR_SYNTAX, 0},
    {" 1", ERR_SYNTAX, 0},
    {"1 ", ERR_SYNTAX, 0},
    {"0x10", ERR_SYNTAX, 0},
    {"NaN", ERR_SYNTAX, 0},
    {"\xd9\xa1", ERR_SYNTAX, 0}, /* a digit, but not ASCII */
};

static void
test_parse_usd(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(usd_rows) / sizeof(usd_rows[0]); i++) {
        nanos v = 77;
        int e = money_parse_usd(slice_of(usd_rows[i].text), &v);
        if (e != usd_rows[i].err || (e == 0 && v != usd_rows[i].value))
            fail_msg("\"%s\": err %d value %lld", usd_rows[i].text, e, (long long)v);
    }
}

static void
test_parse_per_mtok(void **state)
{
    picos_tok p = 0;
    (void)state;
    assert_int_equal(money_parse_per_mtok(SLICE("2.50"), &p), 0);
    assert_int_equal(p, 2500000);
    assert_int_equal(money_parse_per_mtok(SLICE("0.000001"), &p), 0);
    assert_int_equal(p, 1);
    assert_int_equal(money_parse_per_mtok(SLICE("0.0000001"), &p), ERR_RANGE);
    assert_int_equal(money_parse_per_mtok(SLICE("-1"), &p), ERR_RANGE);
    assert_int_equal(money_parse_per_mtok(SLICE("9223372036854.775808"), &p), ERR_RANGE);
    assert_int_equal(money_parse_per_mtok(SLICE("x"), &p), ERR_SYNTAX);
}

static void
test_format(void **state)
{
    static const struct {
        nanos v;
        const char *text;
    } rows[] = {{0, "0.00"},
                {1, "0.000000001"},
                {-1, "-0.000000001"},
                {12500, "0.0000125"},
                {1000000000, "1.00"},
                {1500000000, "1.50"},
                {-1230000000, "-1.23"},
                {INT64_MAX, "9223372036.854775807"},
                {INT64_MIN, "-9223372036.854775808"}};
    char text[MONEY_TEXT_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        money_format_usd(rows[i].v, text);
        assert_string_equal(text, rows[i].text);
    }
    money_format_per_mtok(2500000, text);
    assert_string_equal(text, "2.50");
    money_format_per_mtok(1, text);
    assert_string_equal(text, "0.000001");
}

/* An int64 of any magnitude, so that small and large ones come up equally. */
static int64_t
any_amount(uint64_t *seed)
{
    return (int64_t)test_random(seed) >> test_below(seed, 64);
}

static void
test_what_is_formatted_parses_back(void **state)
{
    uint64_t seed = test_seed();
    (void)state;
    for (int i = 0; i < 200000; i++) {
        char text[MONEY_TEXT_BYTES];
        int64_t v = any_amount(&seed), back = 0;
        money_format_usd(v, text);
        assert_int_equal(money_parse_usd(slice_of(text), &back), 0);
        assert_int_equal(back, v);
        if (v < 0)
            continue;
        money_format_per_mtok(v, text);
        assert_int_equal(money_parse_per_mtok(slice_of(text), &back), 0);
        assert_int_equal(back, v);
    }
}

static void
test_round(void **state)
{
    static const struct {
        int64_t picos, want;
    } rows[] = {{0, 0},      {499, 0},    {500, 1},    {999, 1},    {1000, 1},
                {1499, 1},   {1500, 2},   {-1, 0},     {-500, 0},   {-501, -1},
                {-1000, -1}, {-1500, -1}, {-1501, -2}, {-2500, -2}, {-2501, -3}};
    nanos v = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(money_round(rows[i].picos, &v), 0);
        assert_int_equal(v, rows[i].want);
    }
    assert_int_equal(money_round((__int128)INT64_MAX * 1000 + 499, &v), 0);
    assert_int_equal(v, INT64_MAX);
    assert_int_equal(money_round((__int128)INT64_MAX * 1000 + 500, &v), ERR_RANGE);
    assert_int_equal(money_round((__int128)INT64_MIN * 1000 - 500, &v), 0);
    assert_int_equal(money_round((__int128)INT64_MIN * 1000 - 501, &v), ERR_RANGE);
}

/* Never more than half a nanodollar off, and the same for every order of the lines. */
static void
test_round_is_nearest(void **state)
{
    uint64_t seed = test_seed();
    (void)state;
    for (int i = 0; i < 100000; i++) {
        __int128 picos =
            money_line((picos_tok)test_below(&seed, 1u << 30), any_amount(&seed) >> 24);
        nanos v = 0;
        assert_int_equal(money_round(picos, &v), 0);
        __int128 off = (__int128)v * 1000 - picos;
        assert_true(off > -500 && off <= 500);
    }
}

static void
test_line_does_not_overflow(void **state)
{
    (void)state;
    __int128 line = money_line(INT64_MAX, INT64_MAX);
    assert_true(line / INT64_MAX == INT64_MAX);
}

static void
test_parse_number(void **state)
{
    static const struct {
        const char *text;
        int places, err;
        int64_t want;
    } cases[] = {
        {"2.5e-06", 12, 0, 2500000},
        {"2.5E-6", 12, 0, 2500000},
        {"0.0000025", 12, 0, 2500000},
        {"25e-07", 12, 0, 2500000},
        {"2.50000e-06", 12, 0, 2500000}, /* zeros behind it are no digits more */
        {"1", 0, 0, 1},
        {"1e3", 0, 0, 1000},
        {"1e+3", 0, 0, 1000},
        {"0.0e-999999999999", 12, 0, 0},
        {"0", 12, 0, 0},
        {"9223372036854775807", 0, 0, INT64_MAX},
        {"9223372036854775808", 0, ERR_RANGE, 0},
        {"9.3e18", 0, ERR_RANGE, 0},
        {"1e999999999999", 0, ERR_RANGE, 0},
        {"1e-999999999999", 0, ERR_RANGE, 0},
        {"1e-13", 12, ERR_RANGE, 0}, /* finer */
        {"2.9999999999999997e-07", 12, ERR_RANGE, 0},
        {"-1", 0, ERR_RANGE, 0},
        {"1234567890123456789012345678901", 0, ERR_RANGE, 0},
        {"", 0, ERR_SYNTAX, 0},
        {"e5", 0, ERR_SYNTAX, 0},
        {"1e", 0, ERR_SYNTAX, 0},
        {"1e+", 0, ERR_SYNTAX, 0},
        {"1e5x", 0, ERR_SYNTAX, 0},
        {".5", 0, ERR_SYNTAX, 0},
        {"5.", 0, ERR_SYNTAX, 0},
        {"1.2.3", 0, ERR_SYNTAX, 0},
        {"much", 0, ERR_SYNTAX, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int64_t v = 0;
        int err = money_parse_number(slice_of(cases[i].text), cases[i].places, &v);
        if (err != cases[i].err || (!err && v != cases[i].want))
            fail_msg("%s: %d, %lld", cases[i].text, err, (long long)v);
    }
}

static void
test_add(void **state)
{
    nanos sum = 0;
    (void)state;
    assert_int_equal(money_add(INT64_MAX - 1, 1, &sum), 0);
    assert_int_equal(sum, INT64_MAX);
    assert_int_equal(money_add(INT64_MAX, 1, &sum), ERR_RANGE);
    assert_int_equal(money_add(INT64_MIN, -1, &sum), ERR_RANGE);
    assert_int_equal(sum, INT64_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_usd),
        cmocka_unit_test(test_parse_per_mtok),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_what_is_formatted_parses_back),
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_round_is_nearest),
        cmocka_unit_test(test_line_does_not_overflow),
        cmocka_unit_test(test_parse_number),
        cmocka_unit_test(test_add),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
