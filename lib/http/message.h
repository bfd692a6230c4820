/*
 * What HTTP/1.1 and HTTP/2 have in common: heads, fields, limits. RFC 9110.
 *
 * A head's slices point into memory owned by its stream (or call) and stay valid until the stream
 * ends. Field names are lower-case always. Connection-level fields (connection, keep-alive,
 * transfer-encoding, upgrade, te, trailer, proxy-*, expect, http2-settings, and whatever Connection
 * names) never appear: the codecs consume them. Host and :authority both appear as `authority`.
 */
#ifndef LIB_HTTP_MESSAGE_H
#define LIB_HTTP_MESSAGE_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct http_field {
    struct slice name, value;
    bool never_index; /* a credential: not kept in HPACK tables (RFC 7541 section 7.1.3) */
};

struct http_head {
    /* request */
    struct slice method, path /* with query, normal origin form */, authority, scheme;
    /* response */
    int status;
    /* both */
    struct http_field *fields;
    size_t count;
    int64_t content_length; /* -1: not given */
    int version;            /* 10, 11 or 20 */
};

/* First value of a (lower-case) field, or a slice with at == NULL. */
struct slice http_field_get(const struct http_head *h, const char *name);
/* How many fields of that name there are. */
size_t http_field_count(const struct http_head *h, const char *name);
/* Media type without parameters, lower-case comparison: http_content_type_is(h, "application/json")
 */
bool http_content_type_is(const struct http_head *h, const char *type);
/* "OK", "Not Found", ...; "Unknown" otherwise. */
const char *http_reason(int status);
/* Token (RFC 9110 5.6.2) and field-value characters. */
bool http_is_token(struct slice s);
/* The same, faster and a little wider: nothing that could end a name or a line. For names that were
 * parsed or are our own, before they are written. */
bool http_is_safe_name(struct slice s);
bool http_is_field_value(struct slice s);
/* A request target in origin form (path and query): printable, no fragment, whole escapes, none of
 * them NUL. Dot segments and empty ones are left alone: nothing here matches paths but exactly. */
bool http_is_path(struct slice s);
/* host, host:port, [v6], [v6]:port; no userinfo, not empty. */
bool http_is_authority(struct slice s);

/* The limits of a server or client; all bounded, all with the default of http_limits_default. */
struct http_limits {
    size_t request_line_bytes;  /* 8 KiB: 414 */
    size_t field_bytes;         /* 16 KiB for one field line: 431 */
    size_t head_bytes;          /* 64 KiB for all: 431 */
    size_t fields;              /* 100, counted after HPACK, every cookie crumb: 431 */
    uint64_t body_bytes;        /* 32 MiB: 413 */
    size_t trailer_bytes;       /* 8 KiB, discarded anyway */
    size_t chunk_line_bytes;    /* 256 */
    int head_ms;                /* 10 s from the first byte (or from accept): 408 */
    int body_idle_ms;           /* 30 s without a body byte: 408 */
    int body_min_rate;          /* 1024 bytes a second averaged over 30 s: 408 */
    int keepalive_ms;           /* 60 s between requests */
    int write_stall_ms;         /* 60 s (h2: 30 s of zero window) without progress: abort */
    size_t stream_buffer_bytes; /* 256 KiB of output held per stream before on_drained matters */
    size_t conn_buffer_bytes;   /* 1 MiB per connection */
    uint32_t h2_streams;        /* 128 concurrent */
    /* client side */
    int connect_ms;       /* 5 s */
    int first_byte_ms;    /* 60 s to the response head */
    int between_bytes_ms; /* 60 s */
    int total_ms;         /* 30 min */
    int informational;    /* 8 responses with 1xx, then it is an error */
};
extern const struct http_limits http_limits_default;

#endif
