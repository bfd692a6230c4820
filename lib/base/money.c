#include "lib/base/money.h"

#include <stdbool.h>
#include <string.h>

/* More digits than any int64 has; the 128-bit sum cannot overflow within them. */
#define MAX_DIGITS 30

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "12.5" with `places` decimal places kept: 12.5 * 10^places. The text has only digits and at
 * most one point, with a digit on either side. */
static int
parse_scaled(struct slice text, int places, __int128 *ret_value)
{
    __int128 v = 0;
    int fraction = -1; /* digits seen after the point; -1: no point yet */
    if (text.len == 0 || !is_digit(text.at[0]) || !is_digit(text.at[text.len - 1]))
        return ERR_SYNTAX;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '.' && fraction < 0) {
            fraction = 0;
            continue;
        }
        if (!is_digit(text.at[i]))
            return ERR_SYNTAX;
        if (i >= MAX_DIGITS || (fraction >= 0 && ++fraction > places))
            return ERR_RANGE;
        v = v * 10 + (text.at[i] - '0');
    }
    for (int i = fraction < 0 ? 0 : fraction; i < places; i++)
        v *= 10;
    *ret_value = v;
    return 0;
}

static int
to_int64(__int128 v, int64_t *ret_value)
{
    if (v > INT64_MAX || v < INT64_MIN)
        return ERR_RANGE;
    *ret_value = (int64_t)v;
    return 0;
}

int
money_parse_usd(struct slice text, nanos *ret_amount)
{
    __int128 v = 0;
    bool negative = text.len > 0 && text.at[0] == '-';
    int e = parse_scaled(negative ? slice_from(text, 1) : text, 9, &v);
    return e < 0 ? e : to_int64(negative ? -v : v, ret_amount);
}

int
money_parse_per_mtok(struct slice text, picos_tok *ret_price)
{
    __int128 v = 0;
    int e = text.len > 0 && text.at[0] == '-' ? ERR_RANGE : parse_scaled(text, 6, &v);
    return e < 0 ? e : to_int64(v, ret_price);
}

/* "e-06": -6; the text is at the 'e', or empty. */
static int
parse_exponent(struct slice text, int *ret_exponent)
{
    bool negative = text.len > 1 && text.at[1] == '-';
    size_t at = text.len > 1 && (negative || text.at[1] == '+') ? 2 : 1;
    int e = 0;
    *ret_exponent = 0;
    if (text.len == 0)
        return 0;
    if (at >= text.len)
        return ERR_SYNTAX;
    for (; at < text.len; at++) {
        if (!is_digit(text.at[at]))
            return ERR_SYNTAX;
        if (e < 1000)
            e = e * 10 + (text.at[at] - '0');
    }
    *ret_exponent = negative ? -e : e;
    return 0;
}

/* The digits of "12.50", and how many stand behind the point. */
static int
parse_digits(struct slice text, __int128 *ret_digits, int *ret_places)
{
    __int128 v = 0;
    int fraction = -1;
    if (text.len == 0 || !is_digit(text.at[0]) || !is_digit(text.at[text.len - 1]))
        return ERR_SYNTAX;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '.' && fraction < 0) {
            fraction = 0;
            continue;
        }
        if (!is_digit(text.at[i]))
            return ERR_SYNTAX;
        if (i >= MAX_DIGITS)
            return ERR_RANGE;
        v = v * 10 + (text.at[i] - '0');
        fraction += fraction >= 0;
    }
    *ret_digits = v;
    *ret_places = fraction < 0 ? 0 : fraction;
    return 0;
}

int
money_parse_number(struct slice text, int places, int64_t *ret_value)
{
    size_t mark = slice_find(text, 'e', 0);
    __int128 v;
    int behind, exponent, shift, e;
    if (mark == text.len)
        mark = slice_find(text, 'E', 0);
    if (text.len && text.at[0] == '-')
        return ERR_RANGE;
    if ((e = parse_digits(slice_make(text.at, mark), &v, &behind)) != 0 ||
        (e = parse_exponent(slice_from(text, mark), &exponent)) != 0)
        return e;
    *ret_value = 0;
    if (v == 0)
        return 0;
    for (shift = places + exponent - behind; shift > 0; shift--)
        if (v > INT64_MAX || (v *= 10) > INT64_MAX)
            return ERR_RANGE;
    for (; shift < 0; shift++, v /= 10)
        if (v % 10 != 0)
            return ERR_RANGE;
    return to_int64(v, ret_value);
}

/* v / 10^places, without trailing zeros beyond the second place. Written from the right, by hand:
 * every answer carries a cost. */
static void
format_scaled(int64_t v, int places, char *text)
{
    char digits[MONEY_TEXT_BYTES], *end = digits + sizeof(digits), *at = end;
    uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    for (int place = places; place > 0; place--) {
        char digit = (char)('0' + rest % 10);
        if (digit != '0' || at < end || place <= 2)
            *--at = digit;
        rest /= 10;
    }
    *--at = '.';
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (v < 0)
        *--at = '-';
    memcpy(text, at, (size_t)(end - at));
    text[end - at] = '\0';
}

void
money_format_usd(nanos amount, char ret_text[static MONEY_TEXT_BYTES])
{
    format_scaled(amount, 9, ret_text);
}

void
money_format_per_mtok(picos_tok price, char ret_text[static MONEY_TEXT_BYTES])
{
    format_scaled(price, 6, ret_text);
}

int
money_round(__int128 picodollars, nanos *ret_amount)
{
    /* Floor of (p + 500) / 1000; C's division truncates towards zero. */
    __int128 up = picodollars / 1000, left = picodollars % 1000;
    if (left >= 500)
        up++;
    else if (left < -500)
        up--;
    return to_int64(up, ret_amount);
}

int
money_add(nanos a, nanos b, nanos *ret_sum)
{
    nanos sum;
    if (__builtin_add_overflow(a, b, &sum))
        return ERR_RANGE;
    *ret_sum = sum;
    return 0;
}
