#include "tests/unit/check.h"

#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"

static void
test_format(void **state)
{
    char text[32];
    (void)state;
    clock_rfc3339(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    clock_rfc3339(INT64_C(951782399999), text);
    assert_string_equal(text, "2000-02-28T23:59:59.999Z");
    clock_rfc3339(INT64_C(951782400000), text);
    assert_string_equal(text, "2000-02-29T00:00:00.000Z");
    clock_rfc3339(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    clock_rfc3339(-1, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
}

static void
test_parse(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"1970-01-01", 0},
        {"2027-01-01", INT64_C(1798761600000)},
        {"2026-11-22T10:00:00Z", INT64_C(1795341600000)},
        {"2026-11-22t10:00:00.5z", INT64_C(1795341600500)},
        {"2026-11-22 10:00:00.123456789Z", INT64_C(1795341600123)},
        {"2026-11-22T12:30:00+02:30", INT64_C(1795341600000)},
        {"2026-11-22T04:00:00-06:00", INT64_C(1795341600000)},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800000)},
        {"2000-02-29", INT64_C(951782400000)},
        {"0001-01-01", INT64_C(-62135596800000)},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = 0;
        if (clock_parse_rfc3339(rows[i].text, &ms) != 0 || ms != rows[i].ms)
            fail_msg("%s: %lld", rows[i].text, (long long)ms);
    }
}

static void
test_parse_refuses(void **state)
{
    static const char *const rows[] = {"",
                                       "2026",
                                       "2026-11",
                                       "2026-1-1",
                                       "2026-13-01",
                                       "2026-00-01",
                                       "2026-02-29",
                                       "1900-02-29",
                                       "2026-11-31",
                                       "2026-11-00",
                                       "2026-11-22T",
                                       "2026-11-22T10:00",
                                       "2026-11-22T10:00:00",
                                       "2026-11-22T24:00:00Z",
                                       "2026-11-22T10:60:00Z",
                                       "2026-11-22T10:00:61Z",
                                       "2026-11-22T10:00:00.Z",
                                       "2026-11-22T10:00:00Zx",
                                       "2026-11-22T10:00:00+2:00",
                                       "2026-11-22T10:00:00+24:00",
                                       "2026-11-22T10:00:00+0200",
                                       "2026-11-22x",
                                       " 2026-11-22",
                                       "+026-11-22",
                                       "20261122"};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms;
        if (clock_parse_rfc3339(rows[i], &ms) != ERR_SYNTAX)
            fail_msg("\"%s\" was taken", rows[i]);
    }
}

static void
test_as_the_c_library_has_it(void **state)
{
    uint64_t seed = test_seed();
    (void)state;
    for (int i = 0; i < 20000; i++) {
        int64_t ms = (int64_t)test_below(&seed, UINT64_C(253402300800000)), back = 0;
        time_t seconds = ms / 1000;
        struct tm tm;
        char ours[32], theirs[80];
        gmtime_r(&seconds, &tm);
        snprintf(theirs, sizeof(theirs), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
        clock_rfc3339(ms, ours);
        assert_string_equal(ours, theirs);
        assert_int_equal(clock_parse_rfc3339(ours, &back), 0);
        assert_true(back == ms);
    }
}

static void
test_clocks_run(void **state)
{
    (void)state;
    int64_t before = clock_mono_ns();
    assert_true(clock_mono_ns() >= before);
    assert_true(clock_wall_ms() > INT64_C(1700000000000));
    assert_true(clock_wall_ns() / 1000000 - clock_wall_ms() <= 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses), cmocka_unit_test(test_as_the_c_library_has_it),
        cmocka_unit_test(test_clocks_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
