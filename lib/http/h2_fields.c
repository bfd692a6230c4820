#include "lib/http/h2_fields.h"

#include <stdio.h>

#define FIRST_ROOM 16

/* --- coming in -------------------------------------------------------------------- */

void
h2_head_init(struct h2_head *h, struct http_head *into, struct arena *arena,
             const struct http_limits *limits)
{
    if (into)
        *into = (struct http_head){.content_length = -1, .version = 20};
    *h = (struct h2_head){.into = into, .arena = arena, .limits = limits};
}

/* The first refusal stands. */
static void
refuse(struct h2_head *h, int status, int err, const char *code, const char *why)
{
    if (h->refusal != 0)
        return;
    h->refusal = status;
    h->err = err;
    h->code = code;
    h->why = why;
}

static void
refuse_bad(struct h2_head *h, const char *why)
{
    refuse(h, 400, ERR_PROTOCOL, "bad_request", why);
}

static void
refuse_nomem(struct h2_head *h)
{
    refuse(h, 503, ERR_NOMEM, "overloaded", "no memory for the request's head");
}

void
h2_head_add_malformed(struct h2_head *h)
{
    h->fields++;
    refuse_bad(h, "a field has characters that no field may have");
}

static struct slice
rcbuf_slice(nghttp2_rcbuf *b)
{
    nghttp2_vec v = nghttp2_rcbuf_get_buf(b);
    return slice_make(v.base, v.len);
}

static struct slice
keep_name(struct h2_head *h, nghttp2_rcbuf *name)
{
    struct slice s = rcbuf_slice(name);
    return nghttp2_rcbuf_is_static(name) ? s : arena_copy(h->arena, s);
}

static void
add_pseudo(struct h2_head *h, struct slice name, struct slice value)
{
    if (slice_is(name, ":status")) {
        unsigned long long status;
        if (value.len != 3 || slice_to_u64(value, &status) != 0 || status < 100)
            refuse_bad(h, "the status is no number of three digits");
        else
            h->into->status = (int)status;
        return;
    }
    struct slice *into = slice_is(name, ":method")      ? &h->into->method
                         : slice_is(name, ":path")      ? &h->into->path
                         : slice_is(name, ":authority") ? &h->into->authority
                         : slice_is(name, ":scheme")    ? &h->into->scheme
                                                        : NULL;
    if (!into) {
        refuse_bad(h, "an unknown pseudo-field");
        return;
    }
    *into = arena_copy(h->arena, value);
    if (!into->at)
        refuse_nomem(h);
}

/* Fields that speak to the codec and end here (message.h). */
static bool
is_consumed(struct slice name)
{
    static const char *const names[] = {
        "connection", "keep-alive", "transfer-encoding", "upgrade",       "te",
        "trailer",    "expect",     "http2-settings",    "content-length"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (slice_is(name, names[i]))
            return true;
    return slice_starts(name, SLICE("proxy-"));
}

static void
consume(struct h2_head *h, struct slice name, struct slice value)
{
    if (slice_is(name, "content-length")) {
        unsigned long long length;
        if (slice_to_u64(value, &length) != 0 || length > INT64_MAX)
            refuse_bad(h, "content-length is no length");
        else
            h->into->content_length = (int64_t)length;
    } else if (slice_is(name, "expect")) {
        if (slice_eq_nocase(value, SLICE("100-continue")))
            h->expects_continue = true;
        else
            refuse(h, 417, ERR_PROTOCOL, "expectation_failed", "an unknown expectation");
    }
}

static struct http_field *
next_field(struct h2_head *h)
{
    if (h->into->count == h->room) {
        size_t room = h->room ? h->room * 2 : FIRST_ROOM;
        struct http_field *fields = arena_alloc(h->arena, room * sizeof(*fields));
        if (!fields)
            return NULL;
        if (h->into->count > 0)
            memcpy(fields, h->into->fields, h->into->count * sizeof(*fields));
        h->into->fields = fields;
        h->room = room;
    }
    return &h->into->fields[h->into->count];
}

static void
keep_field(struct h2_head *h, nghttp2_rcbuf *name, struct slice value, bool never_index)
{
    struct http_field *f = next_field(h);
    if (!f) {
        refuse_nomem(h);
        return;
    }
    *f = (struct http_field){keep_name(h, name), arena_copy(h->arena, value), never_index};
    if (!f->name.at || !f->value.at) {
        refuse_nomem(h);
        return;
    }
    h->into->count++;
    if (slice_is(f->name, "cookie"))
        h->cookies++;
    else if (slice_is(f->name, "host"))
        h->host = f->value;
}

/* Counts a field against the limits; false when the head is refused, now or before. */
static bool
count_field(struct h2_head *h, struct slice name, struct slice value)
{
    bool is_pseudo = name.len > 0 && name.at[0] == ':';
    const struct http_limits *limits = h->limits;
    if (!is_pseudo)
        h->fields++;
    h->bytes += name.len + value.len + 4;
    if (h->fields > limits->fields)
        refuse(h, 431, ERR_LIMIT, "too_many_fields", "more fields than allowed");
    else if (slice_is(name, ":path") && value.len > limits->request_line_bytes)
        refuse(h, 414, ERR_LIMIT, "uri_too_long", "the path is longer than allowed");
    else if (name.len + value.len + 2 > limits->field_bytes)
        refuse(h, 431, ERR_LIMIT, "field_too_large", "a field is larger than allowed");
    else if (h->bytes > limits->head_bytes)
        refuse(h, 431, ERR_LIMIT, "head_too_large", "the head is larger than allowed");
    return h->refusal == 0;
}

void
h2_head_add(struct h2_head *h, nghttp2_rcbuf *name, nghttp2_rcbuf *value, uint8_t nv_flags)
{
    struct slice n = rcbuf_slice(name), v = rcbuf_slice(value);
    if (!count_field(h, n, v))
        return;
    if (n.len > 0 && n.at[0] == ':')
        add_pseudo(h, n, v);
    else if (is_consumed(n))
        consume(h, n, v);
    else
        keep_field(h, name, v, nv_flags & NGHTTP2_NV_FLAG_NO_INDEX);
}

void
h2_head_add_trailer(struct h2_head *h, nghttp2_rcbuf *name, nghttp2_rcbuf *value)
{
    h->fields++;
    h->bytes += rcbuf_slice(name).len + rcbuf_slice(value).len + 4;
    if (h->fields > h->limits->fields || h->bytes > h->limits->trailer_bytes)
        refuse(h, 431, ERR_LIMIT, "trailers_too_large", "more trailers than allowed");
}

/* Cookie crumbs become one field again (RFC 9113 8.2.3), in the place of the first. */
static void
join_cookies(struct h2_head *h)
{
    struct http_head *head = h->into;
    size_t total = 0;
    for (size_t i = 0; i < head->count; i++)
        if (slice_is(head->fields[i].name, "cookie"))
            total += head->fields[i].value.len + 2;
    char *text = arena_alloc(h->arena, total);
    if (!text) {
        refuse_nomem(h);
        return;
    }
    struct http_field *first = NULL;
    size_t kept = 0, len = 0;
    for (size_t i = 0; i < head->count; i++) {
        struct http_field *f = &head->fields[i];
        if (!slice_is(f->name, "cookie")) {
            head->fields[kept++] = *f;
            continue;
        }
        if (len > 0) {
            memcpy(text + len, "; ", 2);
            len += 2;
        }
        memcpy(text + len, f->value.at, f->value.len);
        len += f->value.len;
        if (!first) {
            first = &head->fields[kept++];
            *first = *f;
        }
    }
    if (first)
        first->value = slice_make(text, len);
    head->count = kept;
}

/* The authority goes nowhere but into logs and comparisons; still only what a host and a port are
 * made of passes: no userinfo, no path. */
static bool
is_authority(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']' ||
                    c == '%' || c == '~';
        if (!fine)
            return false;
    }
    return s.len > 0;
}

static bool
is_path(struct slice s)
{
    if (s.len == 0 || s.at[0] != '/')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] <= 0x20 || s.at[i] >= 0x7f || s.at[i] == '#')
            return false;
    return true;
}

static void
check_authority(struct h2_head *h)
{
    struct http_head *head = h->into;
    if (head->authority.at && h->host.at && !slice_eq_nocase(head->authority, h->host)) {
        refuse_bad(h, ":authority and host differ");
        return;
    }
    if (!head->authority.at)
        head->authority = h->host;
    if (!is_authority(head->authority))
        refuse_bad(h, "the authority is missing or malformed");
}

/* Takes Host out of the fields: it is known as the authority from here on. */
static void
drop_host(struct http_head *head)
{
    size_t kept = 0;
    for (size_t i = 0; i < head->count; i++)
        if (!slice_is(head->fields[i].name, "host"))
            head->fields[kept++] = head->fields[i];
    head->count = kept;
}

void
h2_head_end_request(struct h2_head *h)
{
    struct http_head *head = h->into;
    if (h->refusal != 0)
        return;
    if (!http_is_token(head->method))
        refuse_bad(h, "the method is malformed");
    else if (head->method.len + head->path.len > h->limits->request_line_bytes)
        refuse(h, 414, ERR_LIMIT, "uri_too_long", "the path is longer than allowed");
    else if (!is_path(head->path)) /* CONNECT has none */
        refuse_bad(h, "the path is malformed");
    else if (!slice_is(head->scheme, "http") && !slice_is(head->scheme, "https"))
        refuse_bad(h, "the scheme is neither http nor https");
    else
        check_authority(h);
    if (h->refusal == 0 && h->host.at)
        drop_host(head);
    if (h->refusal == 0 && h->cookies > 1)
        join_cookies(h);
}

void
h2_head_end_response(struct h2_head *h)
{
    if (h->refusal == 0 && h->into->status == 0)
        refuse_bad(h, "the response has no status");
}

/* --- going out -------------------------------------------------------------------- */

/* Values that must not stay in a compression context that others' guesses could probe (RFC 7541
 * 7.1.3), besides those marked by whoever made them. */
static bool
is_credential(struct slice name)
{
    switch (name.len) {
    case 6:
        return slice_is(name, "cookie");
    case 7:
        return slice_is(name, "api-key");
    case 9:
        return slice_is(name, "x-api-key");
    case 10:
        return slice_is(name, "set-cookie");
    case 13:
        return slice_is(name, "authorization");
    case 14:
        return slice_is(name, "x-goog-api-key");
    case 20:
        return slice_is(name, "x-amz-security-token");
    default:
        return false;
    }
}

static bool
is_ours(struct slice name)
{
    switch (name.len) {
    case 2:
        return slice_is(name, "te");
    case 4:
        return slice_is(name, "host");
    case 6:
        return slice_is(name, "expect");
    case 7:
        return slice_is(name, "upgrade") || slice_is(name, "trailer");
    case 10:
        return slice_is(name, "connection") || slice_is(name, "keep-alive");
    case 14:
        return slice_is(name, "content-length") || slice_is(name, "http2-settings");
    case 16:
        return slice_is(name, "proxy-connection");
    case 17:
        return slice_is(name, "transfer-encoding");
    default:
        return false;
    }
}

static bool
is_lower_token(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] >= 'A' && name.at[i] <= 'Z')
            return false;
    return http_is_token(name);
}

static int
put(struct h2_fields_out *out, struct slice name, struct slice value, uint8_t flags)
{
    if (out->count == LIMIT_H2_FIELDS_OUT)
        return ERR_LIMIT;
    /* nghttp2 takes pointers to bytes that it does not change. */
    out->at[out->count++] = (nghttp2_nv){
        (uint8_t *)(uintptr_t)name.at, (uint8_t *)(uintptr_t)value.at, name.len, value.len, flags};
    return 0;
}

int
h2_fields_add(struct h2_fields_out *out, const struct http_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct http_field *f = &fields[i];
        if (is_ours(f->name) || (out->is_response && slice_is(f->name, "date")))
            continue;
        if (!is_lower_token(f->name) || !http_is_field_value(f->value))
            return ERR_SYNTAX;
        bool secret = f->never_index || is_credential(f->name);
        int err = put(out, f->name, slice_trim(f->value),
                      secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE);
        if (err != 0)
            return err;
    }
    return 0;
}

int
h2_fields_put(struct h2_fields_out *out, struct slice name, struct slice value)
{
    return put(out, name, value, NGHTTP2_NV_FLAG_NONE);
}

int
h2_fields_put_length(struct h2_fields_out *out, uint64_t length)
{
    int n =
        snprintf(out->length_text, sizeof(out->length_text), "%llu", (unsigned long long)length);
    return h2_fields_put(out, SLICE("content-length"), slice_make(out->length_text, (size_t)n));
}

int
h2_fields_put_status(struct h2_fields_out *out, int status)
{
    if (status < 100 || status > 999)
        return ERR_SYNTAX;
    for (int i = 2; i >= 0; i--, status /= 10)
        out->status_text[i] = (char)('0' + status % 10);
    return h2_fields_put(out, SLICE(":status"), slice_make(out->status_text, 3));
}
