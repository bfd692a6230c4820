#include "dataplane/dialects/usage.h"

#include <string.h>

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

/* "audio", "AUDIO" and "Audio": in the dialects' types, MIME types and modalities. */
static bool
mentions(struct slice body, const char *tail_lower, const char *tail_upper)
{
    return memmem(body.at, body.len, tail_lower, strlen(tail_lower)) != NULL ||
           memmem(body.at, body.len, tail_upper, strlen(tail_upper)) != NULL;
}

void
usage_widen(struct tokens *most, const struct rates *rates, struct slice body)
{
    bool audio = rates->audio_input > rates->input || rates->audio_output > rates->output;
    bool image = rates->image_input > rates->input || rates->image_output > rates->output;

    if (audio && mentions(body, "udio", "UDIO")) {
        most->audio_input = most->input;
        most->audio_output = most->output;
    }
    if (image && mentions(body, "mage", "MAGE")) {
        most->image_input = most->input;
        most->image_output = most->output;
    }
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
