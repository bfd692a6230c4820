/*
 * Money: amounts are int64 nanodollars (1e-9 USD), prices int64 picodollars (1e-12 USD) per
 * token. No floating point anywhere. "2.50" USD per million tokens = 2,500,000 pUSD a token.
 */
#ifndef LIB_BASE_MONEY_H
#define LIB_BASE_MONEY_H

#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdint.h>

typedef int64_t nanos;     /* nanodollars */
typedef int64_t picos_tok; /* picodollars per token */

#define NANOS_PER_USD INT64_C(1000000000)
/* "-9223372036.854775807" and a NUL fit. */
#define MONEY_TEXT_BYTES 32

/* Decimal dollars, at most 9 fraction digits, no exponent: 0, ERR_SYNTAX, ERR_RANGE. */
MUST_CHECK int money_parse_usd(struct slice text, nanos *ret_amount);
/* Shortest exact decimal with at least two fraction digits: "0.00", "0.0000125". */
void money_format_usd(nanos amount, char ret_text[static MONEY_TEXT_BYTES]);
/* USD per million tokens, at most 6 fraction digits, not negative: 0, ERR_SYNTAX, ERR_RANGE. */
MUST_CHECK int money_parse_per_mtok(struct slice text, picos_tok *ret_price);
/* A JSON number's own text ("2.5e-06"), times 10^places: exact, never through a double, or not at
 * all. Not negative. 0, ERR_SYNTAX, ERR_RANGE (also: finer than that). */
MUST_CHECK int money_parse_number(struct slice text, int places, int64_t *ret_value);
void money_format_per_mtok(picos_tok price, char ret_text[static MONEY_TEXT_BYTES]);

/* A cost is summed exactly in picodollars and rounded up once to nanodollars:
 *   __int128 sum = 0; sum += money_line(price, tokens); ...; money_round(sum, &cost) */
static inline __int128
money_line(picos_tok price, int64_t tokens)
{
    return (__int128)price * tokens;
}
/* Rounds half a nanodollar and more up: 0 or ERR_RANGE. */
MUST_CHECK int money_round(__int128 picodollars, nanos *ret_amount);
/* Checked sum: 0 or ERR_RANGE. */
MUST_CHECK int money_add(nanos a, nanos b, nanos *ret_sum);

#endif
