/* The commands of headgate-controlplane; argv[0] is the command's name. Each returns the exit code.
 */
#ifndef CONTROLPLANE_COMMANDS_H
#define CONTROLPLANE_COMMANDS_H

int command_serve(int argc, char **argv);
int command_migrate(int argc, char **argv);
int command_token(int argc, char **argv);
int command_audit(int argc, char **argv);
int command_keys(int argc, char **argv); /* keys_command.c */
int command_version(int argc, char **argv);

#endif
