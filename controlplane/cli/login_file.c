/* See login_file.h. */
#include "controlplane/cli/login_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/secret.h"

#define LIMIT_LOGIN_BYTES 4096

static int
join(char *into, const char *folder, const char *name)
{
    int n = snprintf(into, HOME_PATH_BYTES, "%s/%s", folder, name);
    return n < 0 || n >= HOME_PATH_BYTES ? ERR_LIMIT : 0;
}

int
login_path(const char *dir, char ret_path[static HOME_PATH_BYTES])
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (dir)
        return join(ret_path, dir, "login.json");
    if (config && *config == '/')
        return join(ret_path, config, "headgate/login.json");
    return home && *home == '/' ? join(ret_path, home, ".config/headgate/login.json")
                                : ERR_NOT_FOUND;
}

static bool
take(const struct json *from, const char *member, char *into, size_t room)
{
    struct slice text = json_str(json_get(from, member));
    if (!text.at || text.len >= room)
        return false;
    memcpy(into, text.at, text.len);
    into[text.len] = '\0';
    return true;
}

int
login_read(const char *path, struct login *ret)
{
    struct buf text;
    struct json *document = NULL;
    int64_t ends_ms;
    *ret = (struct login){.url = ""};
    buf_init(&text, 0);
    int e = file_read(path, LIMIT_LOGIN_BYTES, true, &text);
    if (!e)
        e = json_parse(buf_slice(&text), &document, NULL, 0);
    if (!e && !(take(document, "url", ret->url, sizeof(ret->url)) &&
                take(document, "token", ret->token, sizeof(ret->token)) &&
                take(document, "user", ret->user, sizeof(ret->user)) &&
                take(document, "expires", ret->expires, sizeof(ret->expires)) &&
                clock_parse_rfc3339(ret->expires, &ends_ms) == 0))
        e = ERR_SYNTAX;
    if (!e && ends_ms <= clock_wall_ms())
        e = ERR_TIMEOUT;
    json_free(document);
    buf_wipe(&text);
    buf_free(&text);
    return e;
}

static int
make_folder(const char *path)
{
    char folder[HOME_PATH_BYTES];
    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    if (!slash)
        return ERR_IO;
    *slash = '\0';
    return file_make_dirs(folder, 0700);
}

int
login_write(const char *path, const struct login *l)
{
    struct buf text;
    struct json *document = json_new_map();
    buf_init(&text, 0);
    int e = document ? json_set_str(document, "url", l->url) : ERR_NOMEM;
    if (!e)
        e = json_set_str(document, "token", l->token);
    if (!e)
        e = json_set_str(document, "user", l->user);
    if (!e)
        e = json_set_str(document, "expires", l->expires);
    if (!e)
        e = json_write(document, false, 2, &text);
    if (!e)
        e = make_folder(path);
    if (!e)
        e = file_replace(path, buf_slice(&text), 0600);
    json_free(document);
    buf_wipe(&text);
    buf_free(&text);
    return e;
}

int
login_remove(const char *path)
{
    if (unlink(path) == 0)
        return 0;
    return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
}
