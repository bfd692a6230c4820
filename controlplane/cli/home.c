#include "controlplane/cli/home.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/cli/cli.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/json/doc.h"

#define LIMIT_SMALL_FILE 65536

/* --- paths -------------------------------------------------------------------------------------
 */

static bool
join(char *ret_path, size_t bytes, const char *dir, const char *name)
{
    int n = snprintf(ret_path, bytes, "%s%s%s", dir, *name ? "/" : "", name);
    return n >= 0 && (size_t)n < bytes;
}

bool
home_path(const struct home *h, char *ret_path, size_t bytes, const char *name)
{
    return join(ret_path, bytes, h->dir, name);
}

bool
home_data_path(const struct home *h, char *ret_path, size_t bytes, const char *name)
{
    return join(ret_path, bytes, h->data, name);
}

static int
make_absolute(const char *path, char ret_whole[static PATH_MAX])
{
    char cwd[PATH_MAX];
    if (path[0] != '/' && !getcwd(cwd, sizeof(cwd)))
        return ERR_IO;
    int n = path[0] == '/' ? snprintf(ret_whole, PATH_MAX, "%s", path)
                           : snprintf(ret_whole, PATH_MAX, "%s/%s", cwd, path);
    if (n < 0 || n >= PATH_MAX)
        return ERR_LIMIT;
    while (n > 1 && ret_whole[n - 1] == '/')
        ret_whole[--n] = '\0';
    return 0;
}

/* The longest part that exists is resolved (links, dots), the rest is kept: DIR need not be there
 * yet. */
static int
resolve(const char *path, char ret_dir[static HOME_PATH_BYTES])
{
    char whole[PATH_MAX], head[PATH_MAX], real[PATH_MAX];
    int e = make_absolute(path, whole);
    if (e != 0)
        return e;
    size_t cut = strlen(whole);
    for (;;) {
        memcpy(head, whole, cut);
        head[cut] = '\0';
        if (realpath(cut ? head : "/", real))
            break;
        if (errno != ENOENT || cut == 0)
            return ERR_IO;
        while (cut > 0 && whole[cut - 1] != '/')
            cut--;
        while (cut > 0 && whole[cut - 1] == '/')
            cut--;
    }
    const char *rest = whole + cut + strspn(whole + cut, "/");
    const char *base = real[1] ? real : "";
    int n = snprintf(ret_dir, HOME_PATH_BYTES, "%s%s%s", base, *rest || !*base ? "/" : "", rest);
    return n < 0 || n >= HOME_PATH_BYTES - 64 ? ERR_LIMIT : 0; /* room for names below it */
}

int
home_find(const char *option, bool local, char ret_dir[static HOME_PATH_BYTES])
{
    char text[PATH_MAX];
    const char *found = option;
    if (!found || !*found)
        found = getenv("HEADGATE_HOME");
    if (found && *found)
        return resolve(found, ret_dir);
    const char *url = getenv("HEADGATE_ADMIN_URL");
    const char *home = getenv("HOME");
    if ((url && *url && !local) || !home || !*home)
        return ERR_NOT_FOUND;
    int n = snprintf(text, sizeof(text), "%s/.headgate", home);
    return n < 0 || (size_t)n >= sizeof(text) ? ERR_LIMIT : resolve(text, ret_dir);
}

void
home_url(const char *address, char *ret_url, size_t bytes)
{
    const char *colon = strrchr(address, ':');
    struct slice host = slice_make(address, colon ? (size_t)(colon - address) : strlen(address));
    if (slice_is(host, "0.0.0.0") || slice_is(host, "*") || host.len == 0)
        host = SLICE("127.0.0.1");
    else if (slice_is(host, "[::]"))
        host = SLICE("[::1]");
    snprintf(ret_url, bytes, "http://%.*s%s", SLICE_ARG(host), colon ? colon : "");
}

/* --- gateway.json ------------------------------------------------------------------------------
 */

/* Every text of gateway.json, and where it goes. */
struct text_row {
    const char *name;
    size_t offset, bytes;
};
#define TEXT_ROW(m)                                                                                \
    {                                                                                              \
#m, offsetof(struct home, m), sizeof(((struct home *)0)->m)                                \
    }
static const struct text_row texts[] = {
    TEXT_ROW(data),    TEXT_ROW(run),       TEXT_ROW(listen), TEXT_ROW(admin),
    TEXT_ROW(metrics), TEXT_ROW(log_level), TEXT_ROW(user),   TEXT_ROW(data_plane_args),
};
struct number_row {
    const char *name;
    size_t offset;
};
static const struct number_row numbers[] = {
    {"workers", offsetof(struct home, workers)},
    {"drain_ms", offsetof(struct home, drain_ms)},
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int
take_texts(struct home *h, const struct json *doc)
{
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct slice s = json_str(json_get(doc, texts[i].name));
        if (!s.at)
            continue;
        if (s.len >= texts[i].bytes)
            return ERR_LIMIT;
        memcpy((char *)h + texts[i].offset, s.at, s.len);
        ((char *)h)[texts[i].offset + s.len] = '\0';
    }
    for (size_t i = 0; i < COUNT(numbers); i++) {
        int64_t v;
        if (json_to_int(json_get(doc, numbers[i].name), &v) == 0)
            memcpy((char *)h + numbers[i].offset, &(long){(long)v}, sizeof(long));
    }
    int64_t uid = 0, gid = 0;
    if (json_to_int(json_get(doc, "uid"), &uid) == 0 &&
        json_to_int(json_get(doc, "gid"), &gid) == 0) {
        h->uid = (uid_t)uid;
        h->gid = (gid_t)gid;
    }
    return 0;
}

static void
set_defaults(struct home *h, const char *dir)
{
    *h = (struct home){.drain_ms = 30000, .uid = getuid(), .gid = getgid()};
    snprintf(h->dir, sizeof(h->dir), "%s", dir);
    snprintf(h->data, sizeof(h->data), "%s", dir);
    snprintf(h->run, sizeof(h->run), "%.*s/run", (int)sizeof(h->run) - 8, dir);
    snprintf(h->listen, sizeof(h->listen), "127.0.0.1:8080");
    snprintf(h->admin, sizeof(h->admin), "127.0.0.1:8081");
    snprintf(h->log_level, sizeof(h->log_level), "info");
}

int
home_open(struct home *h, const char *dir)
{
    char path[HOME_PATH_BYTES], why[200];
    struct buf text;
    struct json *doc = NULL;
    set_defaults(h, dir);
    if (!home_path(h, path, sizeof(path), "gateway.json"))
        return cli_fail("the path of the gateway's directory is too long: %s", dir), ERR_LIMIT;
    buf_init(&text, 0);
    int e = file_read(path, LIMIT_SMALL_FILE, true, &text);
    if (e == ERR_NOT_FOUND) {
        buf_free(&text);
        return ERR_NOT_FOUND;
    }
    if (e != 0)
        cli_fail("cannot read %s: %s", path, e == ERR_IO ? strerror(errno) : err_name(e));
    else if ((e = json_parse(buf_slice(&text), &doc, why, sizeof(why))) != 0)
        cli_fail("%s: %s; it is written by `headgate up`: remove it and run that again", path, why);
    else if ((e = take_texts(h, doc)) != 0)
        cli_fail("%s: a value is too long", path);
    h->exists = e == 0;
    json_free(doc);
    buf_free(&text);
    return e;
}

static int
fill_document(const struct home *h, struct json *doc)
{
    int e = 0;
    for (size_t i = 0; i < COUNT(texts) && e == 0; i++)
        e = json_set_str(doc, texts[i].name, (const char *)h + texts[i].offset);
    for (size_t i = 0; i < COUNT(numbers) && e == 0; i++) {
        long v;
        memcpy(&v, (const char *)h + numbers[i].offset, sizeof(v));
        e = json_set_int(doc, numbers[i].name, v);
    }
    if (e == 0)
        e = json_set_int(doc, "uid", h->uid);
    return e == 0 ? json_set_int(doc, "gid", h->gid) : e;
}

int
home_save(const struct home *h)
{
    char path[HOME_PATH_BYTES];
    struct buf text;
    struct json *doc = json_new_map();
    buf_init(&text, 0);
    int e = doc ? fill_document(h, doc) : ERR_NOMEM;
    if (e == 0)
        e = json_write(doc, false, 2, &text);
    if (e == 0)
        e = buf_add_str(&text, "\n");
    if (e == 0 && !home_path(h, path, sizeof(path), "gateway.json"))
        e = ERR_LIMIT;
    if (e == 0)
        e = file_replace(path, buf_slice(&text), 0600);
    if (e != 0)
        cli_fail("cannot write %s/gateway.json: %s", h->dir,
                 e == ERR_IO ? strerror(errno) : err_name(e));
    buf_free(&text);
    json_free(doc);
    return e;
}

/* --- env ---------------------------------------------------------------------------------------
 */

static int
find_variable(struct slice text, const char *name, char *ret_text, size_t bytes)
{
    while (text.at) {
        struct slice value = slice_cut(&text, '\n');
        struct slice key = slice_cut(&value, '=');
        if (!slice_is(key, name) || !value.at)
            continue;
        if (value.len >= bytes)
            return ERR_LIMIT;
        memcpy(ret_text, value.at, value.len);
        ret_text[value.len] = '\0';
        return value.len ? 0 : ERR_NOT_FOUND;
    }
    return ERR_NOT_FOUND;
}

int
home_env_get(const struct home *h, const char *name, char *ret_text, size_t bytes)
{
    char path[HOME_PATH_BYTES];
    struct buf text;
    buf_init(&text, 0);
    int e = ERR_NOT_FOUND;
    if (home_path(h, path, sizeof(path), "env") &&
        file_read(path, LIMIT_SMALL_FILE, true, &text) == 0)
        e = find_variable(buf_slice(&text), name, ret_text, bytes);
    buf_wipe(&text);
    return e;
}

int
home_env_write(const struct home *h, const char *const pairs[][2], size_t count)
{
    char path[HOME_PATH_BYTES];
    struct buf text;
    buf_init(&text, 0);
    int e = home_path(h, path, sizeof(path), "env") ? 0 : ERR_LIMIT;
    for (size_t i = 0; i < count && e == 0; i++)
        e = buf_addf(&text, "%s=%s\n", pairs[i][0], pairs[i][1]);
    if (e == 0)
        e = file_replace(path, buf_slice(&text), 0600);
    buf_wipe(&text);
    return e;
}
