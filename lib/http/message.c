/* Fields, reasons, character classes: what both protocols need to know about messages. */
#include "lib/http/message.h"

#include <stdint.h>

#include "lib/http/bytes.h"

const struct http_limits http_limits_default = {
    .request_line_bytes = 8192,
    .field_bytes = 16384,
    .head_bytes = 65536,
    .fields = 100,
    .body_bytes = 32 * 1024 * 1024,
    .trailer_bytes = 8192,
    .chunk_line_bytes = 256,
    .head_ms = 10 * 1000,
    .body_idle_ms = 30 * 1000,
    .body_min_rate = 1024,
    .keepalive_ms = 60 * 1000,
    .write_stall_ms = 60 * 1000,
    .stream_buffer_bytes = 256 * 1024,
    .conn_buffer_bytes = 1024 * 1024,
    .h2_streams = 128,
    .connect_ms = 5 * 1000,
    .first_byte_ms = 60 * 1000,
    .between_bytes_ms = 60 * 1000,
    .total_ms = 30 * 60 * 1000,
    .informational = 8,
};

/* --- fields
 * ---------------------------------------------------------------------------------------- */

struct slice
http_field_get(const struct http_head *h, const char *name)
{
    struct slice wanted = slice_of(name);
    for (size_t i = 0; i < h->count; i++)
        if (slice_eq(h->fields[i].name, wanted))
            return h->fields[i].value;
    return (struct slice){NULL, 0};
}

size_t
http_field_count(const struct http_head *h, const char *name)
{
    struct slice wanted = slice_of(name);
    size_t n = 0;
    for (size_t i = 0; i < h->count; i++)
        n += slice_eq(h->fields[i].name, wanted);
    return n;
}

bool
http_content_type_is(const struct http_head *h, const char *type)
{
    struct slice value = http_field_get(h, "content-type");
    if (!value.at)
        return false;
    return slice_eq_nocase(slice_trim(slice_cut(&value, ';')), slice_of(type));
}

/* --- reasons
 * --------------------------------------------------------------------------------------- */

const char *
http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {103, "Early Hints"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {424, "Failed Dependency"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {529, "Overloaded"},
    };
    if (status == 200)
        return "OK";
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

/* --- characters
 * ------------------------------------------------------------------------------------ */

enum { C_TOKEN = 1, C_HEX = 2, C_TARGET = 4, C_HOST = 8 };

/* RFC 9110 5.6.2 tchar; RFC 3986 pchar, "/", "?" and what clients send unescaped though they should
 * not (nobody reads it two ways); reg-name characters. */
// clang-format off
static const uint8_t classes[256] = {
    ['0' ... '9'] = C_TOKEN | C_HEX | C_TARGET | C_HOST,
    ['A' ... 'F'] = C_TOKEN | C_HEX | C_TARGET | C_HOST,
    ['G' ... 'Z'] = C_TOKEN | C_TARGET | C_HOST,
    ['a' ... 'f'] = C_TOKEN | C_HEX | C_TARGET | C_HOST,
    ['g' ... 'z'] = C_TOKEN | C_TARGET | C_HOST,
    ['!'] = C_TOKEN | C_TARGET | C_HOST,  ['$'] = C_TOKEN | C_TARGET | C_HOST,
    ['%'] = C_TOKEN | C_TARGET | C_HOST,  ['&'] = C_TOKEN | C_TARGET | C_HOST,
    ['\''] = C_TOKEN | C_TARGET | C_HOST, ['*'] = C_TOKEN | C_TARGET | C_HOST,
    ['+'] = C_TOKEN | C_TARGET | C_HOST,  ['-'] = C_TOKEN | C_TARGET | C_HOST,
    ['.'] = C_TOKEN | C_TARGET | C_HOST,  ['_'] = C_TOKEN | C_TARGET | C_HOST,
    ['~'] = C_TOKEN | C_TARGET | C_HOST,
    ['^'] = C_TOKEN | C_TARGET, ['`'] = C_TOKEN | C_TARGET, ['|'] = C_TOKEN | C_TARGET,
    ['('] = C_TARGET | C_HOST,  [')'] = C_TARGET | C_HOST,  [','] = C_TARGET | C_HOST,
    [';'] = C_TARGET | C_HOST,  ['='] = C_TARGET | C_HOST,
    ['#'] = C_TOKEN,
    ['"'] = C_TARGET, ['/'] = C_TARGET, [':'] = C_TARGET, ['<'] = C_TARGET, ['>'] = C_TARGET,
    ['?'] = C_TARGET, ['@'] = C_TARGET, ['['] = C_TARGET, [']'] = C_TARGET, ['{'] = C_TARGET,
    ['}'] = C_TARGET,
};
// clang-format on

static bool
all_of(struct slice s, uint8_t set)
{
    for (size_t i = 0; i < s.len; i++)
        if (!(classes[(unsigned char)s.at[i]] & set))
            return false;
    return true;
}

bool
http_is_token(struct slice s)
{
    return s.len > 0 && all_of(s, C_TOKEN);
}

/* Of the control characters only HTAB belongs in a value; obs-text (0x80 up) is let through. */
static bool
are_tabs(const char *at, unsigned mask)
{
    for (; mask != 0; mask &= mask - 1)
        if (at[__builtin_ctz(mask)] != '\t')
            return false;
    return true;
}

bool
http_is_field_value(struct slice s)
{
    size_t i = 0;
    for (; i + 16 <= s.len; i += 16)
        if (!are_tabs(s.at + i, controls16(s.at + i)))
            return false;
    if (i == s.len)
        return true;
    if (s.len >= 16) /* the rest, and some before it once more */
        return are_tabs(s.at + s.len - 16, controls16(s.at + s.len - 16));
    if (s.len < 8)
        return are_tabs(s.at, controls_few(s.at, s.len));
    char both[16];
    memcpy(both, s.at, 8);
    memcpy(both + 8, s.at + s.len - 8, 8);
    return are_tabs(both, controls16(both));
}

bool
http_is_safe_name(struct slice s)
{
    size_t i = 0;
    for (; i + 8 <= s.len; i += 8)
        if (!is_safe8(s.at + i))
            return false;
    for (; i < s.len; i++)
        if (!(classes[(unsigned char)s.at[i]] & C_TOKEN))
            return false;
    return s.len > 0;
}

static bool
escapes_are_good(struct slice s)
{
    for (size_t i = slice_find(s, '%', 0); i < s.len; i = slice_find(s, '%', i + 1)) {
        if (i + 2 >= s.len || !(classes[(unsigned char)s.at[i + 1]] & C_HEX) ||
            !(classes[(unsigned char)s.at[i + 2]] & C_HEX))
            return false;
        if (s.at[i + 1] == '0' && s.at[i + 2] == '0')
            return false; /* NUL: ends the path for some who decode it */
    }
    return true;
}

bool
http_is_path(struct slice s)
{
    return s.len > 0 && s.at[0] == '/' && all_of(s, C_TARGET) && escapes_are_good(s);
}

static bool
is_port(struct slice s)
{
    unsigned long long port;
    return s.len == 0 || (s.len <= 5 && slice_to_u64(s, &port) == 0 && port <= 65535);
}

bool
http_is_authority(struct slice s)
{
    if (s.len == 0 || s.len > 255 + 6)
        return false;
    if (s.at[0] == '[') {
        size_t end = slice_find(s, ']', 0);
        if (end == s.len || end < 3)
            return false;
        for (size_t i = 1; i < end; i++)
            if (!(classes[(unsigned char)s.at[i]] & C_HEX) && s.at[i] != ':' && s.at[i] != '.')
                return false;
        struct slice rest = slice_from(s, end + 1);
        return rest.len == 0 || (rest.at[0] == ':' && is_port(slice_from(rest, 1)));
    }
    size_t colon = slice_find(s, ':', 0);
    struct slice host = {s.at, colon};
    return host.len > 0 && all_of(host, C_HOST) && escapes_are_good(host) &&
           is_port(slice_from(s, colon + 1));
}
