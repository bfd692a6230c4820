#include "lib/http/h1_head.h"

#include <llhttp.h>
#include <stdlib.h>

#include "lib/http/bytes.h"

/* --- refusals ------------------------------------------------------------------------------------
 */

static const struct h1_refusal bad_request = {400, "bad_request", "The request is malformed."};
static const struct h1_refusal bad_line_end = {
    400, "bad_request", "A line of the request head has a control character or a bare LF."};
static const struct h1_refusal bad_start = {400, "bad_request", "The request line is malformed."};
static const struct h1_refusal bad_field = {400, "bad_request", "A header field is malformed."};
static const struct h1_refusal bad_folding = {400, "bad_request",
                                              "A header field is folded over lines (obs-fold)."};
static const struct h1_refusal bad_host = {
    400, "bad_request",
    "The Host field is missing, repeated, malformed or not that of the target."};
static const struct h1_refusal bad_target = {400, "bad_request",
                                             "The request target is malformed."};
static const struct h1_refusal bad_length = {400, "bad_request",
                                             "The Content-Length field is malformed or repeated."};
static const struct h1_refusal bad_coding = {
    400, "bad_request", "The Transfer-Encoding field must be exactly: chunked."};
static const struct h1_refusal both_lengths = {
    400, "bad_request", "Both Content-Length and Transfer-Encoding are given."};
static const struct h1_refusal bad_connection = {
    400, "bad_request", "The Connection field names a field that is not connection-level."};
static const struct h1_refusal bad_version = {505, "http_version_not_supported",
                                              "Only HTTP/1.1 and HTTP/1.0 are spoken here."};
static const struct h1_refusal bad_method = {501, "not_implemented",
                                             "The method is not implemented."};
static const struct h1_refusal bad_expectation = {417, "expectation_failed",
                                                  "Only the expectation 100-continue is known."};
static const struct h1_refusal long_line = {414, "uri_too_long", "The request line is too long."};
static const struct h1_refusal long_field = {431, "request_header_fields_too_large",
                                             "A header field is too long."};
static const struct h1_refusal long_block = {431, "request_header_fields_too_large",
                                             "The header fields are too long in all."};
static const struct h1_refusal many_fields = {431, "request_header_fields_too_large",
                                              "There are too many header fields."};

static int
refuse(const struct h1_refusal **ret_refusal, const struct h1_refusal *r)
{
    *ret_refusal = r;
    return r->status == 431 || r->status == 414 ? ERR_LIMIT : ERR_PROTOCOL;
}

/* --- finding the end -----------------------------------------------------------------------------
 */

/* Verdicts go by the order of the bytes, so that they do not depend on how the bytes were split: a
 * line's first byte first (folding), then each byte as long as the line may be that long. */

/* How long the line under way may be, and what is wrong when it is longer. */
static size_t
line_limit(const struct h1_scan *s, const struct http_limits *limits,
           const struct h1_refusal **ret_too_long)
{
    *ret_too_long = &long_line;
    if (!s->has_start)
        return limits->request_line_bytes;
    size_t left = limits->head_bytes > s->block + 2 ? limits->head_bytes - s->block - 2 : 0;
    *ret_too_long = left < limits->field_bytes ? &long_block : &long_field;
    return left < limits->field_bytes ? left : limits->field_bytes;
}

/* The line has n bytes so far. */
static int
check_line(const struct h1_scan *s, struct slice bytes, size_t n, const struct http_limits *limits,
           const struct h1_refusal **ret_refusal)
{
    const struct h1_refusal *too_long;
    if (n > 0 && s->has_start && (bytes.at[s->line] == ' ' || bytes.at[s->line] == '\t'))
        return refuse(ret_refusal, &bad_folding);
    if (n > line_limit(s, limits, &too_long))
        return refuse(ret_refusal, too_long);
    return 0;
}

/* A line of n bytes without its CRLF is complete. *ret_end: it was the empty one behind the fields.
 */
static int
end_line(struct h1_scan *s, size_t n, const struct http_limits *limits, bool *ret_end,
         const struct h1_refusal **ret_refusal)
{
    if (!s->has_start) {
        if (n == 0 && s->skipped_line)
            return refuse(ret_refusal, &bad_start);
        s->has_start = n > 0;
        s->skipped_line = true;
        return 0;
    }
    *ret_end = n == 0;
    if (n == 0)
        return 0;
    if (++s->fields > limits->fields)
        return refuse(ret_refusal, &many_fields);
    s->block += n + 2;
    return 0;
}

/* One control character at `pos`. ERR_AGAIN: a CR that is the last byte. *ret_end: the head's end.
 */
static int
scan_control(struct h1_scan *s, struct slice bytes, size_t pos, const struct http_limits *limits,
             bool *ret_end, const struct h1_refusal **ret_refusal)
{
    char c = bytes.at[pos];
    size_t n = pos - s->line;
    if (c == '\r' && pos + 1 < bytes.len && bytes.at[pos + 1] == '\n')
        return 0; /* the LF comes next */
    bool has_cr = n > 0 && bytes.at[pos - 1] == '\r';
    if (c == '\n' && has_cr)
        n--;
    int err = check_line(s, bytes, n, limits, ret_refusal);
    if (err != 0 || c == '\t')
        return err;
    if (c == '\n' && has_cr) {
        s->line = pos + 1;
        return end_line(s, n, limits, ret_end, ret_refusal);
    }
    if (c == '\r' && pos + 1 == bytes.len)
        return ERR_AGAIN;
    /* Bad; but the byte itself may have made the line too long before that. */
    err = check_line(s, bytes, n + 1, limits, ret_refusal);
    return err != 0 ? err : refuse(ret_refusal, &bad_line_end);
}

ssize_t
h1_scan(struct h1_scan *s, struct slice bytes, const struct http_limits *limits,
        const struct h1_refusal **ret_refusal)
{
    while (s->at < bytes.len) {
        const char *at = bytes.at + s->at;
        size_t n = bytes.len - s->at;
        unsigned mask = n < 16 ? controls_few(at, n) : controls16(at);
        for (; mask != 0; mask &= mask - 1) {
            size_t pos = s->at + (size_t)__builtin_ctz(mask);
            bool is_end = false;
            int err = scan_control(s, bytes, pos, limits, &is_end, ret_refusal);
            if (err == ERR_AGAIN) {
                s->at = pos; /* a CR is judged with what follows it */
                return 0;
            }
            if (err != 0)
                return err;
            if (is_end)
                return (ssize_t)(s->at = pos + 1);
        }
        s->at += n < 16 ? n : 16;
    }
    return check_line(s, bytes, bytes.len - s->line, limits, ret_refusal);
}

/* --- llhttp's part -------------------------------------------------------------------------------
 */

/* The second reader: it is given the start line and the fields that frame the message. */
struct judge {
    llhttp_t llhttp;
    struct slice target;
    bool is_good;
};

static int
on_target(llhttp_t *p, const char *at, size_t n)
{
    struct judge *judge = p->data;
    judge->target = slice_make(at, n);
    return 0;
}

static int
on_head_end(llhttp_t *p)
{
    (void)p;
    return HPE_PAUSED; /* the body is h1_body's business */
}

static const llhttp_settings_t settings = {.on_url = on_target, .on_headers_complete = on_head_end};

static void
judge_init(struct judge *judge, llhttp_type_t type)
{
    llhttp_init(&judge->llhttp, type, &settings);
    judge->llhttp.data = judge;
    judge->target = (struct slice){0};
    judge->is_good = true;
}

/* A line with its CRLF. */
static void
judge_line(struct judge *judge, struct slice line)
{
    if (judge->is_good)
        judge->is_good = llhttp_execute(&judge->llhttp, line.at, line.len) == HPE_OK;
}

static bool
judge_end(struct judge *judge)
{
    return judge->is_good && llhttp_execute(&judge->llhttp, "\r\n", 2) == HPE_PAUSED;
}

/* --- fields --------------------------------------------------------------------------------------
 */

enum field_kind {
    PLAIN,
    HOST,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    CONNECTION,
    EXPECT,
    TE,
    DROPPED, /* connection-level, of no use to us */
};

/* Lower case of a token character, 0 for any other. */
// clang-format off
static const char lower_token[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*',
    ['+'] = '+', ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|',
    ['~'] = '~',
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6',
    ['7'] = '7', ['8'] = '8', ['9'] = '9',
    ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g',
    ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n',
    ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u',
    ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',
    ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g',
    ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n',
    ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u',
    ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};
// clang-format on

static bool
is_name(struct slice lower, const char *name)
{
    return memcmp(lower.at, name, lower.len) == 0;
}

/* Of a lower-case name. */
static enum field_kind
kind_of(struct slice name)
{
    if (name.len > 6 && memcmp(name.at, "proxy-", 6) == 0)
        return DROPPED;
    switch (name.len) {
    case 2:
        return is_name(name, "te") ? TE : PLAIN;
    case 4:
        return is_name(name, "host") ? HOST : PLAIN;
    case 6:
        return is_name(name, "expect") ? EXPECT : PLAIN;
    case 7:
        return is_name(name, "upgrade") || is_name(name, "trailer") ? DROPPED : PLAIN;
    case 10:
        if (is_name(name, "connection"))
            return CONNECTION;
        return is_name(name, "keep-alive") ? DROPPED : PLAIN;
    case 14:
        if (is_name(name, "content-length"))
            return CONTENT_LENGTH;
        return is_name(name, "http2-settings") ? DROPPED : PLAIN;
    case 17:
        return is_name(name, "transfer-encoding") ? TRANSFER_ENCODING : PLAIN;
    default:
        return PLAIN;
    }
}

/* The state of the second step. */
struct reading {
    struct http_head *head;
    struct h1_framing *framing;
    struct judge judge;
    char *text; /* room for names, values and what else must be kept */
    bool is_request;
    bool is_http10;
    bool bad_length, bad_coding;
    bool close_named, keep_alive_named;
    unsigned hosts, codings, connections;
    struct slice expect;
    struct slice connection[8]; /* values of Connection fields */
};

static struct slice
keep(struct reading *r, struct slice s)
{
    char *at = r->text;
    if (s.len > 0)
        memcpy(at, s.at, s.len);
    r->text += s.len;
    return slice_make(at, s.len);
}

/* One value of decimal digits, without leading zeros: "010" is ten to some and eight to others. */
static bool
parse_length(struct slice s, int64_t *ret_length)
{
    unsigned long long n;
    if ((s.len > 1 && s.at[0] == '0') || slice_to_u64(s, &n) != 0 || n > INT64_MAX)
        return false;
    *ret_length = (int64_t)n;
    return true;
}

static void
read_connection(struct reading *r, struct slice value)
{
    if (r->connections < sizeof r->connection / sizeof *r->connection)
        r->connection[r->connections] = value;
    r->connections++;
    while (value.len > 0) {
        struct slice option = slice_trim(slice_cut(&value, ','));
        if (slice_eq_nocase(option, SLICE("close")))
            r->close_named = true;
        else if (slice_eq_nocase(option, SLICE("keep-alive")))
            r->keep_alive_named = true;
    }
}

static void
read_te(struct reading *r, struct slice value)
{
    while (value.len > 0)
        if (slice_eq_nocase(slice_trim(slice_cut(&value, ',')), SLICE("trailers")))
            r->framing->takes_trailers = true;
}

/* Takes one field; true when it belongs into the head's list. */
static bool
read_field(struct reading *r, enum field_kind kind, struct slice value)
{
    switch (kind) {
    case HOST:
        r->hosts++;
        if (r->is_request)
            r->head->authority = keep(r, value);
        return !r->is_request;
    case CONTENT_LENGTH:
        if (r->framing->length >= 0 || !parse_length(value, &r->framing->length))
            r->bad_length = true;
        return true;
    case TRANSFER_ENCODING:
        r->codings++;
        r->framing->chunked = slice_eq_nocase(value, SLICE("chunked"));
        return false;
    case CONNECTION:
        read_connection(r, value);
        return false;
    case EXPECT:
        r->expect = value.len > 0 && !r->expect.at ? value : SLICE("?");
        return !r->is_request;
    case TE:
        read_te(r, value);
        return false;
    case DROPPED:
        return false;
    case PLAIN:
        break;
    }
    return true;
}

/* Lower-cases a field line's name into kept memory: its length, 0 when it is malformed. */
static size_t
keep_name(struct reading *r, struct slice line)
{
    char *at = r->text, c;
    size_t n = 0;
    while (n < line.len && (c = lower_token[(unsigned char)line.at[n]]) != 0)
        at[n++] = c;
    if (n == line.len || line.at[n] != ':')
        return 0;
    r->text += n;
    return n;
}

/* One field line without its CRLF. */
static int
read_line(struct reading *r, struct slice line)
{
    struct slice name = {r->text, keep_name(r, line)};
    if (name.len == 0)
        return ERR_PROTOCOL;
    struct slice value = slice_trim(slice_from(line, name.len + 1));
    enum field_kind kind = kind_of(name);
    if (kind == CONTENT_LENGTH || kind == TRANSFER_ENCODING || kind == CONNECTION)
        judge_line(&r->judge, slice_make(line.at, line.len + 2));
    if (kind == PLAIN || read_field(r, kind, value))
        r->head->fields[r->head->count++] = (struct http_field){name, keep(r, value), false};
    return 0;
}

/* Copies and judges all field lines of the head; bytes begin behind the start line. */
static int
read_fields(struct reading *r, struct slice bytes, size_t fields, size_t extra, struct arena *arena)
{
    struct http_head *head = r->head;
    size_t array = fields * sizeof *head->fields;
    char *memory = arena_alloc(arena, array + bytes.len + extra);
    if (!memory)
        return ERR_NOMEM;
    head->fields = (struct http_field *)(void *)memory;
    head->count = 0;
    r->text = memory + array;
    r->framing->length = -1;
    for (size_t i = 0; i < fields; i++) {
        const char *lf = memchr(bytes.at, '\n', bytes.len); /* there: h1_scan has counted them */
        size_t len = (size_t)(lf - bytes.at);
        if (read_line(r, slice_make(bytes.at, len - 1)) != 0)
            return ERR_PROTOCOL;
        bytes = slice_from(bytes, len + 1);
    }
    r->framing->keep_alive = !r->close_named && (!r->is_http10 || r->keep_alive_named);
    return 0;
}

/* Whether Connection may name it: these are connection-level anyway. */
static bool
is_hop_by_hop(struct slice name)
{
    static const char *const names[] = {"close",          "keep-alive",      "te",
                                        "trailer",        "trailers",        "upgrade",
                                        "http2-settings", "proxy-connection"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_eq_nocase(name, slice_of(names[i])))
            return true;
    return false;
}

static bool
has_field(const struct http_head *h, struct slice name)
{
    for (size_t i = 0; i < h->count; i++)
        if (slice_eq_nocase(h->fields[i].name, name))
            return true;
    return slice_eq_nocase(name, SLICE("host")) ||
           slice_eq_nocase(name, SLICE("transfer-encoding"));
}

static void
remove_fields(struct http_head *h, struct slice name)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->count; i++)
        if (!slice_eq_nocase(h->fields[i].name, name))
            h->fields[kept++] = h->fields[i];
    h->count = kept;
}

/* Fields that Connection names are for this hop. In a request none that is there may be named: to
 * strip a credential or a length that way is an attack, and nobody has another use for it. */
static int
apply_connection(struct reading *r)
{
    if (r->connections > sizeof r->connection / sizeof *r->connection)
        return ERR_PROTOCOL;
    for (unsigned i = 0; i < r->connections; i++) {
        struct slice rest = r->connection[i];
        while (rest.len > 0) {
            struct slice name = slice_trim(slice_cut(&rest, ','));
            if (name.len == 0 || is_hop_by_hop(name) || !has_field(r->head, name))
                continue;
            if (r->is_request || slice_eq_nocase(name, SLICE("content-length")))
                return ERR_PROTOCOL;
            remove_fields(r->head, name);
        }
    }
    return 0;
}

/* --- requests ------------------------------------------------------------------------------------
 */

/* The methods there are a use for; others are refused before anybody looks at them. */
static struct slice
known_method(struct slice m)
{
    static const struct slice methods[] = {
        {"GET", 3},    {"POST", 4},  {"PUT", 3},     {"HEAD", 4},
        {"DELETE", 6}, {"PATCH", 5}, {"OPTIONS", 7}, {"TRACE", 5},
    };
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (slice_eq(m, methods[i]))
            return methods[i];
    return (struct slice){NULL, 0};
}

static bool
is_upper_token(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] >= 'a' && s.at[i] <= 'z')
            return false;
    return http_is_token(s);
}

static bool
is_version(struct slice v)
{
    return v.len == 8 && memcmp(v.at, "HTTP/", 5) == 0 && v.at[5] >= '0' && v.at[5] <= '9' &&
           v.at[6] == '.' && v.at[7] >= '0' && v.at[7] <= '9';
}

/* method SP target SP version, of visible characters. */
static int
split_request_line(struct slice line, struct slice *ret_method, struct slice *ret_target,
                   bool *ret_http10, const struct h1_refusal **ret_refusal)
{
    *ret_method = slice_cut(&line, ' ');
    *ret_target = slice_cut(&line, ' ');
    if (!line.at || !is_upper_token(*ret_method) || ret_target->len == 0 || !is_version(line))
        return refuse(ret_refusal, &bad_start);
    if (line.at[5] != '1' || line.at[7] > '1')
        return refuse(ret_refusal, &bad_version);
    *ret_http10 = line.at[7] == '0';
    if (!known_method(*ret_method).at)
        return refuse(ret_refusal, &bad_method);
    *ret_method = known_method(*ret_method);
    return 0;
}

/* Cuts an absolute-form target into authority and path. */
static bool
split_absolute(struct slice target, struct slice *ret_authority, struct slice *ret_path)
{
    size_t prefix = 0;
    if (target.len > 7 && slice_eq_nocase(slice_make(target.at, 7), SLICE("http://")))
        prefix = 7;
    else if (target.len > 8 && slice_eq_nocase(slice_make(target.at, 8), SLICE("https://")))
        prefix = 8;
    else
        return false;
    size_t end = prefix;
    while (end < target.len && target.at[end] != '/' && target.at[end] != '?')
        end++;
    *ret_authority = slice_make(target.at + prefix, end - prefix);
    *ret_path = slice_from(target, end);
    return true;
}

/* Origin form as it is; absolute form when it says the same as Host; "*" for OPTIONS. */
static int
read_target(struct reading *r, struct slice target, const struct h1_refusal **ret_refusal)
{
    struct slice authority, path = target;
    struct http_head *head = r->head;
    if (slice_is(target, "*")) {
        if (!slice_is(head->method, "OPTIONS"))
            return refuse(ret_refusal, &bad_target);
        head->path = SLICE("*");
        return 0;
    }
    if (target.at[0] != '/') {
        if (!split_absolute(target, &authority, &path))
            return refuse(ret_refusal, &bad_target);
        if (r->hosts > 0 && !slice_eq_nocase(authority, head->authority))
            return refuse(ret_refusal, &bad_host);
        if (!http_is_authority(authority))
            return refuse(ret_refusal, &bad_target);
    }
    struct slice kept = {r->text, 0};
    if (path.len == 0 || path.at[0] == '?')
        kept.len += keep(r, SLICE("/")).len;
    kept.len += keep(r, path).len;
    if (!http_is_path(kept))
        return refuse(ret_refusal, &bad_target);
    head->path = kept;
    return 0;
}

static int
judge_request(struct reading *r, const struct h1_refusal **ret_refusal)
{
    struct h1_framing *f = r->framing;
    struct slice host = r->head->authority;
    if (r->codings > 0 && f->length >= 0)
        return refuse(ret_refusal, &both_lengths);
    if (r->codings > 0 && (r->codings > 1 || !f->chunked || r->is_http10))
        return refuse(ret_refusal, &bad_coding);
    if (r->bad_length)
        return refuse(ret_refusal, &bad_length);
    if (r->hosts > 1 || (r->hosts == 0 && !r->is_http10) ||
        (r->hosts == 1 && !http_is_authority(host)))
        return refuse(ret_refusal, &bad_host);
    if (apply_connection(r) != 0)
        return refuse(ret_refusal, &bad_connection);
    if (r->expect.at && !r->is_http10) {
        if (!slice_eq_nocase(r->expect, SLICE("100-continue")))
            return refuse(ret_refusal, &bad_expectation);
        f->expects_continue = true;
    }
    return 0;
}

/* The start line without CRLF; *head is left with the field lines. */
static struct slice
cut_start_line(struct slice *head)
{
    if (head->len >= 2 && head->at[0] == '\r')
        *head = slice_from(*head, 2); /* the one empty line before it */
    size_t lf = slice_find(*head, '\n', 0);
    struct slice line = {head->at, lf > 0 ? lf - 1 : 0};
    *head = slice_from(*head, lf + 1);
    return line;
}

/* Both readers must have read the same framing. */
static bool
agrees(struct reading *r)
{
    const llhttp_t *p = &r->judge.llhttp;
    if (!judge_end(&r->judge))
        return false;
    bool chunked = (p->flags & F_CHUNKED) != 0;
    bool has_length = (p->flags & F_CONTENT_LENGTH) != 0;
    return chunked == r->framing->chunked && has_length == (r->framing->length >= 0) &&
           (!has_length || p->content_length == (uint64_t)r->framing->length);
}

int
h1_request(struct slice bytes, size_t fields, struct arena *arena, struct http_head *ret_head,
           struct h1_framing *ret_framing, const struct h1_refusal **ret_refusal)
{
    struct reading r = {.head = ret_head, .framing = ret_framing, .is_request = true};
    struct slice method, target;
    *ret_head = (struct http_head){.content_length = -1, .version = 11};
    *ret_framing = (struct h1_framing){.length = -1};
    struct slice line = cut_start_line(&bytes);
    int err = split_request_line(line, &method, &target, &r.is_http10, ret_refusal);
    if (err != 0)
        return err;
    ret_head->method = method;
    ret_head->version = r.is_http10 ? 10 : 11;
    judge_init(&r.judge, HTTP_REQUEST);
    judge_line(&r.judge, slice_make(line.at, line.len + 2));
    err = read_fields(&r, bytes, fields, target.len + 1, arena);
    if (err == ERR_PROTOCOL)
        return refuse(ret_refusal, &bad_field);
    if (err == 0)
        err = judge_request(&r, ret_refusal);
    if (err == 0)
        err = read_target(&r, target, ret_refusal);
    if (err != 0)
        return err;
    if (!agrees(&r) || !slice_eq(r.judge.target, target))
        return refuse(ret_refusal, &bad_request);
    ret_head->content_length = ret_framing->length;
    return 0;
}

/* --- responses -----------------------------------------------------------------------------------
 */

/* version SP 3DIGIT [SP reason]. */
static bool
read_status_line(struct slice line, struct reading *r)
{
    if (line.len < 12 || memcmp(line.at, "HTTP/1.", 7) != 0 || line.at[8] != ' ')
        return false;
    if (line.at[7] != '0' && line.at[7] != '1')
        return false;
    r->is_http10 = line.at[7] == '0';
    unsigned long long status;
    if (slice_to_u64(slice_make(line.at + 9, 3), &status) != 0 || status < 100 || status > 599)
        return false;
    r->head->status = (int)status;
    return line.len == 12 || line.at[12] == ' ';
}

/* RFC 9112 6.3. */
static const char *
judge_response(struct reading *r, bool to_head)
{
    struct h1_framing *f = r->framing;
    int status = r->head->status;
    if (r->codings > 0 && f->length >= 0)
        return "the answer has both a length and a transfer coding";
    if (r->codings > 0 && (r->codings > 1 || !f->chunked || r->is_http10))
        return "the answer's transfer coding is not understood";
    if (r->bad_length)
        return "the answer's length is malformed or repeated";
    if (apply_connection(r) != 0)
        return "the answer's Connection field is malformed";
    if (status == 101)
        return "the upstream changes the protocol unasked";
    if ((status < 200 || status == 204) && (r->codings > 0 || f->length > 0))
        return "an answer without a body declares one";
    if (to_head || status < 200 || status == 204 || status == 304) {
        f->chunked = false;
        f->until_close = false;
    } else {
        f->until_close = !f->chunked && f->length < 0;
    }
    if (f->until_close)
        f->keep_alive = false;
    return NULL;
}

int
h1_response(struct slice bytes, size_t fields, bool to_head, struct arena *arena,
            struct http_head *ret_head, struct h1_framing *ret_framing, const char **ret_why)
{
    struct reading r = {.head = ret_head, .framing = ret_framing};
    *ret_head = (struct http_head){.content_length = -1, .version = 11};
    *ret_framing = (struct h1_framing){.length = -1};
    *ret_why = "the answer's head is malformed";
    struct slice line = cut_start_line(&bytes);
    if (!read_status_line(line, &r))
        return ERR_PROTOCOL;
    ret_head->version = r.is_http10 ? 10 : 11;
    judge_init(&r.judge, HTTP_RESPONSE);
    judge_line(&r.judge, slice_make(line.at, line.len + 2));
    int err = read_fields(&r, bytes, fields, 0, arena);
    if (err != 0)
        return err;
    if (!agrees(&r))
        return ERR_PROTOCOL;
    const char *why = judge_response(&r, to_head);
    if (why) {
        *ret_why = why;
        return ERR_PROTOCOL;
    }
    ret_head->content_length = ret_framing->length;
    return 0;
}
