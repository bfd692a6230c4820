/*
 * The scanner proper. One loop over tokens with an explicit stack of one bit a level; strings,
 * where most bytes of a request are, are passed sixteen or eight bytes at a time.
 */
#include "lib/json/scan.h"

#include <string.h>

#include "lib/base/load.h"
#include "lib/base/utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Deeper than this no limit allows: the stack of brackets is a fixed array. */
#define LIMIT_STACK_DEPTH 1024

const struct json_limits json_limits_default = {.depth = 64, .tokens = 1000000};

/* The text as it is read. `at` is where the last thing read ended, or where the error is. */
struct scan {
    const unsigned char *base, *at, *end;
    const char *reason;
    size_t tokens; /* that may still come */
    unsigned depth, max_depth;
    uint64_t maps[LIMIT_STACK_DEPTH / 64]; /* bit d: the container at depth d + 1 is a map */
};

static int
fail(struct scan *s, const unsigned char *at, const char *reason)
{
    s->at = at;
    s->reason = reason;
    return ERR_SYNTAX;
}

/* --- bytes ------------------------------------------------------------------------------------ */

static inline bool
is_space(unsigned char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static inline const unsigned char *
skip_space(const unsigned char *at, const unsigned char *end)
{
    while (at < end && is_space(*at))
        at++;
    return at;
}

#define EACH_BYTE UINT64_C(0x0101010101010101)
#define HIGH_BITS UINT64_C(0x8080808080808080)

/* The high bit of each byte that is not plain: a quote, a backslash, a control character or not
 * ASCII. A borrow can only mark a byte above one that is marked rightly, so the lowest mark is
 * right, and so is "none". */
static inline uint64_t
special_bytes(uint64_t v)
{
    uint64_t quote = v ^ (EACH_BYTE * '"'), backslash = v ^ (EACH_BYTE * '\\');
    return ((v - EACH_BYTE * 0x20) | (quote - EACH_BYTE) | (backslash - EACH_BYTE) | v) & HIGH_BITS;
}

#ifdef __SSE2__
/* A bit for each of 16 bytes that is not plain. As signed numbers the control characters and all
 * that is not ASCII are below a space. */
static inline unsigned
special16(const unsigned char *at)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i below = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(below, _mm_or_si128(quote, backslash)));
}
#endif

static inline bool
is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* The first byte from `at` that is not plain, or end. */
static inline const unsigned char *
skip_plain(const unsigned char *at, const unsigned char *end)
{
#ifdef __SSE2__
    for (; end - at >= 16; at += 16) {
        unsigned special = special16(at);
        if (special)
            return at + __builtin_ctz(special);
    }
#endif
    for (; end - at >= 8; at += 8) {
        uint64_t special = special_bytes(load_le64(at));
        if (special)
            return at + (__builtin_ctzll(special) >> 3);
    }
    while (at < end && is_plain(*at))
        at++;
    return at;
}

/* --- strings ---------------------------------------------------------------------------------- */

/* Four hexadecimal digits, or -1. */
static int
hex4(const unsigned char *at, const unsigned char *end)
{
    int v = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        unsigned char c = at[i], low = c | 0x20;
        if (c >= '0' && c <= '9')
            v = v << 4 | (c - '0');
        else if (low >= 'a' && low <= 'f')
            v = v << 4 | (low - 'a' + 10);
        else
            return -1;
    }
    return v;
}

/* at: behind "\u". A pair of surrogates is read as one character. Returns the code point, or -1
 * with *ret_reason; *ret_end is behind what was read. */
static int
unicode_escape(const unsigned char *at, const unsigned char *end, const unsigned char **ret_end,
               const char **ret_reason)
{
    int high = hex4(at, end);
    *ret_end = at + 4;
    if (high < 0)
        *ret_reason = "bad \\u escape";
    else if (high == 0)
        *ret_reason = "NUL escape";
    else if (high < 0xd800 || high > 0xdfff)
        return high;
    else
        *ret_reason = "lone surrogate escape";
    if (high < 0xd800 || high > 0xdbff || end - at < 10 || at[4] != '\\' || at[5] != 'u')
        return -1;
    int low = hex4(at + 6, end);
    if (low < 0xdc00 || low > 0xdfff)
        return -1;
    *ret_end = at + 10;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* What a one-letter escape stands for; 0: there is no such escape. */
static char
letter_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return (char)c;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return 0;
    }
}

/* at: the backslash. Returns what is behind the escape, or NULL after fail(). */
static const unsigned char *
skip_escape(struct scan *s, const unsigned char *at)
{
    const unsigned char *next = NULL;
    const char *reason = NULL;
    if (s->end - at < 2) {
        (void)fail(s, s->end, "unexpected end");
        return NULL;
    }
    if (at[1] != 'u') {
        if (letter_escape(at[1]))
            return at + 2;
        (void)fail(s, at, "bad escape");
        return NULL;
    }
    if (unicode_escape(at + 2, s->end, &next, &reason) >= 0)
        return next;
    (void)fail(s, at, reason);
    return NULL;
}

/* Runs of characters that are not ASCII. Returns what is behind them, or NULL after fail(). */
static const unsigned char *
skip_wide(struct scan *s, const unsigned char *at)
{
    while (at < s->end && *at >= 0x80) {
        uint32_t code;
        size_t n = utf8_take(at, (size_t)(s->end - at), &code);
        if (n == 0) {
            (void)fail(s, at, "invalid UTF-8");
            return NULL;
        }
        at += n;
    }
    return at;
}

/* at: behind the opening quote. s->at ends behind the closing one. */
static int
scan_string(struct scan *s, const unsigned char *at)
{
    for (;;) {
        at = skip_plain(at, s->end);
        if (at == s->end)
            return fail(s, at, "unexpected end");
        if (*at == '"') {
            s->at = at + 1;
            return 0;
        }
        if (*at < 0x20)
            return fail(s, at, "control character in string");
        at = *at == '\\' ? skip_escape(s, at) : skip_wide(s, at);
        if (!at)
            return ERR_SYNTAX;
    }
}

/* --- other scalars ---------------------------------------------------------------------------- */

static inline bool
is_digit(const unsigned char *at, const unsigned char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

/* At least one digit. Returns what is behind, or NULL after fail(). */
static const unsigned char *
skip_digits(struct scan *s, const unsigned char *at)
{
    if (!is_digit(at, s->end)) {
        (void)fail(s, at, at == s->end ? "unexpected end" : "bad number");
        return NULL;
    }
    while (is_digit(at, s->end))
        at++;
    return at;
}

static int
scan_number(struct scan *s, const unsigned char *at)
{
    if (*at == '-')
        at++;
    if (at < s->end && *at == '0')
        at++; /* nothing may follow a leading zero; a digit there is an unexpected character */
    else
        at = skip_digits(s, at);
    if (at && at < s->end && *at == '.')
        at = skip_digits(s, at + 1);
    if (at && at < s->end && (*at | 0x20) == 'e') {
        at++;
        if (at < s->end && (*at == '+' || *at == '-'))
            at++;
        at = skip_digits(s, at);
    }
    if (!at)
        return ERR_SYNTAX;
    s->at = at;
    return 0;
}

static int
scan_word(struct scan *s, const unsigned char *at, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - at) < n || memcmp(at, word, n) != 0)
        return fail(s, at, "unexpected character");
    s->at = at + n;
    return 0;
}

/* --- wanted members --------------------------------------------------------------------------- */

struct wanted {
    const char *const *names;
    size_t count;
    struct json_span *spans;
    struct json_span *open; /* the wanted member whose value is being read, or NULL */
    size_t duplicate;       /* index in names */
};

/* Compares a raw name that has escapes with a plain one. */
static bool
escaped_equals(const unsigned char *at, const unsigned char *end, const char *plain)
{
    while (at < end) {
        char bytes[4];
        size_t n = 1;
        bytes[0] = (char)*at;
        if (*at != '\\') {
            at++;
        } else if (at[1] != 'u') {
            bytes[0] = letter_escape(at[1]);
            at += 2;
        } else {
            const char *reason;
            int code = unicode_escape(at + 2, end, &at, &reason);
            n = utf8_put((uint32_t)code, bytes);
        }
        if (strncmp(plain, bytes, n) != 0)
            return false;
        plain += n;
    }
    return *plain == '\0';
}

static bool
name_equals(const unsigned char *at, size_t n, bool escaped, const char *plain)
{
    if (escaped)
        return escaped_equals(at, at + n, plain);
    return n > 0 && (char)*at == *plain && strncmp((const char *)at, plain, n) == 0 &&
           plain[n] == '\0';
}

/* quote: where a name of the top-level map begins; s->at is behind it. */
static int
note_name(struct scan *s, struct wanted *w, const unsigned char *quote)
{
    const unsigned char *name = quote + 1;
    size_t n = (size_t)(s->at - quote) - 2;
    bool escaped = w->count > 0 && memchr(name, '\\', n);
    w->open = NULL;
    for (size_t i = 0; i < w->count; i++) {
        if (!name_equals(name, n, escaped, w->names[i]))
            continue;
        w->open = &w->spans[i];
        w->duplicate = i;
        if (w->open->kind != JSON_ABSENT) {
            (void)fail(s, quote, "duplicate member");
            return ERR_CONFLICT;
        }
        w->open->name_start = (size_t)(quote - s->base);
        return 0;
    }
    return 0;
}

/* --- the loop --------------------------------------------------------------------------------- */

static inline bool
in_map(const struct scan *s)
{
    unsigned d = s->depth - 1;
    return s->maps[d / 64] >> (d % 64) & 1;
}

static int
enter(struct scan *s, bool map)
{
    if (s->depth >= s->max_depth) {
        s->reason = "nested too deeply";
        return ERR_LIMIT;
    }
    unsigned d = s->depth++;
    uint64_t bit = UINT64_C(1) << (d % 64);
    s->maps[d / 64] = map ? s->maps[d / 64] | bit : s->maps[d / 64] & ~bit;
    s->at++;
    return 0;
}

static int
count_token(struct scan *s)
{
    if (s->tokens == 0) {
        s->reason = "too many values";
        return ERR_LIMIT;
    }
    s->tokens--;
    return 0;
}

/* s->at: the first byte of a value. A scalar is read whole; of a container only the bracket. */
static int
begin_value(struct scan *s, enum json_kind *ret_kind)
{
    int e = count_token(s);
    if (e < 0)
        return e;
    switch (*s->at) {
    case '"':
        *ret_kind = JSON_TEXT;
        return scan_string(s, s->at + 1);
    case '{':
        *ret_kind = JSON_MAP;
        return enter(s, true);
    case '[':
        *ret_kind = JSON_LIST;
        return enter(s, false);
    case 't':
        *ret_kind = JSON_TRUE_;
        return scan_word(s, s->at, "true");
    case 'f':
        *ret_kind = JSON_FALSE_;
        return scan_word(s, s->at, "false");
    case 'n':
        *ret_kind = JSON_NULL_;
        return scan_word(s, s->at, "null");
    case '-':
    case '0' ... '9':
        *ret_kind = JSON_NUMBER;
        return scan_number(s, s->at);
    default:
        return fail(s, s->at, "unexpected character");
    }
}

/* s->at: where a member's name must begin. Leaves it at the first byte of the value. */
static int
read_name(struct scan *s, struct wanted *w)
{
    const unsigned char *quote = s->at;
    if (*quote != '"')
        return fail(s, quote, "expected a member name");
    int e = count_token(s);
    if (e == 0)
        e = scan_string(s, quote + 1);
    if (e == 0 && s->depth == 1)
        e = note_name(s, w, quote);
    if (e < 0)
        return e;
    s->at = skip_space(s->at, s->end);
    if (s->at == s->end || *s->at != ':')
        return fail(s, s->at, s->at == s->end ? "unexpected end" : "expected ':'");
    s->at = skip_space(s->at + 1, s->end);
    return s->at == s->end ? fail(s, s->at, "unexpected end") : 0;
}

/* A value ended at s->at: closes brackets up to the next ',' and passes that. *ret_more is false
 * when the whole document is closed. */
static int
after_value(struct scan *s, struct wanted *w, bool *ret_more)
{
    for (;;) {
        if (s->depth == 1 && w->open) {
            w->open->end = (size_t)(s->at - s->base);
            w->open = NULL;
        }
        if (s->depth == 0) {
            *ret_more = false;
            return 0;
        }
        s->at = skip_space(s->at, s->end);
        if (s->at == s->end)
            return fail(s, s->at, "unexpected end");
        if (*s->at == ',') {
            s->at = skip_space(s->at + 1, s->end);
            *ret_more = true;
            return s->at == s->end ? fail(s, s->at, "unexpected end") : 0;
        }
        if (*s->at != (in_map(s) ? '}' : ']'))
            return fail(s, s->at, in_map(s) ? "expected ',' or '}'" : "expected ',' or ']'");
        s->at++;
        s->depth--;
    }
}

/* Behind an opening bracket: true when the container is empty, and then it is closed. */
static bool
close_empty(struct scan *s)
{
    s->at = skip_space(s->at, s->end);
    if (s->at == s->end || *s->at != (in_map(s) ? '}' : ']'))
        return false;
    s->at++;
    s->depth--;
    return true;
}

/* s->at: the first byte of the root value. */
static int
scan_values(struct scan *s, struct wanted *w, enum json_kind *ret_root)
{
    bool more = true, root = true;
    while (more) {
        enum json_kind kind = JSON_ABSENT;
        int e = s->depth > 0 && in_map(s) ? read_name(s, w) : 0;
        if (e < 0)
            return e;
        struct json_span *noted = s->depth == 1 ? w->open : NULL;
        if (noted)
            noted->start = (size_t)(s->at - s->base);
        e = begin_value(s, &kind);
        if (e < 0)
            return e;
        if (noted)
            noted->kind = kind;
        if (root)
            *ret_root = kind;
        root = false;
        if ((kind == JSON_MAP || kind == JSON_LIST) && !close_empty(s)) {
            if (s->at == s->end)
                return fail(s, s->at, "unexpected end");
            continue;
        }
        e = after_value(s, w, &more);
        if (e < 0)
            return e;
    }
    return 0;
}

static int
scan_document(struct scan *s, struct wanted *w, struct json_span *root)
{
    if (s->end - s->base >= 3 && memcmp(s->base, "\xef\xbb\xbf", 3) == 0)
        return fail(s, s->base, "byte order mark");
    s->at = skip_space(s->base, s->end);
    if (s->at == s->end)
        return fail(s, s->at, "empty document");
    root->start = (size_t)(s->at - s->base);
    if (w->count > 0 && *s->at != '{')
        return fail(s, s->at, "expected an object");
    int e = scan_values(s, w, &root->kind);
    if (e < 0)
        return e;
    root->end = (size_t)(s->at - s->base);
    s->at = skip_space(s->at, s->end);
    return s->at == s->end ? 0 : fail(s, s->at, "unexpected text after the document");
}

int
json_scan(struct slice text, const struct json_limits *limits, const char *const *names,
          size_t count, struct json_span *ret_spans, struct json_span *ret_root,
          struct json_error *ret_error)
{
    static const unsigned char none[1];
    const unsigned char *base = text.len > 0 ? (const unsigned char *)text.at : none;
    struct json_span root = {0};
    struct wanted w = {.names = names, .count = count, .spans = ret_spans};
    struct scan s = {
        .base = base,
        .at = base,
        .end = base + text.len,
        .tokens = limits->tokens,
        .max_depth = limits->depth < LIMIT_STACK_DEPTH ? limits->depth : LIMIT_STACK_DEPTH,
    };
    if (count > 0)
        memset(ret_spans, 0, count * sizeof(*ret_spans));
    int e = scan_document(&s, &w, &root);
    if (e < 0) {
        *ret_error = (struct json_error){.offset = (size_t)(s.at - s.base), .reason = s.reason};
        if (e == ERR_CONFLICT)
            ret_error->member = names[w.duplicate];
    } else if (ret_root) {
        *ret_root = root;
    }
    return e;
}
