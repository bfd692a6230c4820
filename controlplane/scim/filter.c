/* See filter.h. Parsing is by recursive descent, as deep as LIMIT_SCIM_DEPTH; matching recurses
 * over the tree, whose size the text's bounds. */
#include "controlplane/scim/filter.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "lib/base/clock.h"

struct parser {
    const struct scim_schema *schema;
    struct slice text;
    size_t at;
    int depth;
    /* whose attributes are named: the schema's, or in brackets those of one attribute */
    const struct scim_attribute *list;
    size_t count;
    struct arena *arena;
    struct buf *why;
};

__attribute__((format(printf, 2, 3))) static int
refuse(struct parser *p, const char *format, ...)
{
    va_list args;
    if (p->why->len > 0)
        return ERR_SYNTAX; /* the first is told */
    va_start(args, format);
    int err = buf_vaddf(p->why, format, args);
    va_end(args);
    if (!err)
        err = buf_addf(p->why, " (at byte %zu)", p->at + 1);
    return err == ERR_NOMEM ? err : ERR_SYNTAX;
}

/* ---- words -------------------------------------------------------------------------------------
 */

static void
skip_space(struct parser *p)
{
    while (p->at < p->text.len && p->text.at[p->at] == ' ')
        p->at++;
}

static bool
next_is(const struct parser *p, char c)
{
    return p->at < p->text.len && p->text.at[p->at] == c;
}

static bool
take(struct parser *p, char c)
{
    skip_space(p);
    if (!next_is(p, c))
        return false;
    p->at++;
    return true;
}

static bool
in_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr(":._-$", c));
}

/* What comes next, without taking it. */
static struct slice
peek_word(struct parser *p)
{
    skip_space(p);
    size_t end = p->at;
    while (end < p->text.len && in_word(p->text.at[end]))
        end++;
    return slice_make(p->text.at + p->at, end - p->at);
}

static bool
take_word(struct parser *p, struct slice word)
{
    struct slice next = peek_word(p);
    if (!slice_eq_nocase(next, word))
        return false;
    p->at += next.len;
    return true;
}

/* ---- attributes and values ---------------------------------------------------------------------
 */

static int
find_names(struct parser *p, struct slice path, const struct scim_attribute **ret_attribute,
           const struct scim_attribute **ret_sub)
{
    struct slice rest = scim_without_urn(p->schema, path);
    struct slice name = slice_cut(&rest, '.');
    *ret_attribute = scim_attribute_find(p->list, p->count, name);
    *ret_sub = NULL;
    if (*ret_attribute && rest.at) {
        *ret_sub = scim_attribute_find((*ret_attribute)->sub, (*ret_attribute)->sub_count, rest);
        if (!*ret_sub)
            *ret_attribute = NULL;
    }
    if (*ret_attribute)
        return 0;
    return refuse(p, "there is no attribute '%.*s'", (int)(path.len < 100 ? path.len : 100),
                  path.at);
}

static int
take_text(struct parser *p, struct scim_filter *f)
{
    size_t end = p->at + 1;
    struct json *value = NULL;
    while (end < p->text.len && p->text.at[end] != '"')
        end += p->text.at[end] == '\\' ? 2 : 1;
    if (end >= p->text.len)
        return refuse(p, "a text has no end");
    int err = json_parse(slice_make(p->text.at + p->at, end + 1 - p->at), &value, NULL, 0);
    if (err)
        return err == ERR_NOMEM ? err : refuse(p, "a text is not as JSON has it");
    f->kind = JSON_TEXT;
    f->text = arena_copy(p->arena, json_str(value));
    json_free(value);
    p->at = end + 1;
    return f->text.at ? 0 : ERR_NOMEM;
}

static int
take_value(struct parser *p, struct scim_filter *f)
{
    skip_space(p);
    if (next_is(p, '"'))
        return take_text(p, f);
    if (take_word(p, SLICE("true")))
        f->kind = JSON_TRUE_;
    else if (take_word(p, SLICE("false")))
        f->kind = JSON_FALSE_;
    else if (take_word(p, SLICE("null")))
        f->kind = JSON_NULL_;
    else
        return refuse(p, "a value is missing: a text in \"quotes\", true, false or null");
    return 0;
}

/* A value that cannot be compared so is refused where it is written. */
static int
check_value(struct parser *p, struct scim_filter *f)
{
    const struct scim_attribute *a = f->sub ? f->sub : f->attribute;
    bool ordered = f->op >= SCIM_GT && f->op <= SCIM_LE;
    bool part = f->op >= SCIM_CO && f->op <= SCIM_EW;
    if (a->type == SCIM_COMPLEX)
        return refuse(p, "'%s' has parts: name one of them", a->name);
    if (f->kind == JSON_NULL_)
        return ordered || part ? refuse(p, "null can only be eq or ne") : 0;
    if (a->type == SCIM_BOOLEAN) {
        if (ordered || part)
            return refuse(p, "'%s' is true or false: it can only be eq or ne", a->name);
        if (f->kind == JSON_TEXT && slice_eq_nocase(f->text, SLICE("true")))
            f->kind = JSON_TRUE_; /* as Entra ID writes it */
        if (f->kind == JSON_TEXT && slice_eq_nocase(f->text, SLICE("false")))
            f->kind = JSON_FALSE_;
        return f->kind == JSON_TEXT ? refuse(p, "'%s' is true or false", a->name) : 0;
    }
    if (f->kind != JSON_TEXT)
        return refuse(p, "'%s' is a text", a->name);
    if (a->type == SCIM_TIME && !part && clock_parse_rfc3339(f->text.at, &f->wall_ms) != 0)
        return refuse(p, "'%s' is a time, such as 2027-01-31T12:00:00Z", a->name);
    return 0;
}

/* ---- expressions -------------------------------------------------------------------------------
 */

static int parse_or(struct parser *p, const struct scim_filter **ret);

static struct scim_filter *
new_node(struct parser *p, enum scim_op op)
{
    struct scim_filter *f = arena_zalloc(p->arena, sizeof(*f));
    if (f)
        f->op = op;
    return f;
}

static int
enter(struct parser *p)
{
    if (p->depth == LIMIT_SCIM_DEPTH)
        return refuse(p, "more than %d parentheses within each other", LIMIT_SCIM_DEPTH);
    p->depth++;
    return 0;
}

/* After '(': what stands in it, and ')'. */
static int
parse_inside(struct parser *p, char end, const struct scim_filter **ret)
{
    int err = enter(p);
    if (err)
        return err;
    err = parse_or(p, ret);
    if (!err && !take(p, end))
        err = refuse(p, "'%c' is missing", end);
    p->depth--;
    return err;
}

/* After ATTRIBUTE[ */
static int
parse_elements(struct parser *p, struct scim_filter *f)
{
    const struct scim_attribute *list = p->list;
    size_t count = p->count;
    assert(f->attribute);
    if (f->sub || f->attribute->type != SCIM_COMPLEX || list != p->schema->at)
        return refuse(p, "'%s' has no elements to choose from", f->attribute->name);
    p->list = f->attribute->sub;
    p->count = f->attribute->sub_count;
    int err = parse_inside(p, ']', &f->left);
    p->list = list;
    p->count = count;
    return err;
}

static int
take_operator(struct parser *p, struct scim_filter *f)
{
    static const char *const names[] = {"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"};
    struct slice word = peek_word(p);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!slice_eq_nocase(word, slice_of(names[i])))
            continue;
        f->op = (enum scim_op)i;
        p->at += word.len;
        return 0;
    }
    return refuse(p, "an operator is missing: eq ne co sw ew gt ge lt le pr");
}

static int
parse_comparison(struct parser *p, const struct scim_filter **ret)
{
    struct slice word = peek_word(p);
    struct scim_filter *f = new_node(p, SCIM_SOME);
    if (!f)
        return ERR_NOMEM;
    if (word.len == 0)
        return refuse(p, "an attribute is missing");
    int err = find_names(p, word, &f->attribute, &f->sub);
    if (err)
        return err;
    p->at += word.len;
    *ret = f;
    if (next_is(p, '[')) {
        p->at++;
        return parse_elements(p, f);
    }
    err = take_operator(p, f);
    if (err || f->op == SCIM_PR)
        return err;
    if (!f->sub && f->attribute->type == SCIM_COMPLEX)
        f->sub = scim_value_of(f->attribute); /* emails co "@": RFC 7644, 3.4.2.2 */
    err = take_value(p, f);
    return err ? err : check_value(p, f);
}

static int
parse_one(struct parser *p, const struct scim_filter **ret)
{
    size_t before = p->at;
    if (take(p, '('))
        return parse_inside(p, ')', ret);
    if (!take_word(p, SLICE("not")) || !take(p, '(')) {
        p->at = before;
        return parse_comparison(p, ret);
    }
    struct scim_filter *f = new_node(p, SCIM_NOT);
    *ret = f;
    return f ? parse_inside(p, ')', &f->left) : ERR_NOMEM;
}

static int
parse_and(struct parser *p, const struct scim_filter **ret)
{
    int err = parse_one(p, ret);
    while (!err && take_word(p, SLICE("and"))) {
        struct scim_filter *f = new_node(p, SCIM_AND);
        if (!f)
            return ERR_NOMEM;
        f->left = *ret;
        *ret = f;
        err = parse_one(p, &f->right);
    }
    return err;
}

static int
parse_or(struct parser *p, const struct scim_filter **ret)
{
    int err = parse_and(p, ret);
    while (!err && take_word(p, SLICE("or"))) {
        struct scim_filter *f = new_node(p, SCIM_OR);
        if (!f)
            return ERR_NOMEM;
        f->left = *ret;
        *ret = f;
        err = parse_and(p, &f->right);
    }
    return err;
}

static struct parser
parser_of(const struct scim_schema *s, struct slice text, struct arena *a, struct buf *why)
{
    buf_clear(why);
    return (struct parser){
        .schema = s, .text = text, .list = s->at, .count = s->count, .arena = a, .why = why};
}

static int
check_size(struct parser *p)
{
    return p->text.len <= LIMIT_SCIM_FILTER
               ? 0
               : refuse(p, "is longer than %d bytes", LIMIT_SCIM_FILTER);
}

int
scim_filter_parse(const struct scim_schema *s, struct slice text, struct arena *a,
                  const struct scim_filter **ret_filter, struct buf *why)
{
    struct parser p = parser_of(s, text, a, why);
    int err = check_size(&p);
    *ret_filter = NULL;
    if (!err)
        err = parse_or(&p, ret_filter);
    skip_space(&p);
    if (!err && p.at < text.len)
        err = refuse(&p, "ends too early: 'and' or 'or' is missing");
    return err;
}

/* ---- paths -------------------------------------------------------------------------------------
 */

/* After the ']' of a path: nothing, or one more name. */
static int
parse_tail(struct parser *p, struct scim_path *path)
{
    if (p->at == p->text.len)
        return 0;
    if (!next_is(p, '.'))
        return refuse(p, "a '.' is missing");
    p->at++;
    struct slice name = slice_from(p->text, p->at);
    path->sub = scim_attribute_find(path->attribute->sub, path->attribute->sub_count, name);
    return path->sub ? 0 : refuse(p, "'%s' has no such part", path->attribute->name);
}

int
scim_path_parse(const struct scim_schema *s, struct slice text, struct arena *a,
                struct scim_path *ret_path, struct buf *why)
{
    struct parser p = parser_of(s, text, a, why);
    struct scim_filter some = {.op = SCIM_SOME};
    *ret_path = (struct scim_path){0};
    int err = check_size(&p);
    if (err)
        return err;
    struct slice word = peek_word(&p);
    if (scim_is_ignored(scim_without_urn(s, text))) {
        ret_path->ignored = true;
        return 0;
    }
    err = find_names(&p, word, &ret_path->attribute, &ret_path->sub);
    p.at += word.len;
    if (err || p.at == text.len)
        return err;
    if (!next_is(&p, '['))
        return refuse(&p, "this is no path of an attribute");
    p.at++;
    some.attribute = ret_path->attribute;
    some.sub = ret_path->sub;
    err = parse_elements(&p, &some);
    ret_path->filter = some.left;
    return err ? err : parse_tail(&p, ret_path);
}

/* ---- matching ----------------------------------------------------------------------------------
 */

static int
lower(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? u | 0x20 : u;
}

/* < 0, 0, > 0 of bytes, ASCII letters as one case unless exact. */
static int
order(struct slice a, struct slice b, bool exact)
{
    size_t n = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < n; i++) {
        int x = exact ? (unsigned char)a.at[i] : lower(a.at[i]);
        int y = exact ? (unsigned char)b.at[i] : lower(b.at[i]);
        if (x != y)
            return x - y;
    }
    return (a.len > b.len) - (a.len < b.len);
}

static bool
contains(struct slice whole, struct slice part, bool exact)
{
    for (size_t i = 0; i + part.len <= whole.len; i++)
        if (order(slice_make(whole.at + i, part.len), part, exact) == 0)
            return true;
    return false;
}

static bool
ordered(enum scim_op op, int sign)
{
    switch ((int)op) {
    case SCIM_EQ:
        return sign == 0;
    case SCIM_NE:
        return sign != 0;
    case SCIM_GT:
        return sign > 0;
    case SCIM_GE:
        return sign >= 0;
    case SCIM_LT:
        return sign < 0;
    case SCIM_LE:
        return sign <= 0;
    default:
        return false;
    }
}

static bool
compare_text(const struct scim_filter *f, const struct scim_attribute *a, struct slice have)
{
    struct slice want = f->text;
    int64_t ms = 0;
    if (f->op == SCIM_CO)
        return contains(have, want, a->case_exact);
    if (f->op == SCIM_SW || f->op == SCIM_EW) {
        size_t from = f->op == SCIM_SW || have.len < want.len ? 0 : have.len - want.len;
        return have.len >= want.len &&
               order(slice_make(have.at + from, want.len), want, a->case_exact) == 0;
    }
    if (a->type == SCIM_TIME && clock_parse_rfc3339(have.at, &ms) == 0)
        return ordered(f->op, (ms > f->wall_ms) - (ms < f->wall_ms));
    return ordered(f->op, order(have, want, a->case_exact));
}

static bool
is_present(const struct json *v)
{
    enum json_kind kind = json_kind(v);
    if (kind == JSON_TEXT)
        return json_str(v).len > 0;
    if (kind == JSON_LIST || kind == JSON_MAP)
        return json_size(v) > 0;
    return kind != JSON_ABSENT && kind != JSON_NULL_;
}

static bool
compare(const struct scim_filter *f, const struct scim_attribute *a, const struct json *v)
{
    enum json_kind kind = json_kind(v);
    if (f->op == SCIM_PR)
        return is_present(v);
    if (f->kind == JSON_NULL_ || !is_present(v))
        return (f->kind == JSON_NULL_ && !is_present(v)) == (f->op == SCIM_EQ) &&
               (f->op == SCIM_EQ || f->op == SCIM_NE);
    if (kind == JSON_TEXT && f->kind == JSON_TEXT)
        return compare_text(f, a, json_str(v));
    return (kind == f->kind) == (f->op == SCIM_EQ);
}

/* One value of the attribute, or the part of it that is meant. */
static bool
match_value(const struct scim_filter *f, const struct json *v)
{
    if (f->op == SCIM_SOME)
        return scim_filter_match(f->left, v);
    return f->sub ? compare(f, f->sub, json_get(v, f->sub->name)) : compare(f, f->attribute, v);
}

static bool
match_attribute(const struct scim_filter *f, const struct json *resource)
{
    const struct json *v = json_get(resource, f->attribute->name);
    if (json_kind(v) != JSON_LIST || json_size(v) == 0) {
        const struct json *one = json_kind(v) == JSON_LIST ? NULL : v;
        return (f->op != SCIM_SOME || one) && match_value(f, one);
    }
    for (size_t i = 0; i < json_size(v); i++)
        if (match_value(f, json_at(v, i)))
            return true;
    return false;
}

bool
scim_filter_match(const struct scim_filter *f, const struct json *resource)
{
    switch (f->op) {
    case SCIM_AND:
        return scim_filter_match(f->left, resource) && scim_filter_match(f->right, resource);
    case SCIM_OR:
        return scim_filter_match(f->left, resource) || scim_filter_match(f->right, resource);
    case SCIM_NOT:
        return !scim_filter_match(f->left, resource);
    case SCIM_EQ:
    case SCIM_NE:
    case SCIM_CO:
    case SCIM_SW:
    case SCIM_EW:
    case SCIM_GT:
    case SCIM_GE:
    case SCIM_LT:
    case SCIM_LE:
    case SCIM_PR:
    case SCIM_SOME:
        break;
    }
    return match_attribute(f, resource);
}

const struct scim_filter *
scim_filter_pin(const struct scim_filter *f, const char *attribute)
{
    if (f->op == SCIM_EQ && f->kind == JSON_TEXT && !f->sub &&
        strcmp(f->attribute->name, attribute) == 0)
        return f;
    if (f->op != SCIM_AND)
        return NULL;
    const struct scim_filter *found = scim_filter_pin(f->left, attribute);
    return found ? found : scim_filter_pin(f->right, attribute);
}
