/*
 * headgate-controlplane: the daemon (serve), and the commands that work on its database directly.
 * Options are tables; what is wrong is one line on standard error and exit 2 (usage) or 1.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "controlplane/commands.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"serve", command_serve, "Run the daemon: admin API, publisher, ledger."},
    {"migrate", command_migrate, "Bring the database to this program's schema."},
    {"token", command_token, "Create, list or revoke admin tokens."},
    {"audit", command_audit, "Verify the audit log."},
    {"keys", command_keys, "Make the fleet's key files; replace the sealing key."},
    {"version", command_version, "Print the version."},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void
usage(FILE *to)
{
    fprintf(to, "usage: headgate-controlplane COMMAND [options]\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    fprintf(to, "\nheadgate-controlplane COMMAND --help tells more.\n");
}

/* No core files, no debugger, no new rights: this process holds the seal key. */
static void
harden(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
}

int
main(int argc, char **argv)
{
    harden();
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return 0;
    }
    fprintf(stderr, "headgate-controlplane: no command '%s'; try --help\n", argv[1]);
    return 2;
}
