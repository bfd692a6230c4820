/* headgate: finds the command in the table and runs it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/commands.h"
#include "lib/base/near.h"

#define NAME_BYTES 80

static void
print_help(void)
{
    printf(
        "Usage: headgate COMMAND [OPTIONS]\n\n"
        "Headgate is an AI gateway: one endpoint in front of every model provider.\n\nCommands:\n");
    for (size_t i = 0; i < command_count; i++)
        if (!commands[i].hidden)
            printf("  %-18s %s\n", commands[i].name, commands[i].summary);
    printf(
        "\nEvery command has --help with an example, and --output json. The gateway is found by\n"
        "--home DIR, else HEADGATE_HOME, else HEADGATE_ADMIN_URL and HEADGATE_ADMIN_TOKEN, else\n"
        "~/.headgate. HEADGATE_ADMIN_CA is a file of certificates to trust for https.\n");
}

static const struct command *
find(const char *name)
{
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static const char *
nearest(const char *name)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < command_count; i++) {
        size_t d = near_distance(slice_of(name), slice_of(commands[i].name));
        if (d < least && near_enough(slice_of(name), slice_of(commands[i].name), d)) {
            least = d;
            best = commands[i].name;
        }
    }
    return best;
}

/* "headgate key": the commands of that noun. */
static bool
print_group(const char *noun)
{
    size_t n = strlen(noun);
    bool any = false;
    for (size_t i = 0; i < command_count; i++)
        if (strncmp(commands[i].name, noun, n) == 0 && commands[i].name[n] == ' ') {
            fprintf(stderr, "%s  headgate %-16s %s\n", any ? "" : "headgate: which one?\n",
                    commands[i].name, commands[i].summary);
            any = true;
        }
    return any;
}

static int
unknown(const char *word, const char *two_words)
{
    if (print_group(word))
        return CLI_USAGE;
    const char *near = nearest(*two_words ? two_words : word);
    if (!near)
        near = nearest(word);
    if (near)
        cli_fail("unknown command \"%s\"; did you mean `headgate %s`?", word, near);
    else
        cli_fail("unknown command \"%s\" (see headgate --help)", word);
    return CLI_USAGE;
}

/* How many words at argv[1] are options before the command: "--home DIR", "--output=json". */
static int
leading_options(int argc, char **argv)
{
    int i = 1;
    while (i < argc && argv[i][0] == '-') {
        bool valued = strcmp(argv[i], "--home") == 0 || strcmp(argv[i], "--output") == 0 ||
                      strcmp(argv[i], "-o") == 0;
        if (!valued && strncmp(argv[i], "--home=", 7) != 0 && strncmp(argv[i], "--output=", 9) != 0)
            break;
        i += valued ? 2 : 1;
    }
    return i - 1;
}

/* Runs a command whose name took `words` words after `lead` leading ones. */
static int
run(const struct command *command, int argc, char **argv, int lead, int words)
{
    char **rest = calloc((size_t)argc + 1, sizeof(*rest));
    if (!rest)
        return cli_fail("out of memory");
    int n = 0;
    rest[n++] = argv[0];
    for (int i = 1; i <= lead; i++)
        rest[n++] = argv[i];
    for (int i = lead + words + 1; i < argc; i++)
        rest[n++] = argv[i];
    int status = command->run(command, n, rest);
    free(rest);
    return status;
}

int
main(int argc, char **argv)
{
    int lead = leading_options(argc, argv);
    const char *first = lead + 1 < argc ? argv[lead + 1] : "";
    const char *second = lead + 2 < argc && argv[lead + 2][0] != '-' ? argv[lead + 2] : "";
    char two[NAME_BYTES] = "";
    if (*second)
        snprintf(two, sizeof(two), "%s %s", first, second);
    if (strcmp(first, "--version") == 0 || strcmp(first, "version") == 0)
        return printf("headgate %s\n", HEADGATE_VERSION) > 0 ? CLI_OK : CLI_FAILED;
    if (!*first || strcmp(first, "help") == 0 || strcmp(first, "--help") == 0 ||
        strcmp(first, "-h") == 0) {
        print_help();
        return *first ? CLI_OK : CLI_USAGE;
    }
    const struct command *command = *two ? find(two) : NULL;
    if (command)
        return run(command, argc, argv, lead, 2);
    command = find(first);
    return command ? run(command, argc, argv, lead, 1) : unknown(first, two);
}
