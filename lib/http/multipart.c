#include "lib/http/multipart.h"

#include "lib/http/message.h"

#include <string.h>

enum state {
    AT_DELIMITER, /* the first one: nothing else may stand here */
    IN_DATA,
    AFTER_DELIMITER, /* CR of a part to come, or '-' of the end */
    AFTER_CR,
    AFTER_DASH,
    IN_HEAD,
    AT_END, /* CR LF may follow */
    AT_END_CR,
    ENDED
};

static int
fail(struct multipart *m, int err, const char *why)
{
    m->why = why;
    return err;
}

/* --- the boundary ----------------------------------------------------------------------------- */

static bool
is_boundary(struct slice s)
{
    if (s.len == 0 || s.len > LIMIT_BOUNDARY_BYTES || s.at[s.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && !memchr("'()+_,-./:=? ", c, 13))
            return false;
    }
    return true;
}

/* Takes "; NAME=VALUE" from *rest; a value in quotes loses them. 1: there is none. */
static int
take_parameter(struct slice *rest, struct slice *ret_name, struct slice *ret_value)
{
    *rest = slice_trim(*rest);
    if (rest->len == 0)
        return 1;
    if (rest->at[0] != ';')
        return ERR_SYNTAX;
    *rest = slice_trim(slice_from(*rest, 1));
    size_t equals = slice_find(*rest, '=', 0);
    *ret_name = slice_make(rest->at, equals);
    if (equals == rest->len || !http_is_token(*ret_name))
        return ERR_SYNTAX;
    *rest = slice_from(*rest, equals + 1);
    size_t n = 0;
    if (rest->len && rest->at[0] == '"') {
        for (n = 1; n < rest->len && rest->at[n] != '"'; n++)
            n += rest->at[n] == '\\';
        if (n >= rest->len)
            return ERR_SYNTAX;
        *ret_value = slice_make(rest->at + 1, n - 1);
        *rest = slice_from(*rest, n + 1);
        return 0;
    }
    while (n < rest->len && rest->at[n] != ';' && rest->at[n] != ' ' && rest->at[n] != '\t')
        n++;
    *ret_value = slice_make(rest->at, n);
    *rest = slice_from(*rest, n);
    return http_is_token(*ret_value) ? 0 : ERR_SYNTAX;
}

int
multipart_boundary(struct slice content_type, struct slice *ret_boundary)
{
    size_t end = slice_find(content_type, ';', 0);
    struct slice rest = slice_from(content_type, end), name, value;
    int err;
    *ret_boundary = (struct slice){0};
    if (!slice_eq_nocase(slice_trim(slice_make(content_type.at, end)),
                         SLICE("multipart/form-data")))
        return ERR_NOT_FOUND;
    while ((err = take_parameter(&rest, &name, &value)) == 0) {
        if (!slice_eq_nocase(name, SLICE("boundary")))
            continue;
        if (ret_boundary->at || !is_boundary(value))
            return ERR_SYNTAX;
        *ret_boundary = value;
    }
    return err == 1 && ret_boundary->at ? 0 : ERR_SYNTAX;
}

void
multipart_init(struct multipart *m, struct slice boundary, const struct multipart_handlers *h,
               void *ctx)
{
    m->handlers = h;
    m->ctx = ctx;
    m->state = AT_DELIMITER;
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary.at, boundary.len);
    m->delimiter_len = boundary.len + 4;
    m->matched = 2; /* as if a line had ended before the body */
    m->offset = 0;
    m->parts = 0;
    m->why = NULL;
    m->head_len = 0;
}

/* --- a part's head ---------------------------------------------------------------------------- */

static int
take_name(struct multipart *m, struct slice value, struct multipart_part *part)
{
    if (part->name.at)
        return fail(m, ERR_SYNTAX, "a part with two names");
    if (value.len && memchr(value.at, '\\', value.len))
        return fail(m, ERR_SYNTAX, "a part's name with a backslash");
    part->name = value;
    return 0;
}

static int
read_disposition(struct multipart *m, struct slice value, struct multipart_part *part)
{
    size_t end = slice_find(value, ';', 0);
    struct slice rest = slice_from(value, end), name, text;
    int err;
    if (!slice_eq_nocase(slice_trim(slice_make(value.at, end)), SLICE("form-data")))
        return fail(m, ERR_SYNTAX, "a part that is no form-data");
    while ((err = take_parameter(&rest, &name, &text)) == 0) {
        if (slice_eq_nocase(name, SLICE("name")) && (err = take_name(m, text, part)))
            return err;
        if (slice_eq_nocase(name, SLICE("name*")))
            return fail(m, ERR_SYNTAX, "a part's name in an extended form");
        part->is_file |=
            slice_eq_nocase(name, SLICE("filename")) || slice_eq_nocase(name, SLICE("filename*"));
    }
    return err == 1 ? 0 : fail(m, ERR_SYNTAX, "a malformed content-disposition");
}

static int
read_field(struct multipart *m, struct slice line, bool *seen, struct multipart_part *part)
{
    size_t colon = slice_find(line, ':', 0);
    struct slice name = slice_make(line.at, colon);
    struct slice value = slice_trim(slice_from(line, colon + 1));
    if (colon == line.len || !http_is_token(name) || !http_is_field_value(value))
        return fail(m, ERR_SYNTAX, "a malformed field of a part");
    if (slice_eq_nocase(name, SLICE("content-transfer-encoding")) &&
        !slice_eq_nocase(value, SLICE("binary")) && !slice_eq_nocase(value, SLICE("8bit")) &&
        !slice_eq_nocase(value, SLICE("7bit")))
        return fail(m, ERR_SYNTAX, "a part in a transfer encoding");
    if (!slice_eq_nocase(name, SLICE("content-disposition")))
        return 0;
    if (*seen)
        return fail(m, ERR_SYNTAX, "a part with two content-dispositions");
    *seen = true;
    return read_disposition(m, value, part);
}

/* The head stands whole in m->head, each line with its CR LF. */
static int
read_head(struct multipart *m)
{
    struct multipart_part part = {.is_file = false};
    struct slice rest = slice_make(m->head, m->head_len - 2);
    bool seen = false;
    while (rest.len) {
        struct slice line = slice_cut(&rest, '\n');
        if (line.len == 0 || line.at[line.len - 1] != '\r')
            return fail(m, ERR_SYNTAX, "a line of a part that does not end in CR LF");
        line.len--;
        int err = read_field(m, line, &seen, &part);
        if (err)
            return err;
    }
    if (!part.name.at)
        return fail(m, ERR_SYNTAX, "a part without a name");
    if (m->parts++ == LIMIT_FORM_PARTS)
        return fail(m, ERR_LIMIT, "more than 128 parts");
    m->handlers->on_part(m->ctx, &part);
    m->state = IN_DATA;
    m->matched = 0;
    return 0;
}

static int
push_head(struct multipart *m, char c)
{
    if (m->head_len == LIMIT_PART_HEAD_BYTES)
        return fail(m, ERR_LIMIT, "a part's head of more than 4096 bytes");
    m->head[m->head_len++] = c;
    if (c != '\n')
        return 0;
    bool ends = m->head_len == 2
                    ? m->head[0] == '\r'
                    : m->head_len > 3 && memcmp(m->head + m->head_len - 4, "\r\n\r\n", 4) == 0;
    return ends ? read_head(m) : 0;
}

/* --- data ------------------------------------------------------------------------------------- */

static void
give(struct multipart *m, const char *at, size_t n, uint64_t offset)
{
    if (n)
        m->handlers->on_data(m->ctx, slice_make(at, n), offset);
}

/* As much as is data, or of a delimiter. Only its first byte is a CR: what did not become one
 * begins anew at the byte that broke it. Returns how many bytes were taken. */
static size_t
push_data(struct multipart *m, struct slice bytes)
{
    size_t i = 0;
    if (m->matched == 0) {
        i = slice_find(bytes, '\r', 0);
        give(m, bytes.at, i, m->offset);
        if (i == bytes.len)
            return i;
        m->matched = 1;
        return i + 1;
    }
    while (i < bytes.len && m->matched < m->delimiter_len &&
           bytes.at[i] == m->delimiter[m->matched]) {
        i++;
        m->matched++;
    }
    if (m->matched == m->delimiter_len) {
        m->handlers->on_part_end(m->ctx);
        m->state = AFTER_DELIMITER;
    } else if (i < bytes.len) {
        size_t n = m->matched;
        m->matched = 0;
        give(m, m->delimiter, n, m->offset + i - n);
    }
    return i;
}

static size_t
push_first(struct multipart *m, struct slice bytes, int *ret_err)
{
    size_t i = 0;
    while (i < bytes.len && m->matched < m->delimiter_len) {
        if (bytes.at[i] != m->delimiter[m->matched]) {
            *ret_err = fail(m, ERR_SYNTAX, "it does not begin with the boundary");
            return i;
        }
        i++;
        m->matched++;
    }
    if (m->matched == m->delimiter_len)
        m->state = AFTER_DELIMITER;
    return i;
}

/* --- all of it -------------------------------------------------------------------------------- */

/* The states that take one byte, which must be one of these. */
static int
push_byte(struct multipart *m, char c)
{
    static const struct {
        enum state at, to;
        char c;
    } rows[] = {
        {AFTER_DELIMITER, AFTER_CR, '\r'}, {AFTER_DELIMITER, AFTER_DASH, '-'},
        {AFTER_CR, IN_HEAD, '\n'},         {AFTER_DASH, AT_END, '-'},
        {AT_END, AT_END_CR, '\r'},         {AT_END_CR, ENDED, '\n'},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if ((int)rows[i].at == m->state && rows[i].c == c) {
            m->state = rows[i].to;
            m->head_len = 0;
            return 0;
        }
    return fail(m, ERR_SYNTAX,
                m->state >= AT_END ? "bytes behind the last boundary" : "a boundary that goes on");
}

int
multipart_push(struct multipart *m, struct slice bytes)
{
    int err = 0;
    while (bytes.len && !err) {
        size_t n = 1;
        if (m->state == AT_DELIMITER)
            n = push_first(m, bytes, &err);
        else if (m->state == IN_DATA)
            n = push_data(m, bytes);
        else
            err = m->state == IN_HEAD ? push_head(m, bytes.at[0]) : push_byte(m, bytes.at[0]);
        m->offset += n;
        bytes = slice_from(bytes, n);
    }
    return err;
}

int
multipart_end(struct multipart *m)
{
    if (m->state == AT_END || m->state == ENDED)
        return 0;
    return fail(m, ERR_TRUNCATED, "it ends before its last boundary");
}
