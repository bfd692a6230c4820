/* See fields.h. */
#include "controlplane/rules/fields.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "controlplane/secrets/seal.h"
#include "lib/base/cidr.h"
#include "lib/http/url.h"
#include "lib/net/dns.h"

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
field_is_scope(struct slice text, const char **ret_why)
{
    *ret_why = "printable ASCII without blanks, quotes and backslashes";
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] < 0x21 || text.at[i] > 0x7e || text.at[i] == '"' || text.at[i] == '\\')
            return false;
    return true;
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

bool
field_is_host(struct slice text, const char **ret_why)
{
    if (text.len > 0 && (is_alnum(text.at[0]) || text.at[0] == ':') && all_of(text, ".-:"))
        return true;
    *ret_why = "the name or address of a host, without a port";
    return false;
}

/* Words of `more` and alphanumerics, with single dots between. */
static bool
is_dot_atom(struct slice text, const char *more)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] == '.' && (i == 0 || i + 1 == text.len || text.at[i + 1] == '.'))
            return false;
    return text.len > 0 && all_of(text, more);
}

bool
field_is_mail_address(struct slice text, const char **ret_why)
{
    struct slice domain = text, local = slice_cut(&domain, '@');
    if (domain.at && local.len <= 64 && is_dot_atom(local, ".!#$%&'*+-/=?^_`{|}~") &&
        is_dot_atom(domain, ".-"))
        return true;
    *ret_why = "an address like ada@example.com, without a name or brackets around it";
    return false;
}

const char *
field_pattern(bool (*check)(struct slice text, const char **ret_why))
{
    static const struct {
        bool (*check)(struct slice text, const char **ret_why);
        const char *pattern;
    } patterns[] = {
        {field_is_name, "^[A-Za-z0-9][A-Za-z0-9._@+-]*$"},
        {field_is_model, "^[A-Za-z0-9][A-Za-z0-9._@+/:-]*$"},
        {field_is_pattern, "^[A-Za-z0-9*][A-Za-z0-9._@+/:*-]*$"},
        {field_is_zone, "^[A-Z][A-Za-z0-9_+/-]*$"},
        {field_is_margin, "^(0?[0-9]{1,3}(\\.[0-9]{1,4})?|1000(\\.0{1,4})?)$"},
        {field_is_discount, "^(0{0,2}[0-9]{1,2}(\\.[0-9]{1,4})?|0?100(\\.0{1,4})?)$"},
        {field_is_scope, "^([!#-Z^-~]|\\[|\\])*$"},
        {field_is_text, "^[^\\x00-\\x1f\\x7f]*$"},
        {field_is_credential, "^[^\\x00-\\x1f\\x7f]*$"},
        {field_is_cidr, "^[0-9A-Fa-f.:]+(/[0-9]+)?$"},
        {field_is_host, "^[A-Za-z0-9:][A-Za-z0-9.:-]*$"},
        {field_is_mail_address,
         "^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
         "@[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)*$"},
        {field_is_url, "^[Hh][Tt][Tt][Pp][Ss]?://"
                       "([A-Za-z0-9!$%&'()*+,;=._~-]+|\\[[0-9A-Fa-f:.]{2,}\\])(:[0-9]{1,5})?"
                       "(/([!\"$->@-[^-~]|\\])*)?$"},
    };
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
        if (patterns[i].check == check)
            return patterns[i].pattern;
    return NULL;
}

bool
field_is_private_host(struct slice host)
{
    char text[64];
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    while (slice_ends(host, SLICE(".")))
        host.len--;
    if (slice_eq_nocase(host, SLICE("localhost")) ||
        (host.len > 10 && slice_eq_nocase(slice_from(host, host.len - 10), SLICE(".localhost"))))
        return true;
    if (host.len >= sizeof(text))
        return false;
    snprintf(text, sizeof(text), "%.*s", SLICE_ARG(host));
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        return address_is_private((const struct sockaddr *)&v6);
    /* inet_aton also reads 127.1, 0x7f.1 and 2130706433, as resolvers do. */
    return inet_aton(text, &v4.sin_addr) == 1 && address_is_private((const struct sockaddr *)&v4);
}
