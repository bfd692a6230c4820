#include "dataplane/stream/meter.h"

#include <string.h>

/* The members that carry what a model writes, the commonest first. */
static const struct slice names[] = {
    {"\"content\":\"", 11},   {"\"arguments\":\"", 13}, {"\"reasoning_content\":\"", 21},
    {"\"reasoning\":\"", 13}, {"\"text\":\"", 8},       {"\"refusal\":\"", 11},
    {"\"delta\":\"", 9},      {"\"thinking\":\"", 12},  {"\"partial_json\":\"", 16},
};
#define NAMES (sizeof(names) / sizeof(names[0]))

/* Length of the JSON text that begins at `at`, without its closing quote. */
static size_t
text_length(struct slice data, size_t at)
{
    size_t from = at;
    for (;;) {
        const char *quote = memchr(data.at + from, '"', data.len - from);
        if (!quote)
            return data.len - at;
        const char *back = quote;
        while (back > data.at + at && back[-1] == '\\')
            back--;
        if ((quote - back) % 2 == 0)
            return (size_t)(quote - (data.at + at));
        from = (size_t)(quote - data.at) + 1;
        if (from >= data.len)
            return data.len - at;
    }
}

static bool
count_text(struct meter *m, struct slice data, size_t at)
{
    size_t n = text_length(data, at);
    if (n == 0)
        return false;
    m->chunks++;
    m->bytes += n;
    return true;
}

void
meter_count(struct meter *m, struct slice data)
{
    const struct slice *last = &names[m->name];
    if (data.len == 0)
        return;
    if (m->at > last->len && m->at <= data.len &&
        memcmp(data.at + m->at - last->len, last->at, last->len) == 0 && count_text(m, data, m->at))
        return;
    for (unsigned i = 0; i < NAMES; i++) {
        const char *hit = memmem(data.at, data.len, names[i].at, names[i].len);
        size_t at = hit ? (size_t)(hit - data.at) + names[i].len : 0;
        if (!hit || !count_text(m, data, at))
            continue; /* not there, or "content":"" beside arguments */
        m->at = at;
        m->name = i;
        return;
    }
}
