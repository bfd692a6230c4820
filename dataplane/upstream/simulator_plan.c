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
        .format = "simulator",
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
        {"cached", &p->cached_tokens, INT32_MAX},
        {"reasoning", &p->reasoning, 100000},
        {"tools", &p->tools, LIMIT_SIMULATED_CALLS},
        {"citations", &p->citations, 100},
        {"images", &p->images, 16},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (slice_is(name, rows[i].name) && n <= rows[i].max)
            *rows[i].into = n;
}

static bool
set_switch(struct simulator_plan *p, struct slice name, struct slice value)
{
    const struct {
        const char *name;
        bool *into;
    } rows[] = {
        {"no_usage", &p->no_usage},
        {"signature", &p->signature},
        {"encrypted", &p->encrypted},
        {"call_signature", &p->call_signature},
        {"demand_signature", &p->demand_signature},
        {"refusal", &p->refusal},
        {"filter", &p->filter},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (slice_is(name, rows[i].name)) {
            *rows[i].into = slice_is(value, "1");
            return true;
        }
    return false;
}

/* A word of small letters; what is none is passed over. */
static void
set_word(char into[static 32], struct slice value)
{
    if (value.len == 0 || value.len >= 32 ||
        strspn(value.at, "abcdefghijklmnopqrstuvwxyz_") < value.len)
        return;
    memcpy(into, value.at, value.len);
    into[value.len] = '\0';
}

static void
set(struct simulator_plan *p, struct slice name, struct slice value)
{
    unsigned long long n;
    if (set_switch(p, name, value))
        return;
    if (slice_is(name, "usage"))
        set_usage(p, value);
    else if (slice_is(name, "finish"))
        set_word(p->finish, value);
    else if (slice_is(name, "format"))
        set_word(p->format, value);
    else if (slice_to_u64(value, &n) == 0 && n <= INT32_MAX)
        set_number(p, name, (int64_t)n);
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

/* As a model's name can spell them: "text:3+chunks:20". */
static void
read_from_name(struct simulator_plan *p, struct slice directives)
{
    char text[512];
    size_t n = directives.len < sizeof(text) ? directives.len : sizeof(text);
    for (size_t i = 0; i < n; i++) {
        char c = directives.at[i];
        text[i] = c == '+' ? ';' : c == ':' ? '=' : c;
    }
    simulator_plan_read(p, slice_make(text, n));
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
    struct slice directives = model, name = slice_cut(&directives, '+');
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (slice_starts(name, slice_of(rows[i].prefix)))
            simulator_plan_read(p, slice_of(rows[i].directives));
    unsigned long long status;
    if (slice_starts(name, slice_of(error)) &&
        slice_to_u64(slice_from(name, sizeof(error) - 1), &status) == 0 && status >= 400 &&
        status <= 599)
        p->status = (int64_t)status;
    if (directives.at)
        read_from_name(p, directives);
}
