#include "lib/base/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/near.h"

#define MAX_ROWS 64

/* One line on standard error that ends with where help is. */
__attribute__((format(printf, 2, 3))) static int
fail(const struct options *o, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%s: ", o->program);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (see %s --help)\n", o->program);
    return ERR_SYNTAX;
}

/* --- help ------------------------------------------------------------------------------------- */

/* "  -o, --output FORMAT" into text. */
static void
describe_name(const struct option_row *r, char *text, size_t bytes)
{
    char letter[8] = "    ";
    if (r->letter)
        snprintf(letter, sizeof(letter), "-%c, ", r->letter);
    snprintf(text, bytes, "  %s--%s%s%s", letter, r->name, r->kind == OPTION_FLAG ? "" : " ",
             r->kind == OPTION_FLAG ? ""
             : r->value             ? r->value
                                    : "VALUE");
}

static void
print_default(const struct option_row *r)
{
    switch (r->kind) {
    case OPTION_TEXT: {
        const char *const *text = r->into;
        if (*text && **text)
            printf(" [%s]", *text);
        break;
    }
    case OPTION_NUMBER:
        printf(" [%ld]", *(const long *)r->into);
        break;
    case OPTION_LIST:
        printf(" (may be given several times)");
        break;
    case OPTION_FLAG:
        break;
    }
}

void
options_help(const struct options *o)
{
    printf("Usage: %s [OPTIONS]%s%s\n\n%s\n\nOptions:\n", o->program,
           o->arguments && *o->arguments ? " " : "", o->arguments ? o->arguments : "", o->summary);
    for (size_t i = 0; i < o->count; i++) {
        char name[80];
        describe_name(&o->rows[i], name, sizeof(name));
        printf("%-34s %s", name, o->rows[i].help ? o->rows[i].help : "");
        if (o->rows[i].env)
            printf(" ($%s)", o->rows[i].env);
        print_default(&o->rows[i]);
        printf("\n");
    }
    printf("%-34s %s\n", "  -h, --help", "show this");
    fflush(stdout);
}

/* --- values ----------------------------------------------------------------------------------- */

static int
set_number(const struct options *o, const struct option_row *r, const char *shown, const char *text)
{
    char *end = NULL;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno == EINVAL)
        return fail(o, "%s needs a whole number, not \"%s\"", shown, text);
    if (errno == ERANGE || v < r->min || (r->max && v > r->max))
        return r->max ? fail(o, "%s must be from %ld to %ld, not %s", shown, r->min, r->max, text)
                      : fail(o, "%s must be at least %ld, not %s", shown, r->min, text);
    *(long *)r->into = v;
    return 0;
}

static int
set_flag(const struct options *o, const struct option_row *r, const char *shown, const char *text)
{
    bool on = strcmp(text, "1") == 0 || strcmp(text, "true") == 0 || strcmp(text, "yes") == 0;
    bool off = strcmp(text, "0") == 0 || strcmp(text, "false") == 0 || strcmp(text, "no") == 0;
    if (!on && !off)
        return fail(o, "%s is on or off: use true or false, not \"%s\"", shown, text);
    *(bool *)r->into = on;
    return 0;
}

static int
add_to_list(const struct options *o, const struct option_row *r, const char *shown,
            const char *text)
{
    struct option_list *list = r->into;
    size_t n = strlen(list->text), more = strlen(text);

    if (*text == '\0' || *text == ',' || text[more - 1] == ',' || strstr(text, ",,"))
        return fail(o, "%s has an empty part: \"%s\"", shown, text);
    if (n + 1 + more >= sizeof(list->text))
        return fail(o, "%s is too long", shown);
    snprintf(list->text + n, sizeof(list->text) - n, "%s%s", n ? "," : "", text);
    return 0;
}

/* shown: how the user named it ("--workers", "HEADGATE_WORKERS"). */
static int
set(const struct options *o, const struct option_row *r, const char *shown, const char *text)
{
    switch (r->kind) {
    case OPTION_FLAG:
        return set_flag(o, r, shown, text);
    case OPTION_NUMBER:
        return set_number(o, r, shown, text);
    case OPTION_TEXT:
        *(const char **)r->into = text;
        return 0;
    case OPTION_LIST:
        return add_to_list(o, r, shown, text);
    }
    return ERR_SYNTAX;
}

static int
from_environment(const struct options *o, const bool *seen)
{
    for (size_t i = 0; i < o->count; i++) {
        const struct option_row *r = &o->rows[i];
        const char *text = r->env && !seen[i] ? getenv(r->env) : NULL;
        if (text && *text && set(o, r, r->env, text) < 0)
            return ERR_SYNTAX;
    }
    return 0;
}

/* --- the command line ------------------------------------------------------------------------- */

static const struct option_row *
find_name(const struct options *o, struct slice name)
{
    for (size_t i = 0; i < o->count; i++)
        if (slice_is(name, o->rows[i].name))
            return &o->rows[i];
    return NULL;
}

static const struct option_row *
find_letter(const struct options *o, char letter)
{
    for (size_t i = 0; i < o->count; i++)
        if (o->rows[i].letter && o->rows[i].letter == letter)
            return &o->rows[i];
    return NULL;
}

static int
unknown(const struct options *o, const char *word, struct slice name)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < o->count; i++) {
        size_t d = near_distance(name, slice_of(o->rows[i].name));
        if (d < least && near_enough(name, slice_of(o->rows[i].name), d)) {
            least = d;
            best = o->rows[i].name;
        }
    }
    int shown = (int)strcspn(word, "="); /* what follows may be a secret */
    if (best)
        return fail(o, "unknown option %.*s; did you mean --%s?", shown, word, best);
    return fail(o, "unknown option %.*s", shown, word);
}

/* The command line while it is read. */
struct walk {
    const struct options *o;
    int argc, i;
    char **argv;
    size_t args; /* positional ones so far */
    bool seen[MAX_ROWS];
};

/* r named by `shown`, with its value after "=" or NULL. */
static int
take(struct walk *w, const struct option_row *r, const char *shown, const char *value)
{
    w->seen[r - w->o->rows] = true;
    if (!value && r->kind == OPTION_FLAG)
        value = "true";
    if (!value && w->i + 1 < w->argc)
        value = w->argv[++w->i];
    if (!value)
        return fail(w->o, "%s needs a value: %s %s", shown, shown, r->value ? r->value : "VALUE");
    return set(w->o, r, shown, value);
}

static int
take_long(struct walk *w, const char *word)
{
    struct slice rest = slice_of(word + 2);
    struct slice name = slice_cut(&rest, '=');
    char shown[80];
    const struct option_row *r = find_name(w->o, name);
    if (!r)
        return unknown(w->o, word, name);
    snprintf(shown, sizeof(shown), "--%s", r->name);
    return take(w, r, shown, rest.at);
}

static int
take_short(struct walk *w, const char *word)
{
    char shown[3] = {'-', word[1], '\0'};
    const struct option_row *r = find_letter(w->o, word[1]);
    if (!r)
        return unknown(w->o, word, slice_of(word + 1));
    if (word[2] != '\0' && r->kind == OPTION_FLAG)
        return fail(w->o, "%s takes no value", shown);
    return take(w, r, shown, word[2] != '\0' ? word + 2 : NULL);
}

/* 1: help is wanted. */
static int
take_word(struct walk *w, bool *only_args)
{
    const char *word = w->argv[w->i];
    if (*only_args || word[0] != '-' || word[1] == '\0') {
        w->argv[++w->args] = w->argv[w->i];
        return 0;
    }
    if (strcmp(word, "--") == 0) {
        *only_args = true;
        return 0;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return 1;
    return word[1] == '-' ? take_long(w, word) : take_short(w, word);
}

static int
check_count(const struct options *o, size_t args, char **argv)
{
    if (args < o->min_args)
        return fail(o, "missing argument: %s", o->arguments ? o->arguments : "");
    if (args > o->max_args)
        return fail(o, "unexpected argument \"%s\"", argv[o->max_args + 1]);
    return 0;
}

int
options_parse(const struct options *o, int argc, char **argv, size_t *ret_args)
{
    struct walk w = {.o = o, .argc = argc, .argv = argv};
    bool only_args = false;
    if (o->count > MAX_ROWS)
        abort(); /* our table is too long: a bug */
    for (w.i = 1; w.i < argc; w.i++) {
        int e = take_word(&w, &only_args);
        if (e == 1)
            options_help(o);
        if (e != 0)
            return e;
    }
    if (check_count(o, w.args, argv) < 0 || from_environment(o, w.seen) < 0)
        return ERR_SYNTAX;
    *ret_args = w.args;
    return 0;
}
