#include "dataplane/dialects/usage.h"

int64_t
usage_part(int64_t part, int64_t whole, bool *suspect)
{
    if (part < 0)
        return 0;
    if (part > whole) {
        *suspect = true;
        return whole;
    }
    return part;
}

int64_t
usage_total(const struct tokens *t)
{
    return tokens_input(t) + tokens_output(t);
}

void
usage_merge(struct usage_report *report, const struct usage_report *later)
{
    report->suspect |= later->suspect;
    if (later->tier != TIER_STANDARD)
        report->tier = later->tier;
    if (!later->seen)
        return;
    if (report->seen && usage_total(&later->tokens) < usage_total(&report->tokens)) {
        report->suspect = true; /* a running count went backwards: the larger one stands */
        return;
    }
    report->tokens = later->tokens;
    report->seen = true;
    report->has_input = later->has_input;
    report->has_output = later->has_output;
}
