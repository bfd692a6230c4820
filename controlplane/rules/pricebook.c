#include "controlplane/rules/pricebook.h"

#define VERSION "builtin-2026-08-21"
#define NONE (-1) /* not given: billed as input */

/* Picodollars per token: 2500000 is 2.50 USD per million tokens. */
struct row {
    const char *provider, *model; /* a last '*' matches the rest of the name */
    picos_tok input, cached_input, cache_write, output;
};

/* clang-format off */
static const struct row rows[] = {
    /* The simulator costs something, so that a first look at the ledger shows something. */
    {"kind:simulator", "*",                                    500000,    250000,      NONE,    1500000},
    {"kind:openai", "babbage-002",                             400000,      NONE,      NONE,     400000},
    {"kind:openai", "chat-latest",                            5000000,    500000,      NONE,   30000000},
    {"kind:openai", "chatgpt-4o-latest",                      5000000,   1250000,      NONE,   15000000},
    {"kind:openai", "codex-mini-latest",                      1500000,    375000,      NONE,    6000000},
    {"kind:openai", "computer-use-preview",                   3000000,      NONE,      NONE,   12000000},
    {"kind:openai", "computer-use-preview-2025-03-11",        3000000,      NONE,      NONE,   12000000},
    {"kind:openai", "davinci-002",                            2000000,      NONE,      NONE,    2000000},
    {"kind:openai", "ft:gpt-3.5-turbo*",                      3000000,      NONE,      NONE,    6000000},
    {"kind:openai", "ft:gpt-3.5-turbo-0125*",                 3000000,      NONE,      NONE,    6000000},
    {"kind:openai", "ft:gpt-3.5-turbo-0613*",                 3000000,      NONE,      NONE,    6000000},
    {"kind:openai", "ft:gpt-3.5-turbo-1106*",                 3000000,      NONE,      NONE,    6000000},
    {"kind:openai", "ft:gpt-4.1*",                            3000000,    750000,      NONE,   12000000},
    {"kind:openai", "ft:gpt-4.1-2025-04-14*",                 3000000,    750000,      NONE,   12000000},
    {"kind:openai", "ft:gpt-4.1-mini*",                        800000,    200000,      NONE,    3200000},
    {"kind:openai", "ft:gpt-4.1-mini-2025-04-14*",             800000,    200000,      NONE,    3200000},
    {"kind:openai", "ft:gpt-4.1-nano-2025-04-14*",             200000,     50000,      NONE,     800000},
    {"kind:openai", "ft:gpt-4o*",                             3750000,   1875000,      NONE,   15000000},
    {"kind:openai", "ft:gpt-4o-2024-08-06*",                  3750000,   1875000,      NONE,   15000000},
    {"kind:openai", "ft:gpt-4o-mini*",                         300000,    150000,      NONE,    1200000},
    {"kind:openai", "ft:gpt-4o-mini-2024-07-18*",              300000,    150000,      NONE,    1200000},
    {"kind:openai", "ft:o4-mini-2025-04-16*",                 4000000,   1000000,      NONE,   16000000},
    {"kind:openai", "gpt-3.5-0301",                           1500000,      NONE,      NONE,    2000000},
    {"kind:openai", "gpt-3.5-turbo",                           500000,      NONE,      NONE,    1500000},
    {"kind:openai", "gpt-3.5-turbo-0125",                      500000,      NONE,      NONE,    1500000},
    {"kind:openai", "gpt-3.5-turbo-0613",                     1500000,      NONE,      NONE,    2000000},
    {"kind:openai", "gpt-3.5-turbo-1106",                     1000000,      NONE,      NONE,    2000000},
    {"kind:openai", "gpt-3.5-turbo-16k",                      3000000,      NONE,      NONE,    4000000},
    {"kind:openai", "gpt-3.5-turbo-16k-0613",                 3000000,      NONE,      NONE,    4000000},
    {"kind:openai", "gpt-3.5-turbo-instruct",                 1500000,      NONE,      NONE,    2000000},
    {"kind:openai", "gpt-3.5-turbo-instruct-0914",            1500000,      NONE,      NONE,    2000000},
    {"kind:openai", "gpt-4",                                 30000000,      NONE,      NONE,   60000000},
    {"kind:openai", "gpt-4-0125-preview",                    10000000,      NONE,      NONE,   30000000},
    {"kind:openai", "gpt-4-0314",                            30000000,      NONE,      NONE,   60000000},
    {"kind:openai", "gpt-4-0613",                            30000000,      NONE,      NONE,   60000000},
    {"kind:openai", "gpt-4-1106-preview",                    10000000,      NONE,      NONE,   30000000},
    {"kind:openai", "gpt-4-1106-vision-preview",             10000000,      NONE,      NONE,   30000000},
    {"kind:openai", "gpt-4-32k",                             60000000,      NONE,      NONE,  120000000},
    {"kind:openai", "gpt-4-32k-0314",                        60000000,      NONE,      NONE,  120000000},
    {"kind:openai", "gpt-4-32k-0613",                        60000000,      NONE,      NONE,  120000000},
    {"kind:openai", "gpt-4-turbo",                           10000000,      NONE,      NONE,   30000000},
    {"kind:openai", "gpt-4-turbo-2024-04-09",                10000000,      NONE,      NONE,   30000000},
    {"kind:openai", "gpt-4-turbo-preview",                   10000000,      NONE,      NONE,   30000000},
    {"kind:openai", "gpt-4-vision-preview",                  10000000,      NONE,      NONE,   30000000},
    {"kind:openai", "gpt-4.1",                                2000000,    500000,      NONE,    8000000},
    {"kind:openai", "gpt-4.1-2025-04-14",                     2000000,    500000,      NONE,    8000000},
    {"kind:openai", "gpt-4.1-mini",                            400000,    100000,      NONE,    1600000},
    {"kind:openai", "gpt-4.1-mini-2025-04-14",                 400000,    100000,      NONE,    1600000},
    {"kind:openai", "gpt-4.1-nano",                            100000,     30000,      NONE,     400000},
    {"kind:openai", "gpt-4.1-nano-2025-04-14",                 100000,     30000,      NONE,     400000},
    {"kind:openai", "gpt-4.5-preview-2025-02-27",            75000000,  37500000,      NONE,  150000000},
    {"kind:openai", "gpt-4o",                                 2500000,   1250000,      NONE,   10000000},
    {"kind:openai", "gpt-4o-2024-05-13",                      5000000,      NONE,      NONE,   15000000},
    {"kind:openai", "gpt-4o-2024-08-06",                      2500000,   1250000,      NONE,   10000000},
    {"kind:openai", "gpt-4o-2024-11-20",                      2500000,   1250000,      NONE,   10000000},
    {"kind:openai", "gpt-4o-latest",                          5000000,      NONE,      NONE,   15000000},
    {"kind:openai", "gpt-4o-mini",                             150000,     75000,      NONE,     600000},
    {"kind:openai", "gpt-4o-mini-2024-07-18",                  150000,     75000,      NONE,     600000},
    {"kind:openai", "gpt-4o-mini-search-preview",              150000,      NONE,      NONE,     600000},
    {"kind:openai", "gpt-4o-mini-search-preview-2025-03-11",     150000,      NONE,      NONE,     600000},
    {"kind:openai", "gpt-4o-search-preview",                  2500000,      NONE,      NONE,   10000000},
    {"kind:openai", "gpt-4o-search-preview-2025-03-11",       2500000,      NONE,      NONE,   10000000},
    {"kind:openai", "gpt-5",                                  1250000,    125000,      NONE,   10000000},
    {"kind:openai", "gpt-5-2025-08-07",                       1250000,    125000,      NONE,   10000000},
    {"kind:openai", "gpt-5-chat-latest",                      1250000,    125000,      NONE,   10000000},
    {"kind:openai", "gpt-5-codex",                            1250000,    125000,      NONE,   10000000},
    {"kind:openai", "gpt-5-mini",                              250000,     25000,      NONE,    2000000},
    {"kind:openai", "gpt-5-mini-2025-08-07",                   250000,     25000,      NONE,    2000000},
    {"kind:openai", "gpt-5-nano",                               50000,      5000,      NONE,     400000},
    {"kind:openai", "gpt-5-nano-2025-08-07",                    50000,      5000,      NONE,     400000},
    {"kind:openai", "gpt-5-pro",                             15000000,      NONE,      NONE,  120000000},
    {"kind:openai", "gpt-5-pro-2025-10-06",                  15000000,      NONE,      NONE,  120000000},
    {"kind:openai", "gpt-5-search-api",                       1250000,    125000,      NONE,   10000000},
    {"kind:openai", "gpt-5-search-api-2025-10-14",            1250000,    125000,      NONE,   10000000},
    {"kind:openai", "gpt-5.1",                                1250000,    125000,      NONE,   10000000},
    {"kind:openai", "gpt-5.1-2025-11-13",                     1250000,    125000,      NONE,   10000000},
    {"kind:openai", "gpt-5.1-chat-latest",                    1250000,    125000,      NONE,   10000000},
    {"kind:openai", "gpt-5.1-codex",                          1250000,    125000,      NONE,   10000000},
    {"kind:openai", "gpt-5.1-codex-max",                      1250000,    125000,      NONE,   10000000},
    {"kind:openai", "gpt-5.1-codex-mini",                      250000,     25000,      NONE,    2000000},
    {"kind:openai", "gpt-5.2",                                1750000,    175000,      NONE,   14000000},
    {"kind:openai", "gpt-5.2-2025-12-11",                     1750000,    175000,      NONE,   14000000},
    {"kind:openai", "gpt-5.2-chat-2025-12-11",                1750000,    175000,      NONE,   14000000},
    {"kind:openai", "gpt-5.2-chat-latest",                    1750000,    175000,      NONE,   14000000},
    {"kind:openai", "gpt-5.2-codex",                          1750000,    175000,      NONE,   14000000},
    {"kind:openai", "gpt-5.2-pro",                           21000000,      NONE,      NONE,  168000000},
    {"kind:openai", "gpt-5.2-pro-2025-12-11",                21000000,      NONE,      NONE,  168000000},
    {"kind:openai", "gpt-5.3-chat-latest",                    1750000,    175000,      NONE,   14000000},
    {"kind:openai", "gpt-5.3-codex",                          1750000,    175000,      NONE,   14000000},
    {"kind:openai", "gpt-5.4",                                2500000,    250000,      NONE,   15000000},
    {"kind:openai", "gpt-5.4-2026-03-05",                     2500000,    250000,      NONE,   15000000},
    {"kind:openai", "gpt-5.4-mini",                            750000,     75000,      NONE,    4500000},
    {"kind:openai", "gpt-5.4-mini-2026-03-17",                 750000,     75000,      NONE,    4500000},
    {"kind:openai", "gpt-5.4-nano",                            200000,     20000,      NONE,    1250000},
    {"kind:openai", "gpt-5.4-nano-2026-03-17",                 200000,     20000,      NONE,    1250000},
    {"kind:openai", "gpt-5.4-pro",                           30000000,      NONE,      NONE,  180000000},
    {"kind:openai", "gpt-5.4-pro-2026-03-05",                30000000,      NONE,      NONE,  180000000},
    {"kind:openai", "gpt-5.5",                                5000000,    500000,      NONE,   30000000},
    {"kind:openai", "gpt-5.5-2026-04-23",                     5000000,    500000,      NONE,   30000000},
    {"kind:openai", "gpt-5.5-pro",                           30000000,   3000000,      NONE,  180000000},
    {"kind:openai", "gpt-5.5-pro-2026-04-23",                30000000,   3000000,      NONE,  180000000},
    {"kind:openai", "gpt-5.6",                                5000000,    500000,   6250000,   30000000},
    {"kind:openai", "gpt-5.6-2026-07-09",                     5000000,    500000,   6250000,   30000000},
    {"kind:openai", "gpt-5.6-luna",                            200000,     20000,    250000,    1200000},
    {"kind:openai", "gpt-5.6-luna-2026-07-09",                 200000,     20000,    250000,    1200000},
    {"kind:openai", "gpt-5.6-sol",                            5000000,    500000,   6250000,   30000000},
    {"kind:openai", "gpt-5.6-sol-2026-07-09",                 5000000,    500000,   6250000,   30000000},
    {"kind:openai", "gpt-5.6-terra",                          2000000,    200000,   2500000,   12000000},
    {"kind:openai", "gpt-5.6-terra-2026-07-09",               2000000,    200000,   2500000,   12000000},
    {"kind:openai", "o1",                                    15000000,   7500000,      NONE,   60000000},
    {"kind:openai", "o1-2024-12-17",                         15000000,   7500000,      NONE,   60000000},
    {"kind:openai", "o1-mini",                                1100000,    550000,      NONE,    4400000},
    {"kind:openai", "o1-mini-2024-09-12",                     3000000,   1500000,      NONE,   12000000},
    {"kind:openai", "o1-preview",                            15000000,   7500000,      NONE,   60000000},
    {"kind:openai", "o1-preview-2024-09-12",                 15000000,   7500000,      NONE,   60000000},
    {"kind:openai", "o1-pro",                               150000000,      NONE,      NONE,  600000000},
    {"kind:openai", "o1-pro-2025-03-19",                    150000000,      NONE,      NONE,  600000000},
    {"kind:openai", "o3",                                     2000000,    500000,      NONE,    8000000},
    {"kind:openai", "o3-2025-04-16",                          2000000,    500000,      NONE,    8000000},
    {"kind:openai", "o3-deep-research",                      10000000,   2500000,      NONE,   40000000},
    {"kind:openai", "o3-deep-research-2025-06-26",           10000000,   2500000,      NONE,   40000000},
    {"kind:openai", "o3-mini",                                1100000,    550000,      NONE,    4400000},
    {"kind:openai", "o3-mini-2025-01-31",                     1100000,    550000,      NONE,    4400000},
    {"kind:openai", "o3-pro",                                20000000,      NONE,      NONE,   80000000},
    {"kind:openai", "o3-pro-2025-06-10",                     20000000,      NONE,      NONE,   80000000},
    {"kind:openai", "o4-mini",                                1100000,    275000,      NONE,    4400000},
    {"kind:openai", "o4-mini-2025-04-16",                     1100000,    275000,      NONE,    4400000},
    {"kind:openai", "o4-mini-deep-research",                  2000000,    500000,      NONE,    8000000},
    {"kind:openai", "o4-mini-deep-research-2025-06-26",       2000000,    500000,      NONE,    8000000},
    {"kind:openai", "text-embedding-3-large",                  130000,      NONE,      NONE,          0},
    {"kind:openai", "text-embedding-3-small",                   20000,      NONE,      NONE,          0},
    {"kind:openai", "text-embedding-ada-002",                  100000,      NONE,      NONE,          0},
    {"kind:openai", "text-embedding-ada-002-v2",               100000,      NONE,      NONE,          0},
};
/* clang-format on */

struct slice
pricebook_version(void)
{
    return SLICE(VERSION);
}

size_t
pricebook_count(void)
{
    return sizeof(rows) / sizeof(*rows);
}

struct section_price
pricebook_at(size_t at)
{
    const struct row *r = &rows[at];
    struct section_price p = {
        .provider = slice_of(r->provider),
        .model = slice_of(r->model),
        .version = SLICE(VERSION),
    };

    section_rates_set(&p.base, CLASS_INPUT, r->input);
    section_rates_set(&p.base, CLASS_OUTPUT, r->output);
    if (r->cached_input != NONE)
        section_rates_set(&p.base, CLASS_CACHE_READ, r->cached_input);
    if (r->cache_write != NONE)
        section_rates_set(&p.base, CLASS_CACHE_WRITE, r->cache_write);
    return p;
}
