#include "controlplane/cli/yaml_scalar.h"

#include <stddef.h>
#include <stdint.h>

static bool
is_one_of(struct slice text, const char *const *words)
{
    for (; *words; words++)
        if (slice_is(text, *words))
            return true;
    return false;
}

static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const trues[] = {"true", "True", "TRUE", NULL};
static const char *const falses[] = {"false", "False", "FALSE", NULL};
/* Booleans of YAML 1.1, and numbers that are not digits. */
static const char *const others[] = {"y",    "Y",    "yes",  "Yes",  "YES",   "n",   "N",   "no",
                                     "No",   "NO",   "on",   "On",   "ON",    "off", "Off", "OFF",
                                     ".nan", ".NaN", ".inf", ".Inf", "-.inf", "=",   "<<",  NULL};

/* A decimal integer without superfluous zeros that fits 64 bits: 007 stays text. */
static bool
to_integer(struct slice text, int64_t *ret_value)
{
    bool minus = text.len > 0 && text.at[0] == '-';
    struct slice digits = slice_from(text, minus || (text.len > 0 && text.at[0] == '+') ? 1 : 0);
    unsigned long long v = 0;
    if (digits.len == 0 || (digits.len > 1 && digits.at[0] == '0'))
        return false;
    if (slice_to_u64(digits, &v) != 0 || v > INT64_MAX)
        return false;
    *ret_value = minus ? -(int64_t)v : (int64_t)v;
    return true;
}

struct json *
yaml_scalar_resolve(struct slice text)
{
    int64_t number;
    if (is_one_of(text, nulls))
        return json_new_null();
    if (is_one_of(text, trues))
        return json_new_bool(true);
    if (is_one_of(text, falses))
        return json_new_bool(false);
    if (to_integer(text, &number))
        return json_new_int(number);
    return json_new_text(text);
}

/* Begins like a number or a date, in any dialect: quoting it costs nothing. */
static bool
is_number_like(struct slice text)
{
    size_t i = text.len > 0 && (text.at[0] == '-' || text.at[0] == '+') ? 1 : 0;
    if (i < text.len && text.at[i] == '.')
        i++;
    if (i >= text.len || text.at[i] < '0' || text.at[i] > '9')
        return false;
    for (; i < text.len; i++)
        if (!strchr("0123456789.eExXoOabcdefABCDEF_+-:TZ ", text.at[i]))
            return false;
    return true;
}

bool
yaml_scalar_is_special(struct slice text)
{
    return is_one_of(text, nulls) || is_one_of(text, trues) || is_one_of(text, falses) ||
           is_one_of(text, others) || is_number_like(text);
}
