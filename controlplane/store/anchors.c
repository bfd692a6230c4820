/* The file of exported audit heads: see audit.h. One JSON object a line, signed with the fleet's
 * key. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controlplane/store/audit.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/file.h"

#define LIMIT_ANCHOR_FILE_BYTES ((size_t)8 << 20) /* then every second line is dropped */

void
audit_anchor_path(const char *state_dir, char *into, size_t room)
{
    snprintf(into, room, "%s/audit/heads.jsonl", state_dir);
}

/* What is signed: "headgate audit head v1\0" SEQ "\0" HASH "\0" AT */
static int
signed_text(int64_t seq, const char *hash, const char *at, struct buf *into)
{
    static const char label[] = "headgate audit head v1";
    int err = buf_add(into, label, sizeof(label));
    if (!err)
        err = buf_addf(into, "%lld", (long long)seq);
    if (!err)
        err = buf_add(into, "", 1);
    if (!err)
        err = buf_add(into, hash, strlen(hash) + 1);
    return err ? err : buf_add_str(into, at);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int
read_line(struct slice line, const unsigned char *public_key, struct audit_head *ret)
{
    struct json *doc = NULL;
    struct buf text;
    unsigned char signature[SIGNATURE_BYTES];
    int err = json_parse(line, &doc, NULL, 0);
    struct slice hash = json_str(json_get(doc, "hash"));
    struct slice at = json_str(json_get(doc, "at"));
    struct slice hex = json_str(json_get(doc, "signature"));
    buf_init(&text, 4096);
    if (!err && (json_to_int(json_get(doc, "seq"), &ret->seq) != 0 ||
                 hash.len != 2 * SHA256_BYTES || !at.at || !hex.at))
        err = ERR_SYNTAX;
    if (!err)
        snprintf(ret->hash, sizeof(ret->hash), "%s", hash.at);
    if (!err)
        err = signed_text(ret->seq, ret->hash, at.at, &text);
    if (!err && hex_decode(hex, signature, sizeof(signature)) != 0)
        err = ERR_SYNTAX;
    if (!err)
        err = sign_verify(public_key, buf_slice(&text), signature);
    buf_free(&text);
    json_free(doc);
    return err;
}

static int
add_anchor(struct audit_anchors *a, const struct audit_head *head)
{
    struct audit_head *grown = realloc(a->at, (a->count + 1) * sizeof(*grown));
    if (!grown)
        return ERR_NOMEM;
    a->at = grown;
    a->at[a->count++] = *head;
    return 0;
}

int
audit_anchors_load(const char *path, const unsigned char public_key[static SIGN_PUBLIC_BYTES],
                   struct audit_anchors *ret_anchors, size_t *ret_line)
{
    struct buf content;
    *ret_anchors = (struct audit_anchors){0};
    *ret_line = 0;
    buf_init(&content, 0);
    int err = file_read(path, 2 * LIMIT_ANCHOR_FILE_BYTES, true, &content);
    if (err == ERR_NOT_FOUND)
        err = 0;
    struct slice rest = buf_slice(&content);
    while (!err && rest.len > 0) {
        struct audit_head head;
        struct slice line = slice_cut(&rest, '\n');
        ++*ret_line;
        if (line.len == 0)
            continue;
        err = read_line(line, public_key, &head);
        if (!err)
            err = add_anchor(ret_anchors, &head);
    }
    buf_free(&content);
    if (err)
        audit_anchors_free(ret_anchors);
    return err;
}

void
audit_anchors_free(struct audit_anchors *a)
{
    free(a->at);
    *a = (struct audit_anchors){0};
}

/* ---- writing --------------------------------------------------------------------------------- */

static int
append_file(const char *path, struct slice line)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return ERR_IO;
    ssize_t n = write(fd, line.at, line.len);
    int err = n == (ssize_t)line.len && fsync(fd) == 0 ? 0 : errno == ENOSPC ? ERR_FULL : ERR_IO;
    if (close(fd) != 0 && !err)
        err = ERR_IO;
    return err;
}

/* The last line's hash is compared as text: cheap, and no key is needed. */
static bool
has_already(const char *path, const struct audit_head *head)
{
    char tail[1024];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > (off_t)sizeof(tail) - 1 ? size - (off_t)sizeof(tail) + 1 : 0;
    ssize_t n = pread(fd, tail, sizeof(tail) - 1, from);
    close(fd);
    if (n <= 0)
        return false;
    tail[n] = '\0';
    while (n > 0 && tail[n - 1] == '\n')
        tail[--n] = '\0';
    const char *line = strrchr(tail, '\n');
    return strstr(line ? line : tail, head->hash) != NULL;
}

/* Keeps every second line, and the last: the older the log, the wider apart its anchors. */
static int
thin(const char *path)
{
    struct buf content, kept;
    bool keep = true;
    buf_init(&content, 0);
    buf_init(&kept, 0);
    int err = file_read(path, 2 * LIMIT_ANCHOR_FILE_BYTES, true, &content);
    struct slice rest = buf_slice(&content);
    while (!err && rest.len > 0) {
        struct slice line = slice_cut(&rest, '\n');
        keep = !keep;
        if (line.len == 0 || (!keep && rest.len > 0))
            continue;
        err = buf_add_slice(&kept, line);
        if (!err)
            err = buf_add(&kept, "\n", 1);
    }
    if (!err)
        err = file_replace(path, buf_slice(&kept), 0600);
    buf_free(&content);
    buf_free(&kept);
    return err;
}

static int
make_room(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0 || st.st_size < (off_t)LIMIT_ANCHOR_FILE_BYTES)
        return 0;
    return thin(path);
}

int
audit_anchor_write(const char *path, const struct audit_head *head,
                   const unsigned char secret_key[static SIGN_SECRET_BYTES])
{
    char at[32], hex[2 * SIGNATURE_BYTES + 1];
    unsigned char signature[SIGNATURE_BYTES];
    struct buf text, line;
    if (head->seq == 0 || has_already(path, head))
        return 0;
    buf_init(&text, 4096);
    buf_init(&line, 4096);
    clock_rfc3339(clock_wall_ms(), at);
    int err = signed_text(head->seq, head->hash, at, &text);
    if (!err)
        err = sign_make(secret_key, buf_slice(&text), signature);
    hex_encode(signature, sizeof(signature), hex);
    if (!err)
        err = buf_addf(&line, "{\"seq\":%lld,\"hash\":\"%s\",\"at\":\"%s\",\"signature\":\"%s\"}\n",
                       (long long)head->seq, head->hash, at, hex);
    if (!err)
        err = make_room(path);
    if (!err)
        err = append_file(path, buf_slice(&line));
    buf_free(&text);
    buf_free(&line);
    return err;
}
