#include "dataplane/stream/meter.h"

#include <string.h>

/* The members that carry what a model writes, the commonest first. */
static const struct slice names[] = {
    {"\"content\":\"", 11},   {"\"arguments\":\"", 13}, {"\"reasoning_content\":\"", 21},
    {"\"reasoning\":\"", 13}, {"\"text\":\"", 8},       {"\"refusal\":\"", 11},
    {"\"delta\":\"", 9},      {"\"thinking\":\"", 12},  {"\"partial_json\":\"", 16},
};
#define NAMES (sizeof(names) / sizeof(names[0]))

/* The longest tokens of the vocabularies in use stand for 128 bytes, and JSON makes no more than
 * six of one. */
#define TOKEN_BYTES (6 * 128)
/* A delta has less. What has more may be a document that a tool of the provider's has found. */
#define DELTA_BYTES 1024
#define ESCAPE_BYTES 6 /* the longest: \u00a0 */

/* No vocabulary has a token of two words with a space between them, or of a word and the space
 * behind it. So each change from one to the other at the border of two chunks is a token's. Changes
 * inside of a chunk are not looked for: that would be a second look at every byte. */
enum edge { EDGE_UNKNOWN, EDGE_SPACE, EDGE_WORD };

static enum edge
edge_of(char c)
{
    if (c == ' ')
        return EDGE_SPACE;
    /* a letter of another script may be a space of another kind; a backslash begins an escape */
    return c > ' ' && c <= '~' && c != '\\' ? EDGE_WORD : EDGE_UNKNOWN;
}

static enum edge
end_of(struct slice text)
{
    enum edge e = edge_of(text.at[text.len - 1]);
    size_t n = text.len < ESCAPE_BYTES ? text.len : ESCAPE_BYTES;
    if (e == EDGE_WORD && memchr(text.at + text.len - n, '\\', n))
        return EDGE_UNKNOWN; /* maybe an escape's last letter */
    return e;
}

void
meter_text(struct meter *m, struct slice text)
{
    enum edge begins = edge_of(text.at[0]);
    m->chunks++;
    m->bytes += text.len;
    m->sure_bytes += text.len < DELTA_BYTES ? text.len : DELTA_BYTES;
    m->opened += m->edge == EDGE_SPACE && begins == EDGE_WORD;
    m->closed += m->edge == EDGE_WORD && begins == EDGE_SPACE;
    m->edge = (unsigned char)end_of(text);
}

uint64_t
meter_sure_tokens(const struct meter *m, bool is_one)
{
    uint64_t words = m->opened > m->closed ? m->opened : m->closed;
    uint64_t by_bytes = m->sure_bytes / TOKEN_BYTES;
    return is_one && words > by_bytes ? words : by_bytes;
}

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
    meter_text(m, slice_make(data.at + at, n));
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
