#include "controlplane/cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"

#define MAX_OPTIONS 32

int
cli_fail(const char *format, ...)
{
    va_list args;
    fflush(stdout);
    fputs("headgate: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return CLI_FAILED;
}

void
cli_note(const char *format, ...)
{
    va_list args;
    fflush(stdout);
    fputs("headgate: note: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int
cli_print_json(const struct json *j)
{
    struct buf text;
    buf_init(&text, 0);
    int e = json_write(j, false, 2, &text);
    if (e == 0)
        e = buf_add_str(&text, "\n");
    if (e == 0 && (fwrite(text.at, 1, text.len, stdout) != text.len || fflush(stdout) != 0))
        e = ERR_IO;
    buf_free(&text);
    return e == 0 ? CLI_OK : cli_fail("cannot write to standard output");
}

char *
cli_clean(struct slice text)
{
    char *copy = slice_dup(text);
    for (char *c = copy; c && *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    return copy;
}

/* The example of --help: each line is indented. */
static void
print_example(const struct command *command)
{
    if (!command->example)
        return;
    struct slice rest = slice_of(command->example);
    printf("\n%s:\n", memchr(rest.at, '\n', rest.len) ? "Examples" : "Example");
    while (rest.at) {
        struct slice line = slice_cut(&rest, '\n');
        printf("  %.*s\n", SLICE_ARG(line));
    }
}

static int
check_output(struct cli *c, const struct options *o)
{
    c->json = strcmp(c->output, "json") == 0;
    if (c->json || strcmp(c->output, "text") == 0)
        return CLI_GO_ON;
    fprintf(stderr, "%s: --output must be text or json, not \"%s\" (see %s --help)\n", o->program,
            c->output, o->program);
    return CLI_USAGE;
}

int
cli_begin(struct cli *c, const struct command *command, const struct option_row *rows, size_t count,
          size_t min_args, size_t max_args, int argc, char **argv)
{
    struct option_row all[MAX_OPTIONS];
    char program[80];
    *c = (struct cli){.command = command, .output = "text", .argv = argv};
    for (size_t i = 0; i < count; i++)
        all[i] = rows[i];
    all[count++] = (struct option_row){
        .name = "home", .into = &c->home, .value = "DIR", .help = "the gateway's directory"};
    all[count++] = (struct option_row){.name = "output",
                                       .into = &c->output,
                                       .value = "FORMAT",
                                       .letter = 'o',
                                       .help = "text, or json for programs"};
    snprintf(program, sizeof(program), "headgate %s", command->name);
    struct options o = {.program = program,
                        .summary = command->summary,
                        .arguments = command->arguments,
                        .rows = all,
                        .count = count,
                        .min_args = min_args,
                        .max_args = max_args};
    int e = options_parse(&o, argc, argv, &c->args);
    if (e < 0)
        return CLI_USAGE;
    if (e == 1) {
        print_example(command);
        return CLI_OK;
    }
    return check_output(c, &o);
}
