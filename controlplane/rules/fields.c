/* See fields.h. */
#include "controlplane/rules/fields.h"

#include "controlplane/secrets/seal.h"
#include "lib/base/cidr.h"
#include "lib/http/url.h"

static bool
is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool
all_of(struct slice text, const char *more)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_alnum(text.at[i]) && (!text.at[i] || !strchr(more, text.at[i])))
            return false;
    return true;
}

bool
field_is_name(struct slice text, const char **ret_why)
{
    if (text.len > 0 && is_alnum(text.at[0]) && all_of(text, "._@+-"))
        return true;
    *ret_why =
        "a name begins with a letter or digit and goes on with letters, digits and . _ @ + -";
    return false;
}

bool
field_is_model(struct slice text, const char **ret_why)
{
    if (text.len > 0 && is_alnum(text.at[0]) && all_of(text, "._@+-/:"))
        return true;
    *ret_why = "a model's name begins with a letter or digit and goes on with letters, digits and "
               ". _ @ + - / :";
    return false;
}

bool
field_is_pattern(struct slice text, const char **ret_why)
{
    if (text.len > 0 && (is_alnum(text.at[0]) || text.at[0] == '*') && all_of(text, "._@+-/:*"))
        return true;
    *ret_why = "a model's name or a pattern: letters, digits, . _ @ + - / : and '*'";
    return false;
}

bool
field_is_zone(struct slice text, const char **ret_why)
{
    if (text.len > 0 && text.at[0] >= 'A' && text.at[0] <= 'Z' && all_of(text, "_+-/"))
        return true;
    *ret_why = "the name of a time zone, like UTC or Europe/Berlin";
    return false;
}

/* In ten thousandths of a percent: -1 when it is no such number. */
static long
percent(struct slice text)
{
    struct slice fraction = text, whole = slice_cut(&fraction, '.');
    long n = 0;

    if (whole.len < 1 || whole.len > 4 || (fraction.at && (fraction.len < 1 || fraction.len > 4)))
        return -1;
    for (size_t i = 0; i < whole.len + 4; i++) {
        const struct slice *part = i < whole.len ? &whole : &fraction;
        size_t at = i < whole.len ? i : i - whole.len;
        char c = part->at && at < part->len ? part->at[at] : '0';
        if (c < '0' || c > '9')
            return -1;
        n = n * 10 + (c - '0');
    }
    return n;
}

bool
field_is_margin(struct slice text, const char **ret_why)
{
    long n = percent(text);
    *ret_why = "a decimal number from 0 to 1000 with at most 4 decimals";
    return n >= 0 && n <= 10000000;
}

bool
field_is_discount(struct slice text, const char **ret_why)
{
    long n = percent(text);
    *ret_why = "a decimal number from 0 to 100 with at most 4 decimals";
    return n >= 0 && n <= 1000000;
}

bool
field_is_text(struct slice text, const char **ret_why)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f) {
            *ret_why = "control characters are not allowed";
            return false;
        }
    return true;
}

bool
field_is_url(struct slice text, const char **ret_why)
{
    struct url url;
    if (url_parse(text, &url, ret_why) != 0)
        return false;
    if (url.path.len > 0 && memchr(url.path.at, '?', url.path.len)) {
        *ret_why = "a query is not allowed here";
        return false;
    }
    return true;
}

bool
field_is_credential(struct slice text, const char **ret_why)
{
    enum credential_form form;
    if (credential_parse(text, &form, ret_why) != 0)
        return false;
    return form != CREDENTIAL_LITERAL || field_is_text(text, ret_why);
}

bool
field_is_cidr(struct slice text, const char **ret_why)
{
    struct cidr c;
    return cidr_parse(text, &c, ret_why) == 0;
}
