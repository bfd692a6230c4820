#include "lib/http/h1_body.h"

/* A chunked body of which too little is content is refused once its framing has cost this much. */
#define OVERHEAD_FREE_BYTES (100 * 1024)
#define MAX_DIGITS 16

enum chunk_state {
    SIZE,
    SIZE_LF,
    EXT_NAME_FIRST,
    EXT_NAME,
    EXT_VALUE_FIRST,
    EXT_VALUE,
    EXT_QUOTED,
    EXT_ESCAPE,
    EXT_QUOTED_END,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER_FIRST,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF,
};

void
h1_body_init(struct h1_body *b, enum h1_body_mode mode, uint64_t length, uint64_t max_bytes)
{
    *b = (struct h1_body){.mode = mode, .max_bytes = max_bytes, .least_share = H1_BODY_REQUEST};
    if (mode == H1_BODY_LENGTH)
        b->left = length;
    b->done = mode == H1_BODY_NONE || (mode == H1_BODY_LENGTH && length == 0);
}

static int
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool
is_tchar(char c)
{
    return http_is_token(slice_make(&c, 1));
}

static bool
is_text(char c)
{
    return http_is_field_value(slice_make(&c, 1));
}

static int
size_digit(struct h1_body *b, char c)
{
    int value = hex_value(c);
    if (value >= 0) {
        if (++b->digits > MAX_DIGITS)
            return ERR_PROTOCOL;
        b->left = b->left << 4 | (unsigned)value;
        return 0;
    }
    if (b->digits == 0)
        return ERR_PROTOCOL;
    if (c == '\r')
        b->state = SIZE_LF;
    else if (c == ';')
        b->state = EXT_NAME_FIRST;
    else
        return ERR_PROTOCOL;
    return 0;
}

/* chunk-ext without the "bad whitespace" that only senders of the past used. */
static int
extension(struct h1_body *b, char c)
{
    switch ((enum chunk_state)b->state) {
    case EXT_NAME_FIRST:
        b->state = EXT_NAME;
        return is_tchar(c) ? 0 : ERR_PROTOCOL;
    case EXT_VALUE_FIRST:
        b->state = c == '"' ? EXT_QUOTED : EXT_VALUE;
        return c == '"' || is_tchar(c) ? 0 : ERR_PROTOCOL;
    case EXT_QUOTED:
        b->state = c == '"' ? EXT_QUOTED_END : c == '\\' ? EXT_ESCAPE : EXT_QUOTED;
        return is_text(c) ? 0 : ERR_PROTOCOL;
    case EXT_ESCAPE:
        b->state = EXT_QUOTED;
        return is_text(c) ? 0 : ERR_PROTOCOL;
    default: /* EXT_NAME, EXT_VALUE, EXT_QUOTED_END: more of it, or what may follow */
        break;
    }
    if (c == '\r')
        b->state = SIZE_LF;
    else if (c == ';')
        b->state = EXT_NAME_FIRST;
    else if (c == '=' && b->state == EXT_NAME)
        b->state = EXT_VALUE_FIRST;
    else if (b->state == EXT_QUOTED_END || !is_tchar(c))
        return ERR_PROTOCOL;
    return 0;
}

static int
size_end(struct h1_body *b, char c)
{
    if (c != '\n' || b->left > INT64_MAX)
        return ERR_PROTOCOL;
    b->line_bytes = 0;
    b->digits = 0;
    if (b->left == 0) {
        b->state = TRAILER_FIRST;
        return 0;
    }
    if (b->max_bytes > 0 && b->left > b->max_bytes - b->seen)
        return ERR_LIMIT;
    b->state = DATA;
    return 0;
}

static int
trailer(struct h1_body *b, char c)
{
    switch ((enum chunk_state)b->state) {
    case TRAILER_FIRST:
        if (c == '\r') {
            b->state = END_LF;
            return 0;
        }
        b->state = TRAILER_NAME;
        return is_tchar(c) ? 0 : ERR_PROTOCOL;
    case TRAILER_NAME:
        if (c == ':') {
            b->state = TRAILER_VALUE;
            return 0;
        }
        return is_tchar(c) ? 0 : ERR_PROTOCOL;
    case TRAILER_VALUE:
        if (c == '\r') {
            b->state = TRAILER_LF;
            return 0;
        }
        return is_text(c) ? 0 : ERR_PROTOCOL;
    default: /* TRAILER_LF */
        b->state = TRAILER_FIRST;
        return c == '\n' ? 0 : ERR_PROTOCOL;
    }
}

/* One byte that is not content. */
static int
framing_byte(struct h1_body *b, char c, const struct http_limits *limits)
{
    enum chunk_state state = (enum chunk_state)b->state;
    b->overhead++;
    if (b->overhead > OVERHEAD_FREE_BYTES && b->seen < (b->seen + b->overhead) / b->least_share)
        return ERR_PROTOCOL;
    if (state == DATA_CR) {
        b->state = DATA_LF;
        return c == '\r' ? 0 : ERR_PROTOCOL;
    }
    if (state == DATA_LF) {
        b->state = SIZE;
        return c == '\n' ? 0 : ERR_PROTOCOL;
    }
    if (state == END_LF) {
        b->done = true;
        return c == '\n' ? 0 : ERR_PROTOCOL;
    }
    /* Two more for the CRLF of a chunk line. */
    size_t most = state >= TRAILER_FIRST ? limits->trailer_bytes : limits->chunk_line_bytes + 2;
    if (++b->line_bytes > most)
        return ERR_PROTOCOL;
    if (state == SIZE)
        return size_digit(b, c);
    if (state == SIZE_LF)
        return size_end(b, c);
    return state >= TRAILER_FIRST ? trailer(b, c) : extension(b, c);
}

static ssize_t
push_chunked(struct h1_body *b, char *bytes, size_t n, const struct http_limits *limits,
             struct slice *ret_data)
{
    char *data = NULL; /* the content so far, contiguous */
    size_t len = 0, i = 0;
    while (i < n && !b->done) {
        if (b->state != DATA) {
            int err = framing_byte(b, bytes[i++], limits);
            if (err != 0)
                return err;
            continue;
        }
        size_t take = b->left < n - i ? (size_t)b->left : n - i;
        if (!data)
            data = bytes + i;
        else
            memmove(data + len, bytes + i, take);
        len += take;
        i += take;
        b->seen += take;
        b->left -= take;
        if (b->left == 0)
            b->state = DATA_CR;
    }
    *ret_data = slice_make(data, len);
    return (ssize_t)i;
}

ssize_t
h1_body_push(struct h1_body *b, char *bytes, size_t n, const struct http_limits *limits,
             struct slice *ret_data)
{
    *ret_data = (struct slice){bytes, 0};
    if (b->done)
        return 0;
    if (b->mode == H1_BODY_CHUNKED)
        return push_chunked(b, bytes, n, limits, ret_data);
    size_t take = n;
    if (b->mode == H1_BODY_LENGTH) {
        take = b->left < n ? (size_t)b->left : n;
        b->left -= take;
        b->done = b->left == 0;
    }
    b->seen += take;
    if (b->max_bytes > 0 && b->seen > b->max_bytes)
        return ERR_LIMIT;
    ret_data->len = take;
    return (ssize_t)take;
}
