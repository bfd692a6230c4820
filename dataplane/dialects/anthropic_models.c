/* What Anthropic's models differ in, by name. A row is the beginning of names; the first that fits
 * counts. An unknown Claude is taken for one of the newest generation; anybody else's model behind
 * the same API for a plain one. */
#include "dataplane/dialects/anthropic_internal.h"

/* clang-format off */
static const struct anthropic_model models[] = {
    /*                        output  thinks manual adaptive default sampling both   schema effort xhigh  max */
    {"claude-3-haiku",          4096, false, false, false,   false,  true,    true,  false, false, false, false},
    {"claude-3-opus",           4096, false, false, false,   false,  true,    true,  false, false, false, false},
    {"claude-3-sonnet",         4096, false, false, false,   false,  true,    true,  false, false, false, false},
    {"claude-3-5-",             8192, false, false, false,   false,  true,    true,  false, false, false, false},
    {"claude-3-7-",            64000, true,  true,  false,   false,  true,    true,  false, false, false, false},
    {"claude-sonnet-4-5",      64000, true,  true,  false,   false,  true,    false, true,  false, false, false},
    {"claude-sonnet-4-6",     128000, true,  true,  true,    false,  true,    false, true,  true,  false, false},
    {"claude-sonnet-4",        64000, true,  true,  false,   false,  true,    true,  false, false, false, false},
    {"claude-haiku-4-5",       64000, true,  true,  false,   false,  true,    false, true,  false, false, false},
    {"claude-opus-4-1",        32000, true,  true,  false,   false,  true,    false, true,  false, false, false},
    {"claude-opus-4-5",        64000, true,  true,  false,   false,  true,    false, true,  true,  false, false},
    {"claude-opus-4-6",       128000, true,  true,  true,    false,  true,    false, true,  true,  false, true},
    {"claude-opus-4-7",       128000, true,  false, true,    true,   false,   false, true,  true,  true,  true},
    {"claude-opus-4-8",       128000, true,  false, true,    true,   false,   false, true,  true,  true,  true},
    {"claude-opus-4",          32000, true,  true,  false,   false,  true,    true,  false, false, false, false},
    {"claude-opus-5",         128000, true,  false, true,    true,   false,   false, true,  true,  true,  true},
    {"claude-sonnet-5",       128000, true,  false, true,    true,   false,   false, true,  true,  true,  true},
    {"claude-",                64000, true,  false, true,    true,   false,   false, true,  true,  false, false},
    {"",                        8192, true,  true,  false,   false,  true,    true,  false, false, false, false},
};
/* clang-format on */

const struct anthropic_model *
anthropic_model_of(struct slice name)
{
    size_t i = 0;
    while (!slice_starts(name, slice_of(models[i].begins)))
        i++; /* the last row fits all */
    return &models[i];
}
