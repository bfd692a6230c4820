#include "controlplane/cli/config_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/table.h"
#include "lib/base/file.h"

/* --- reading ------------------------------------------------------------------------------------
 */

static int
read_stdin(struct buf *into)
{
    for (;;) {
        char *at = buf_reserve(into, 65536);
        if (!at)
            return ERR_LIMIT;
        ssize_t n = read(STDIN_FILENO, at, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? ERR_IO : 0;
        buf_commit(into, (size_t)n);
    }
}

static const char *
shown_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "(standard input)" : path;
}

static int
read_text(const char *path, struct buf *into)
{
    int e =
        strcmp(path, "-") == 0 ? read_stdin(into) : file_read(path, LIMIT_YAML_BYTES, false, into);
    if (e == 0)
        return CLI_OK;
    if (e == ERR_LIMIT)
        return cli_fail("%s: larger than %u MiB", shown_name(path), LIMIT_YAML_BYTES >> 20);
    return cli_fail("cannot read %s: %s", shown_name(path),
                    e == ERR_NOT_FOUND ? "no such file" : strerror(errno));
}

int
config_file_read(struct config_file *f, const char *path)
{
    struct buf text, why;
    *f = (struct config_file){.path = path};
    buf_init(&text, 0);
    buf_init(&why, 4096);
    int e = read_text(path, &text);
    if (e == CLI_OK && yaml_read(buf_slice(&text), &f->doc, &f->places, &why) != 0)
        e = cli_fail("%s:%s", shown_name(path), why.len ? buf_str(&why) : " out of memory");
    if (e == CLI_OK && json_kind(f->doc) != JSON_MAP)
        e = cli_fail("%s:1:1: the file must be a map of lists: \"providers:\", \"models:\", ...",
                     shown_name(path));
    buf_wipe(&text); /* may hold a credential */
    buf_free(&why);
    if (e != CLI_OK)
        config_file_free(f);
    return e;
}

void
config_file_free(struct config_file *f)
{
    json_free(f->doc);
    yaml_places_free(f->places);
    *f = (struct config_file){0};
}

/* --- applying -----------------------------------------------------------------------------------
 */

static struct json *
make_body(const struct config_file *f, const struct apply_options *o)
{
    struct json *body = json_new_map();
    if (!body)
        return NULL;
    int e = json_set(body, "document", json_ref(f->doc));
    if (e == 0)
        e = json_set_bool(body, "prune", o->prune);
    if (e == 0)
        e = json_set_bool(body, "dry_run", o->dry_run);
    if (e == 0 && o->note)
        e = json_set_str(body, "note", o->note);
    if (e == 0)
        return body;
    json_free(body);
    return NULL;
}

/* Where in the document the server found the fault: "document.models[2]" in a body is "models[2]"
 * in the file. */
static struct slice
path_in_file(const struct json *problem)
{
    struct slice path = json_str(json_get(problem, "path"));
    const struct slice prefix = SLICE("document");
    if (!slice_starts(path, prefix))
        return path;
    struct slice rest = slice_from(path, prefix.len);
    return rest.len && rest.at[0] == '.' ? slice_from(rest, 1) : rest.len ? path : rest;
}

static int
complain(const struct config_file *f, const struct client_answer *answer)
{
    size_t line, column;
    struct slice path = path_in_file(answer->body);
    struct slice detail = json_str(json_get(answer->body, "detail"));
    if (!path.at || answer->status >= 500 || answer->status == 401 || answer->status == 403)
        return client_complain(answer);
    yaml_places_find(f->places, path, &line, &column);
    char *text = cli_clean(detail);
    cli_fail("%s:%zu:%zu: %s", shown_name(f->path), line, column,
             text ? text : "it was refused without a reason");
    free(text);
    return CLI_FAILED;
}

int
config_apply(const struct client *c, const struct config_file *f, const struct apply_options *o,
             struct json **ret_applied)
{
    char why[CLIENT_URL_BYTES + 300];
    struct client_answer answer;
    struct json *body = make_body(f, o);
    *ret_applied = NULL;
    if (!body)
        return cli_fail("out of memory");
    struct client_call call = {.method = "POST", .path = "/api/v1/config/apply", .body = body};
    int e = client_call(c, &call, &answer, why, sizeof(why));
    json_free(body);
    if (e != 0)
        return cli_fail("%s", why);
    e = answer.status / 100 == 2 ? CLI_OK : complain(f, &answer);
    if (e == CLI_OK) {
        *ret_applied = answer.body;
        answer.body = NULL;
    }
    client_answer_free(&answer);
    return e;
}

/* --- showing ------------------------------------------------------------------------------------
 */

static void
print_value(FILE *out, const struct json *value)
{
    struct buf text;
    buf_init(&text, 0);
    char *clean = !value                                    ? slice_dup(SLICE("(none)"))
                  : json_write(value, false, 0, &text) == 0 ? cli_clean(buf_slice(&text))
                                                            : NULL;
    fputs(clean ? clean : "?", out);
    free(clean);
    buf_free(&text);
}

/* Members that differ; those the server keeps are not shown. */
static void
print_members(FILE *out, struct json *before, struct json *after)
{
    void *iter = NULL;
    const char *name;
    struct json *value;
    while (json_each(after, &iter, &name, &value)) {
        const struct json *old = json_get(before, name);
        if (old && json_equal(old, value))
            continue;
        fprintf(out, "    %s: ", name);
        if (old) {
            print_value(out, old);
            fputs(" -> ", out);
        }
        print_value(out, value);
        fputc('\n', out);
    }
    for (iter = NULL; json_each(before, &iter, &name, &value);) {
        if (json_get(after, name))
            continue;
        fprintf(out, "    %s: ", name);
        print_value(out, value);
        fputs(" -> (none)\n", out);
    }
}

static void
print_change(FILE *out, const struct json *change)
{
    struct slice action = json_str(json_get(change, "action"));
    char sign = slice_is(action, "create") ? '+' : slice_is(action, "delete") ? '-' : '~';
    char *kind = table_cell(json_get(change, "kind"));
    char *name = table_cell(json_get(change, "name"));
    fprintf(out, "%c %s/%s\n", sign, kind ? kind : "", name ? name : "");
    free(kind);
    free(name);
    if (sign == '~')
        print_members(out, json_get(change, "before"), json_get(change, "after"));
}

static void
print_keys(FILE *out, const struct json *keys)
{
    for (size_t i = 0; i < json_size(keys); i++)
        fprintf(out, "key %.*s: %.*s\n", SLICE_ARG(json_str(json_get(json_at(keys, i), "name"))),
                SLICE_ARG(json_str(json_get(json_at(keys, i), "key"))));
    if (json_size(keys))
        fprintf(out, "(a key is shown this once; the gateway does not keep it)\n");
}

void
config_print_changes(FILE *out, struct json *applied)
{
    const struct json *changes = json_get(applied, "changes");
    const struct json *warnings = json_get(applied, "warnings");
    int64_t revision = 0;
    int e = json_to_int(json_get(applied, "revision"), &revision);
    size_t n = json_size(changes);
    for (size_t i = 0; i < n; i++)
        print_change(out, json_at(changes, i));
    bool dry = json_is_true(json_get(applied, "dry_run"));
    if (n == 0)
        fprintf(out, "no changes");
    else
        fprintf(out, "%zu change%s%s", n, n == 1 ? "" : "s", dry ? " (not made)" : "");
    if (e == 0)
        fprintf(out, "; revision %lld", (long long)revision);
    fputc('\n', out);
    print_keys(out, json_get(applied, "keys"));
    for (size_t i = 0; i < json_size(warnings); i++) {
        char *text = table_cell(json_at(warnings, i));
        cli_note("%s", text ? text : "");
        free(text);
    }
}
