/* What is done with a scanned text: values read, edits spliced in, containers walked, strings
 * quoted. The text was found valid by json_scan; nothing here checks it again, and nothing reads
 * beyond it. */
#include <string.h>

#include "lib/base/utf8.h"
#include "lib/json/scan.h"

/* --- strings ---------------------------------------------------------------------------------- */

static unsigned
hex_value(const char *at)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)at[i];
        v = v << 4 | (c <= '9' ? c - '0' + 0u : (c | 0x20u) - 'a' + 10);
    }
    return v & 0xffff;
}

/* Decodes the escape at in[0..left) ("\n", "\u00e9", a pair of surrogates) to out; *ret_used bytes
 * of the text were read. Returns how many were written. */
static size_t
decode_escape(const char *in, size_t left, char *out, size_t *ret_used)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    *ret_used = 2;
    if (in[1] != 'u' || left < 6) {
        const char *hit = memchr(from, in[1], sizeof(from) - 1);
        *out = hit ? to[hit - from] : in[1];
        return 1;
    }
    uint32_t code = hex_value(in + 2);
    *ret_used = 6;
    if (code >= 0xd800 && code <= 0xdbff && left >= 12) {
        code = 0x10000 + ((code - 0xd800) << 10) + (hex_value(in + 8) - 0xdc00);
        *ret_used = 12;
    }
    return utf8_put(code, out);
}

int
json_text(struct slice text, struct json_span s, struct arena *a, struct slice *ret_value)
{
    if (s.kind != JSON_TEXT || s.end - s.start < 2)
        return ERR_SYNTAX;
    struct slice in = {text.at + s.start + 1, s.end - s.start - 2};
    size_t plain = slice_find(in, '\\', 0);
    if (plain == in.len) {
        *ret_value = in;
        return 0;
    }
    char *out = arena_alloc(a, in.len); /* decoding never makes it longer */
    if (!out)
        return ERR_NOMEM;
    size_t n = 0;
    while (in.len > 0) {
        memcpy(out + n, in.at, plain);
        n += plain;
        in = slice_from(in, plain);
        size_t used = 0;
        if (in.len >= 2)
            n += decode_escape(in.at, in.len, out + n, &used);
        in = slice_from(in, in.len >= 2 ? used : in.len);
        plain = slice_find(in, '\\', 0);
    }
    *ret_value = (struct slice){out, n};
    return 0;
}

/* --- numbers ---------------------------------------------------------------------------------- */

int
json_int(struct slice text, struct json_span s, int64_t *ret_value)
{
    struct slice digits = json_raw(text, s);
    unsigned long long v = 0;
    if (s.kind != JSON_NUMBER)
        return ERR_SYNTAX;
    bool negative = digits.len > 0 && digits.at[0] == '-';
    int e = slice_to_u64(negative ? slice_from(digits, 1) : digits, &v);
    if (e < 0)
        return e;
    if (v > (unsigned long long)INT64_MAX + (negative ? 1 : 0))
        return ERR_RANGE;
    *ret_value = negative ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

/* --- splicing --------------------------------------------------------------------------------- */

size_t
json_pieces(struct slice text, const struct json_splice *edits, size_t count,
            struct slice *ret_pieces)
{
    size_t n = 0, kept = 0; /* the original is dealt with up to `kept` */
    for (size_t i = 0; i < count; i++) {
        if (edits[i].start > kept)
            ret_pieces[n++] = (struct slice){text.at + kept, edits[i].start - kept};
        if (edits[i].with.len > 0)
            ret_pieces[n++] = edits[i].with;
        kept = edits[i].end;
    }
    if (kept < text.len)
        ret_pieces[n++] = slice_from(text, kept);
    return n;
}

/* --- quoting ---------------------------------------------------------------------------------- */

/* Bytes at the front that need no change. */
static size_t
clean_run(struct slice s)
{
    size_t i = 0;
    while (i < s.len) {
        unsigned char c = (unsigned char)s.at[i];
        uint32_t code;
        if (c < 0x20 || c == '"' || c == '\\')
            break;
        size_t n = c < 0x80 ? 1 : utf8_take(s.at + i, s.len - i, &code);
        if (n == 0)
            break;
        i += n;
    }
    return i;
}

static int
add_escaped(struct buf *into, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *hit = memchr(from, c, sizeof(from) - 1);
    if (hit)
        return buf_add(into, (const char[]){'\\', to[hit - from]}, 2);
    if (c >= 0x80)
        return buf_add(into, "\xef\xbf\xbd", 3); /* U+FFFD for a byte that is no UTF-8 */
    return buf_addf(into, "\\u%04x", c);
}

int
json_quote(struct buf *into, struct slice text)
{
    size_t before = into->len;
    int e = buf_add(into, "\"", 1);
    while (e == 0 && text.len > 0) {
        size_t n = clean_run(text);
        e = buf_add(into, text.at, n);
        text = slice_from(text, n);
        if (e == 0 && text.len > 0) {
            e = add_escaped(into, (unsigned char)text.at[0]);
            text = slice_from(text, 1);
        }
    }
    if (e == 0)
        e = buf_add(into, "\"", 1);
    if (e < 0)
        into->len = before;
    return e;
}

/* --- walking ---------------------------------------------------------------------------------- */

static size_t
skip_space(struct slice text, size_t at)
{
    while (at < text.len && memchr(" \n\t\r", text.at[at], 4))
        at++;
    return at;
}

/* at: the opening quote. Returns what is behind the closing one. */
static size_t
skip_string(struct slice text, size_t at)
{
    const char *start = text.at + at + 1, *from = start, *end = text.at + text.len;
    for (;;) {
        const char *quote = from < end ? memchr(from, '"', (size_t)(end - from)) : NULL;
        if (!quote)
            return text.len;
        const char *back = quote;
        while (back > start && back[-1] == '\\')
            back--;
        if ((quote - back) % 2 == 0)
            return (size_t)(quote - text.at) + 1;
        from = quote + 1;
    }
}

/* at: an opening bracket. Returns what is behind its closing one. */
static size_t
skip_container(struct slice text, size_t at)
{
    size_t depth = 0;
    while (at < text.len) {
        char c = text.at[at];
        if (c == '"') {
            at = skip_string(text, at);
            continue;
        }
        at++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            break;
    }
    return at;
}

static size_t
skip_bare(struct slice text, size_t at)
{
    while (at < text.len && !memchr(",]} \n\t\r", text.at[at], 7))
        at++;
    return at;
}

static struct json_span
value_at(struct slice text, size_t at)
{
    struct json_span s = {.start = at};
    switch (text.at[at]) {
    case '"':
        s.kind = JSON_TEXT;
        s.end = skip_string(text, at);
        return s;
    case '{':
    case '[':
        s.kind = text.at[at] == '{' ? JSON_MAP : JSON_LIST;
        s.end = skip_container(text, at);
        return s;
    case 't':
        s.kind = JSON_TRUE_;
        break;
    case 'f':
        s.kind = JSON_FALSE_;
        break;
    case 'n':
        s.kind = JSON_NULL_;
        break;
    default:
        s.kind = JSON_NUMBER;
        break;
    }
    s.end = skip_bare(text, at);
    return s;
}

bool
json_next(struct slice text, struct json_span container, size_t *cursor, struct json_span *ret_name,
          struct json_span *ret_value)
{
    size_t at = *cursor;
    if (container.kind != JSON_MAP && container.kind != JSON_LIST)
        return false;
    struct slice inside = {text.at, container.end - 1}; /* up to the closing bracket */
    at = skip_space(inside, at == container.start ? at + 1 : at);
    if (at < inside.len && inside.at[at] == ',')
        at = skip_space(inside, at + 1);
    if (at >= inside.len)
        return false;
    *ret_name = (struct json_span){.kind = JSON_ABSENT};
    if (container.kind == JSON_MAP) {
        *ret_name = value_at(inside, at);
        at = skip_space(inside, ret_name->end);
        at = skip_space(inside, at + 1); /* the colon */
        if (at >= inside.len)
            return false;
    }
    *ret_value = value_at(inside, at);
    ret_value->name_start = ret_name->start;
    *cursor = ret_value->end;
    return true;
}
