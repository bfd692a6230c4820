/*
 * What a provider says was used, by day (UTC) and model, read from its reports; what the gateway
 * says; and every difference. No input or output; amounts never go through floating point.
 *
 * Models are taken under their names without a date at the end: who asks for "gpt-4o" is billed for
 * "gpt-4o-2024-08-06".
 */
#ifndef CONTROLPLANE_CLI_BILL_H
#define CONTROLPLANE_CLI_BILL_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/map.h"
#include "lib/base/slice.h"
#include "lib/json/doc.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_BILL_BYTES ((size_t)64 << 20)
#define LIMIT_BILL_LINES 100000 /* days times models */

enum bill_metric { BILL_INPUT, BILL_CACHED, BILL_OUTPUT, BILL_COST, BILL_METRICS };
enum bill_format { BILL_OPENAI, BILL_ANTHROPIC, BILL_CSV, BILL_FORMATS };
/* "openai", "anthropic", "csv": 0 or ERR_NOT_FOUND. */
MUST_CHECK int bill_format_parse(struct slice name, enum bill_format *ret_format);

struct bill_line {
    struct slice day, model;  /* "2026-11-01"; model empty: of all together */
    int64_t of[BILL_METRICS]; /* tokens; nanodollars */
};
struct bill {
    struct arena arena;
    struct map by_name;
    struct bill_line **lines;
    size_t count, cap;
    bool has[BILL_METRICS]; /* the report speaks of it */
    bool by_model;          /* every line has a model */
    bool more;              /* a page that says that others follow */
};

void bill_init(struct bill *b);
void bill_free(struct bill *b);
/* Reads a report: one page, or a list of pages. 0, ERR_NOMEM, or ERR_SYNTAX or ERR_LIMIT with what
 * is wrong in *why. */
MUST_CHECK int bill_read(struct bill *b, enum bill_format format, struct slice text,
                         struct buf *why);
/* The first and the last day: false where there is no line. */
bool bill_days(const struct bill *b, struct slice *ret_first, struct slice *ret_last);
/* The gateway's own rows: of "day", "provider_model" (if by_model) and the sums. */
MUST_CHECK int bill_read_ours(struct bill *b, const struct json *rows, bool by_model);

/* Each difference beyond `tolerance` nanodollars (tokens: any), of the days [from, to) ("" open),
 * as
 * {"day","model","metric","reported","ledger","difference"}, by day and model. *ret_compared: how
 * many lines were looked at. NULL: no memory, or a sum out of range. */
struct json *bill_compare(const struct bill *reported, const struct bill *ours, const char *from,
                          const char *to, int64_t tolerance, size_t *ret_compared);

#endif
