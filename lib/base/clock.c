#include "lib/base/clock.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "lib/base/err.h"

#define MS_PER_DAY INT64_C(86400000)
#define LAST_MS INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

static int64_t
read_ns(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t
clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t
clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000;
}

int64_t
clock_wall_ns(void)
{
    return read_ns(CLOCK_REALTIME);
}

int64_t
clock_wall_ms(void)
{
    return clock_wall_ns() / 1000000;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. Years are counted from March, so
 * that the leap day is the last; 146097 days are 400 years. */
static int64_t
days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t in_era = y - era * 400;
    int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

/* The reverse, for days from 1970 on. */
static void
date_of(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
    int64_t z = days + 719468;
    int64_t era = z / 146097;
    int64_t in_era = z % 146097;
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    int64_t m = (5 * in_year + 2) / 153;
    *ret_day = (int)(in_year - (153 * m + 2) / 5 + 1);
    *ret_month = (int)(m < 10 ? m + 3 : m - 9);
    *ret_year = (int)(year + era * 400 + (*ret_month <= 2 ? 1 : 0));
}

/* Puts `digits` decimal digits of v at p. */
static void
put(char *p, int64_t v, int digits)
{
    while (digits-- > 0) {
        p[digits] = (char)('0' + v % 10);
        v /= 10;
    }
}

void
clock_rfc3339(int64_t wall_ms, char ret_text[static 32])
{
    int year = 0, month = 0, day = 0;
    if (wall_ms < 0)
        wall_ms = 0;
    if (wall_ms > LAST_MS)
        wall_ms = LAST_MS;
    date_of(wall_ms / MS_PER_DAY, &year, &month, &day);
    int64_t in_day = wall_ms % MS_PER_DAY;
    memcpy(ret_text, "0000-00-00T00:00:00.000Z", 25);
    put(ret_text, year, 4);
    put(ret_text + 5, month, 2);
    put(ret_text + 8, day, 2);
    put(ret_text + 11, in_day / 3600000, 2);
    put(ret_text + 14, in_day / 60000 % 60, 2);
    put(ret_text + 17, in_day / 1000 % 60, 2);
    put(ret_text + 20, in_day % 1000, 3);
}

/* A cursor over the text whose first error sticks (at becomes NULL). */
struct reader {
    const char *at;
};

static int
number(struct reader *r, int digits)
{
    int v = 0;
    for (; r->at && digits > 0; digits--) {
        if (*r->at < '0' || *r->at > '9') {
            r->at = NULL;
            return 0;
        }
        v = v * 10 + (*r->at++ - '0');
    }
    return v;
}

static bool
skip(struct reader *r, char a, char b)
{
    if (!r->at || (*r->at != a && *r->at != b))
        return false;
    r->at++;
    return true;
}

static void
expect(struct reader *r, char c)
{
    if (!skip(r, c, c))
        r->at = NULL;
}

/* ".123456" to milliseconds; what is finer is cut off. */
static int
fraction_ms(struct reader *r)
{
    int ms = 0, scale = 100, digits = 0;
    if (!skip(r, '.', '.'))
        return 0;
    for (; *r->at >= '0' && *r->at <= '9'; r->at++, digits++) {
        ms += (*r->at - '0') * scale;
        scale /= 10;
    }
    if (digits == 0)
        r->at = NULL;
    return ms;
}

/* "Z" or "+01:30" to minutes east of UTC. */
static int
offset_minutes(struct reader *r)
{
    if (!r->at || skip(r, 'Z', 'z'))
        return 0;
    int sign = *r->at == '-' ? -1 : 1;
    if (!skip(r, '+', '-')) {
        r->at = NULL;
        return 0;
    }
    int hours = number(r, 2);
    expect(r, ':');
    int minutes = number(r, 2);
    if (hours > 23 || minutes > 59)
        r->at = NULL;
    return sign * (hours * 60 + minutes);
}

static int
days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static int64_t
date_ms(struct reader *r)
{
    int year = number(r, 4);
    expect(r, '-');
    int month = number(r, 2);
    expect(r, '-');
    int day = number(r, 2);
    if (r->at && (month < 1 || month > 12 || day < 1 || day > days_in(year, month)))
        r->at = NULL;
    return r->at ? days_of(year, month, day) * MS_PER_DAY : 0;
}

static int64_t
time_ms(struct reader *r)
{
    int hours = number(r, 2);
    expect(r, ':');
    int minutes = number(r, 2);
    expect(r, ':');
    int seconds = number(r, 2);
    if (hours > 23 || minutes > 59 || seconds > 60) /* 60: a leap second */
        r->at = NULL;
    int ms = r->at ? fraction_ms(r) : 0;
    int east = offset_minutes(r);
    return ((int64_t)hours * 3600 + (int64_t)(minutes - east) * 60 + seconds) * 1000 + ms;
}

int
clock_parse_rfc3339(const char *text, int64_t *ret_wall_ms)
{
    struct reader r = {text};
    int64_t ms = date_ms(&r);
    if (r.at && *r.at != '\0') {
        if (!skip(&r, 'T', 't') && !skip(&r, ' ', ' '))
            return ERR_SYNTAX;
        ms += time_ms(&r);
    }
    if (!r.at || *r.at != '\0')
        return ERR_SYNTAX;
    *ret_wall_ms = ms;
    return 0;
}
