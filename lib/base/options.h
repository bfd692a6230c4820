/*
 * Command-line options as a table: parsing, --help and errors come from the same rows.
 *
 *   --name VALUE and --name=VALUE; -h, --help; "--" ends options. A row's env variable is used
 *   where the option is absent. Errors are one line on stderr that says what to do.
 */
#ifndef LIB_BASE_OPTIONS_H
#define LIB_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum option_kind { OPTION_TEXT, OPTION_FLAG, OPTION_NUMBER, OPTION_LIST };

/* What an option that may be given several times comes to: all of it, with commas between. A value
 * may hold commas itself: they divide it likewise. */
#define OPTION_LIST_BYTES 4096
struct option_list {
    char text[OPTION_LIST_BYTES]; /* "": never given */
};

struct option_row {
    const char *name; /* without the dashes */
    enum option_kind kind;
    /* const char ** | bool * | long * | struct option_list *; its value before the call is the
     * default; a list is "" before */
    void *into;
    const char *value; /* what --help calls the value: "FILE" */
    const char *env;   /* environment variable, or NULL */
    long min, max;     /* of a number */
    const char *help;  /* one line */
    char letter;       /* short form, 0: none */
};

struct options {
    const char *program;   /* "headgate up" */
    const char *summary;   /* one line */
    const char *arguments; /* of positional ones: "NAME [FILE]", or "" */
    const struct option_row *rows;
    size_t count;
    size_t min_args, max_args;
};

/* argv[0] is the program's or command's own name and is skipped. Positional arguments are moved to
 * argv[1] ... argv[*ret_args]. An empty environment variable counts as absent.
 * 0: go on. 1: help was printed, exit 0. ERR_SYNTAX: an error was printed, exit 2. */
int options_parse(const struct options *o, int argc, char **argv, size_t *ret_args)
    __attribute__((warn_unused_result));
void options_help(const struct options *o);

#endif
