/* headgate apply, diff, export, schema: the configuration as one file. */
#include <stdio.h>
#include <string.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/config_file.h"
#include "controlplane/cli/yaml.h"
#include "lib/base/file.h"

/* --- apply and diff ------------------------------------------------------------------------------
 */

static int
show(const struct cli *c, struct json *applied)
{
    if (c->json)
        return cli_print_json(applied);
    config_print_changes(stdout, applied);
    return CLI_OK;
}

static int
apply_file(const struct cli *c, const char *path, const struct apply_options *o, bool *ret_changed)
{
    struct config_file f;
    struct client client;
    struct json *applied = NULL;
    if (config_file_read(&f, path) != CLI_OK)
        return CLI_FAILED;
    int e = client_open(&client, c);
    if (e == CLI_OK)
        e = config_apply(&client, &f, o, &applied);
    if (e == CLI_OK) {
        *ret_changed = json_size(json_get(applied, "changes")) > 0;
        e = show(c, applied);
    }
    json_free(applied);
    client_close(&client);
    config_file_free(&f);
    return e;
}

/* The file is -f FILE or the one argument. */
static int
file_argument(const struct cli *c, const char **file)
{
    if (c->args == 1 && *file)
        return cli_fail("give one file: -f FILE, or FILE"), CLI_USAGE;
    if (c->args == 1)
        *file = c->argv[1];
    if (!*file)
        return cli_fail("which file? headgate %s -f FILE (- is standard input)", c->command->name),
               CLI_USAGE;
    return CLI_OK;
}

int
apply_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    const char *file = NULL;
    struct apply_options o = {0};
    bool changed = false;
    const struct option_row rows[] = {
        {.name = "file", .into = &file, .value = "FILE", .letter = 'f', .help = "YAML or JSON"},
        {.name = "prune",
         .kind = OPTION_FLAG,
         .into = &o.prune,
         .help = "delete what a list of the file does not contain"},
        {.name = "dry-run", .kind = OPTION_FLAG, .into = &o.dry_run, .help = "only print changes"},
        {.name = "note", .into = &o.note, .value = "TEXT", .help = "why; kept with the revision"},
    };
    int e = cli_begin(&c, command, rows, 4, 0, 1, argc, argv);
    if (e == CLI_GO_ON)
        e = file_argument(&c, &file);
    else
        return e;
    return e == CLI_OK ? apply_file(&c, file, &o, &changed) : e;
}

int
diff_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    const char *file = NULL;
    struct apply_options o = {.dry_run = true};
    bool changed = false, exit_code = false;
    const struct option_row rows[] = {
        {.name = "file", .into = &file, .value = "FILE", .letter = 'f', .help = "YAML or JSON"},
        {.name = "prune",
         .kind = OPTION_FLAG,
         .into = &o.prune,
         .help = "as apply --prune would do"},
        {.name = "exit-code",
         .kind = OPTION_FLAG,
         .into = &exit_code,
         .help = "exit with 3 when there are changes"},
    };
    int e = cli_begin(&c, command, rows, 3, 0, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = file_argument(&c, &file);
    if (e == CLI_OK)
        e = apply_file(&c, file, &o, &changed);
    return e == CLI_OK && exit_code && changed ? 3 : e;
}

/* --- export --------------------------------------------------------------------------------------
 */

static int
write_out(const char *path, struct slice text)
{
    if (path) {
        int e = file_replace(path, text, 0600);
        return e == 0 ? CLI_OK : cli_fail("cannot write %s: %s", path, err_name(e));
    }
    if (fwrite(text.at, 1, text.len, stdout) != text.len || fflush(stdout) != 0)
        return cli_fail("cannot write to standard output");
    return CLI_OK;
}

static int
write_document(const struct cli *c, const struct json *doc, const char *path)
{
    struct buf text;
    buf_init(&text, 0);
    int e = c->json ? json_write(doc, false, 2, &text) : yaml_write(doc, &text);
    if (e == 0 && c->json)
        e = buf_add_str(&text, "\n");
    e = e == 0 ? write_out(path, buf_slice(&text)) : cli_fail("out of memory");
    buf_free(&text);
    return e;
}

int
export_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *doc = NULL;
    const char *file = NULL;
    long revision = -1;
    char path[80] = "/api/v1/config";
    const struct option_row rows[] = {
        {.name = "file",
         .into = &file,
         .value = "FILE",
         .letter = 'f',
         .help = "write it here instead of standard output"},
        {.name = "revision",
         .kind = OPTION_NUMBER,
         .into = &revision,
         .value = "N",
         .min = -1,
         .help = "as it was at this revision; -1: now"},
    };
    int e = cli_begin(&c, command, rows, 2, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (revision >= 0)
        snprintf(path, sizeof(path), "/api/v1/config?revision=%ld", revision);
    struct client_call call = {.method = "GET", .path = path};
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = client_do(&client, &call, &doc);
    if (e == CLI_OK)
        e = write_document(&c, doc, file);
    json_free(doc);
    client_close(&client);
    return e;
}

int
schema_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct client client;
    struct json *schema = NULL;
    struct client_call call = {.method = "GET", .path = "/api/v1/config/schema"};
    int e = cli_begin(&c, command, NULL, 0, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    e = client_open(&client, &c);
    if (e == CLI_OK)
        e = client_do(&client, &call, &schema);
    if (e == CLI_OK)
        e = cli_print_json(schema);
    json_free(schema);
    client_close(&client);
    return e;
}
