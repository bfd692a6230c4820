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
