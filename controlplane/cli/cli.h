/*
 * The headgate tool: what every command has in common. A command is a row of commands.c; its
 * function reads its options with cli_begin(), does its work, and returns the exit status.
 *
 * A command fails with one line on standard error ("headgate: what is wrong; what to do") and
 * CLI_FAILED; a wrong command line with CLI_USAGE. Only what was asked for goes to standard output.
 */
#ifndef CONTROLPLANE_CLI_CLI_H
#define CONTROLPLANE_CLI_CLI_H

#include "lib/base/options.h"
#include "lib/base/slice.h"
#include "lib/json/doc.h"

#include <stdbool.h>
#include <stddef.h>

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

struct command {
    const char *name;      /* "key create" */
    const char *summary;   /* one line */
    const char *arguments; /* of positional ones: "NAME", or "" */
    const char *example;   /* lines as they are typed */
    int (*run)(const struct command *command, int argc, char **argv);
    const void *subject; /* what the function needs to know, or NULL */
    bool hidden;         /* not in the list of commands */
};

/* What a command line gave. */
struct cli {
    const struct command *command;
    const char *home;   /* --home, or NULL */
    const char *output; /* "text" or "json" */
    bool json;
    size_t args; /* positional ones */
    char **argv; /* argv[1] is the first of them */
};

enum { CLI_GO_ON = -1 };
/* Reads the command's rows and the common ones (--home, --output). CLI_GO_ON, or the exit status:
 * help was printed, or an error. rows: NULL when there are none. */
int cli_begin(struct cli *c, const struct command *command, const struct option_row *rows,
              size_t count, size_t min_args, size_t max_args, int argc, char **argv)
    __attribute__((warn_unused_result));

/* Prints "headgate: ..." and gives CLI_FAILED. */
int cli_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line on standard error that is no failure: "headgate: note: ...". */
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Pretty JSON and a newline on standard output. CLI_OK or CLI_FAILED. */
int cli_print_json(const struct json *j);
/* The text on one line, control characters replaced: for terminals. Gives a heap copy, or NULL. */
char *cli_clean(struct slice text);

#endif
