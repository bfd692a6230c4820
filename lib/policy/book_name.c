/*
 * Names that the built-in book has no line for, because a rule finds theirs. Only the book is
 * looked up so: what an operator prices has the name that it was given.
 *
 * Prefixes: Bedrock's inference profiles name the regions that may serve a model. Where a region
 * has a price of its own the book has a line, which comes first; AWS GovCloud's ("us-gov.") always
 * does, so that prefix is not taken off.
 *
 * Dates: providers list snapshots of a model under its name and a full date. Those that cost
 * something else have a line. A snapshot from after the book was written has no price: nobody could
 * know it.
 */
#include "lib/policy/policy_internal.h"

static const struct {
    enum provider_kind kind;
    struct slice prefix;
} prefixes[] = {
    {PROVIDER_BEDROCK, {"us.", 3}},        {PROVIDER_BEDROCK, {"eu.", 3}},
    {PROVIDER_BEDROCK, {"apac.", 5}},      {PROVIDER_BEDROCK, {"ap.", 3}},
    {PROVIDER_BEDROCK, {"jp.", 3}},        {PROVIDER_BEDROCK, {"au.", 3}},
    {PROVIDER_BEDROCK, {"ca.", 3}},        {PROVIDER_BEDROCK, {"global.", 7}},
    {PROVIDER_GEMINI, {"models/", 7}},     {PROVIDER_VERTEX, {"publishers/google/models/", 25}},
    {PROVIDER_VERTEX, {"google/", 7}},     {PROVIDER_VERTEX, {"publishers/anthropic/models/", 28}},
    {PROVIDER_VERTEX, {"anthropic/", 10}}, {PROVIDER_FIREWORKS, {"accounts/fireworks/models/", 26}},
};

struct slice
book_name_plain(enum provider_kind kind, struct slice model)
{
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
        if (prefixes[i].kind == kind && slice_starts(model, prefixes[i].prefix))
            return slice_from(model, prefixes[i].prefix.len);
    return model;
}

/* YYYYMMDD of "2024-08-06" or "20240806"; 0: no date. */
static long
date_of(struct slice s)
{
    bool dashes = s.len == 10 && s.at[4] == '-' && s.at[7] == '-';
    long date = 0, month, day;

    if (!dashes && s.len != 8)
        return 0;
    for (size_t i = 0; i < s.len; i++) {
        if (dashes && (i == 4 || i == 7))
            continue;
        if (s.at[i] < '0' || s.at[i] > '9')
            return 0;
        date = date * 10 + (s.at[i] - '0');
    }
    month = date / 100 % 100;
    day = date % 100;
    return date / 10000 >= 2020 && month >= 1 && month <= 12 && day >= 1 && day <= 31 ? date : 0;
}

/* Where the date begins that ends the name; s.len: there is none. */
static size_t
date_start(struct slice s)
{
    static const size_t lengths[] = {10, 8};

    for (size_t i = 0; i < 2; i++) {
        size_t n = lengths[i];
        if (s.len < n + 2 || !(s.at[s.len - n - 1] == '-' || s.at[s.len - n - 1] == '@'))
            continue;
        if (date_of(slice_from(s, s.len - n)))
            return s.len - n;
    }
    return s.len;
}

struct slice
book_name_undated(struct slice model)
{
    size_t start = date_start(model);

    return start < model.len ? slice_make(model.at, start - 1) : model;
}

bool
book_knows(struct slice version, struct slice model)
{
    size_t of_book = date_start(version), of_model = date_start(model);

    if (of_book == version.len || of_model == model.len)
        return false;
    return date_of(slice_from(model, of_model)) <= date_of(slice_from(version, of_book));
}
