/* The Date field (RFC 9110 5.6.7), formatted once a second. */
#include <stdio.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/http/stream.h"

#define DATE_BYTES 29

static void
format_date(char *into, size_t n, int64_t wall_ms)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    snprintf(into, n, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday % 7], tm.tm_mday,
             months[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

struct slice
http_date(struct loop *l)
{
    /* One a thread, since each loop has its own. The text holds until the wall second ends. */
    static _Thread_local char text[64];
    static _Thread_local int64_t holds_until_ms;
    int64_t now = loop_now_ms(l);
    if (now >= holds_until_ms) {
        int64_t wall = clock_wall_ms();
        format_date(text, sizeof text, wall);
        holds_until_ms = now + 1000 - wall % 1000;
    }
    return slice_make(text, DATE_BYTES);
}
