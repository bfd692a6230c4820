/* headgate import litellm: another gateway's configuration, as ours. */
#include <stdio.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/client.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/config_file.h"
#include "controlplane/cli/litellm.h"
#include "controlplane/cli/yaml.h"

static int
print_document(const struct cli *c, const struct litellm_import *in)
{
    struct buf text;
    int e = CLI_OK;
    if (c->json) {
        struct json *out = json_new_map();
        e = out && json_set(out, "document", json_copy(in->document)) == 0 &&
                    json_set(out, "not_carried_over", json_copy(in->left)) == 0
                ? cli_print_json(out)
                : cli_fail("out of memory");
        json_free(out);
        return e;
    }
    buf_init(&text, 0);
    if (yaml_write(in->document, &text) != 0)
        e = cli_fail("out of memory");
    else if (fwrite(text.at, 1, text.len, stdout) != text.len || fflush(stdout) != 0)
        e = cli_fail("cannot write to standard output");
    buf_free(&text);
    return e;
}

static int
apply(const struct cli *c, const struct litellm_import *in)
{
    struct client client;
    struct json *body = json_new_map(), *applied = NULL;
    struct client_call call = {.method = "POST", .path = "/api/v1/config/apply", .body = body};
    int e = client_open(&client, c);
    if (e == CLI_OK && (!body || json_set(body, "document", json_copy(in->document)) != 0 ||
                        json_set_str(body, "note", "import litellm") != 0))
        e = cli_fail("out of memory");
    if (e == CLI_OK)
        e = client_do(&client, &call, &applied);
    if (e == CLI_OK && c->json)
        e = cli_print_json(applied);
    else if (e == CLI_OK)
        config_print_changes(stdout, applied);
    json_free(body);
    json_free(applied);
    client_close(&client);
    return e;
}

static void
tell_left(const struct litellm_import *in)
{
    for (size_t i = 0; i < json_size(in->left); i++)
        cli_note("not carried over: %s", json_str(json_at(in->left, i)).at);
}

int
import_litellm_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct config_file f;
    struct litellm_import in;
    struct buf why;
    bool do_apply = false;
    const struct option_row rows[] = {
        {.name = "apply",
         .kind = OPTION_FLAG,
         .into = &do_apply,
         .help = "apply it instead of printing it"},
    };
    int e = cli_begin(&c, command, rows, 1, 1, 1, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if ((e = config_file_read(&f, c.argv[1])) != CLI_OK)
        return e;
    buf_init(&why, 1024);
    if (litellm_import(f.doc, &in, &why) != 0) {
        e = cli_fail("%s: %s", c.argv[1], why.len ? buf_str(&why) : "out of memory");
    } else {
        if (!c.json || do_apply)
            tell_left(&in);
        e = do_apply ? apply(&c, &in) : print_document(&c, &in);
        litellm_import_free(&in);
    }
    buf_free(&why);
    config_file_free(&f);
    return e;
}
