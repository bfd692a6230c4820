/* The simulator's directives, from a model's name and from a header: see simulator.h. */
#include "dataplane/upstream/simulator_answer.h"

#include <string.h>

void
simulator_plan_init(struct simulator_plan *p)
{
    *p = (struct simulator_plan){
        .status = 200,
        .words = 12,
        .input_tokens = -1,
        .output_tokens = -1,
        .cut_after = -1,
        .stall_after = -1,
        .error_after = -1,
    };
}

static void
set_usage(struct simulator_plan *p, struct slice value)
{
    unsigned long long in, out;
    struct slice first = slice_cut(&value, '/');
    if (slice_to_u64(first, &in) || slice_to_u64(value, &out) || in > INT32_MAX || out > INT32_MAX)
        return;
    p->input_tokens = (int64_t)in;
    p->output_tokens = (int64_t)out;
}

static void
set_number(struct simulator_plan *p, struct slice name, int64_t n)
{
    const struct {
        const char *name;
        int64_t *into;
        int64_t max;
    } rows[] = {
        {"latency", &p->latency_ms, 600000},
        {"gap", &p->gap_ms, 600000},
        {"status", &p->status, 599},
        {"text", &p->words, 100000},
        {"chunks", &p->chunks, 100000},
        {"dims", &p->dims, 4096},
        {"cut_after", &p->cut_after, 100000},
        {"stall_after", &p->stall_after, 100000},
        {"error_after", &p->error_after, 100000},
        {"retry_after", &p->retry_after_s, 86400},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (slice_is(name, rows[i].name) && n <= rows[i].max)
            *rows[i].into = n;
}

static void
set(struct simulator_plan *p, struct slice name, struct slice value)
{
    unsigned long long n;
    if (slice_is(name, "usage")) {
        set_usage(p, value);
    } else if (slice_is(name, "no_usage")) {
        p->no_usage = slice_is(value, "1");
    } else if (slice_is(name, "finish")) {
        if (value.len > 0 && value.len < sizeof(p->finish) &&
            strspn(value.at, "abcdefghijklmnopqrstuvwxyz_") >= value.len) {
            memcpy(p->finish, value.at, value.len);
            p->finish[value.len] = '\0';
        }
    } else if (slice_to_u64(value, &n) == 0 && n <= INT32_MAX) {
        set_number(p, name, (int64_t)n);
    }
}

void
simulator_plan_read(struct simulator_plan *p, struct slice directives)
{
    char one[128];
    while (directives.len) {
        struct slice value = slice_trim(slice_cut(&directives, ';'));
        if (value.len >= sizeof(one))
            continue;
        memcpy(one, value.at, value.len); /* terminated, for strspn */
        one[value.len] = '\0';
        value.at = one;
        struct slice name = slice_trim(slice_cut(&value, '='));
        if (value.at)
            set(p, name, slice_trim(value));
    }
}

void
simulator_plan_model(struct simulator_plan *p, struct slice model)
{
    static const struct {
        const char *prefix, *directives;
    } rows[] = {
        {"simulator-slow", "latency=1000;gap=100"},
        {"simulator-cut", "cut_after=3"},
        {"simulator-stall", "stall_after=3"},
    };
    static const char error[] = "simulator-error-";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (slice_starts(model, slice_of(rows[i].prefix)))
            simulator_plan_read(p, slice_of(rows[i].directives));
    unsigned long long status;
    if (slice_starts(model, slice_of(error)) &&
        slice_to_u64(slice_from(model, sizeof(error) - 1), &status) == 0 && status >= 400 &&
        status <= 599)
        p->status = (int64_t)status;
}
