/* The table of all commands (commands.c), and their functions by file. */
#ifndef CONTROLPLANE_CLI_COMMANDS_H
#define CONTROLPLANE_CLI_COMMANDS_H

#include "controlplane/cli/cli.h"

#include <stddef.h>

extern const struct command commands[];
extern const size_t command_count;

typedef int command_run(const struct command *command, int argc, char **argv);
command_run up_run, supervise_run, down_run, status_run; /* a local gateway */
command_run apply_run, diff_run, export_run, schema_run; /* the configuration file */
command_run rollback_run, revisions_run;                 /* its history */
command_run list_run;                                    /* of a struct listing (show.h) */
command_run item_list_run, item_show_run, item_create_run, item_set_run, item_delete_run;
command_run key_create_run, key_rotate_run, key_revoke_run;
command_run role_list_run, role_show_run, can_run; /* who may do what */
command_run prices_import_run, prices_list_run;
command_run usage_run, events_run;
/* import.c */
command_run import_litellm_run;
/* rerate.c */
command_run ledger_rerate_run, ledger_verify_run;
/* reconcile.c */
command_run ledger_reconcile_run;
command_run secrets_refresh_run;
command_run secrets_keys_run, secrets_reseal_run; /* seal_keys.c */
command_run secrets_rotate_key_run;               /* rotate_key.c */
command_run audit_list_run, audit_verify_run;
command_run budget_override_run;
command_run alert_deliveries_run, alert_test_run;
command_run token_create_run, token_revoke_run, whoami_run;
command_run login_run, logout_run, session_end_run;
command_run snippets_run;

#endif
