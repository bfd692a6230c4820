#include "lib/base/keyring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/file.h"
#include "lib/base/rand.h"

enum { FORMAT_PLAIN = 1, FORMAT_ID = 2 };

/* --- keys ------------------------------------------------------------------------------------ */

static int
make_id(const unsigned char *key, unsigned char ret_id[static KEYRING_ID_BYTES])
{
    static const char label[] = "headgate seal key id v1";
    unsigned char mac[SHA256_BYTES];
    struct hmac *h = hmac_new(key, SEAL_KEY_BYTES);

    if (!h)
        return ERR_NOMEM;
    hmac_sha256(h, label, sizeof(label) - 1, mac);
    hmac_free(h);
    memcpy(ret_id, mac, KEYRING_ID_BYTES);
    return 0;
}

int
keyring_find(const struct keyring *r, const unsigned char id[static KEYRING_ID_BYTES])
{
    for (size_t i = 0; i < r->count; i++)
        if (memcmp(r->keys[i].id, id, KEYRING_ID_BYTES) == 0)
            return (int)i;
    return -1;
}

int
keyring_add(struct keyring *r, const unsigned char key[static SEAL_KEY_BYTES], int64_t made_ms)
{
    struct keyring_key *k = &r->keys[r->count];
    unsigned char id[KEYRING_ID_BYTES];
    int err = make_id(key, id);

    if (err)
        return err;
    if (keyring_find(r, id) >= 0)
        return ERR_EXISTS;
    if (r->count == KEYRING_MOST)
        return ERR_LIMIT;
    memcpy(k->id, id, sizeof(id));
    memcpy(k->bytes, key, SEAL_KEY_BYTES);
    k->made_ms = made_ms;
    r->count++;
    return 0;
}

struct keyring
keyring_of(const unsigned char key[static SEAL_KEY_BYTES])
{
    struct keyring r = {0};

    if (keyring_add(&r, key, 0) != 0)
        r.count = 0;
    return r;
}

bool
keyring_same(const struct keyring *a, const struct keyring *b)
{
    bool same = a->count == b->count;

    for (size_t i = 0; same && i < a->count; i++)
        same = memcmp(a->keys[i].id, b->keys[i].id, KEYRING_ID_BYTES) == 0;
    return same;
}

void
keyring_wipe(struct keyring *r)
{
    secret_wipe(r, sizeof(*r));
}

void
keyring_id_text(const struct keyring *r, size_t i, char ret_text[static KEYRING_ID_TEXT])
{
    hex_encode(r->keys[i].id, KEYRING_ID_BYTES, ret_text);
}

void
keyring_ids_text(const struct keyring *r, char ret_text[static KEYRING_IDS_TEXT])
{
    ret_text[0] = '\0';
    for (size_t i = 0; i < r->count; i++) {
        if (i > 0)
            ret_text[i * KEYRING_ID_TEXT - 1] = ' ';
        keyring_id_text(r, i, ret_text + i * KEYRING_ID_TEXT);
    }
}

/* --- sealing --------------------------------------------------------------------------------- */

int
keyring_seal(const struct keyring *r, struct slice context, struct slice plain, void *ret_sealed)
{
    unsigned char head[KEYRING_HEAD_BYTES] = {FORMAT_ID};

    if (r->count == 0)
        return ERR_BAD_STATE;
    memcpy(head + 1, r->keys[0].id, KEYRING_ID_BYTES);
    return seal(r->keys[0].bytes, slice_make(head, sizeof(head)), context, plain, ret_sealed);
}

bool
keyring_sealed_id(struct slice sealed, unsigned char ret_id[static KEYRING_ID_BYTES])
{
    if (sealed.len < SEAL_OVERHEAD_BYTES || sealed.at[0] != FORMAT_ID)
        return false;
    memcpy(ret_id, sealed.at + 1, KEYRING_ID_BYTES);
    return true;
}

bool
keyring_is_current(const struct keyring *r, struct slice sealed)
{
    unsigned char id[KEYRING_ID_BYTES];

    return keyring_sealed_id(sealed, id) && keyring_find(r, id) == 0;
}

/* A value without an id: whichever key opens it. */
static int
open_plain(const struct keyring *r, struct slice context, struct slice sealed,
           struct secret *ret_plain, size_t *ret_key)
{
    int err = ERR_AUTH;

    for (size_t i = 0; i < r->count && err == ERR_AUTH; i++) {
        err = unseal(r->keys[i].bytes, 1, context, sealed, ret_plain);
        *ret_key = i;
    }
    return err;
}

int
keyring_open(const struct keyring *r, struct slice context, struct slice sealed,
             struct secret *ret_plain, size_t *ret_key)
{
    unsigned char id[KEYRING_ID_BYTES];
    int i;

    if (sealed.len > 0 && sealed.at[0] == FORMAT_PLAIN)
        return open_plain(r, context, sealed, ret_plain, ret_key);
    if (!keyring_sealed_id(sealed, id))
        return ERR_SYNTAX;
    if ((i = keyring_find(r, id)) < 0)
        return ERR_NOT_FOUND;
    *ret_key = (size_t)i;
    return unseal(r->keys[i].bytes, KEYRING_HEAD_BYTES, context, sealed, ret_plain);
}

int
keyring_unseal(const struct keyring *r, struct slice context, struct slice sealed,
               struct secret *ret_plain)
{
    size_t key;

    return keyring_open(r, context, sealed, ret_plain, &key);
}

void
keyring_explain(const struct keyring *r, struct slice sealed, int err,
                char ret_why[static KEYRING_WHY_BYTES])
{
    unsigned char id[KEYRING_ID_BYTES] = {0};
    char text[KEYRING_ID_TEXT], ids[KEYRING_IDS_TEXT];

    keyring_ids_text(r, ids);
    if (err == ERR_NOT_FOUND && keyring_sealed_id(sealed, id)) {
        hex_encode(id, sizeof(id), text);
        snprintf(ret_why, KEYRING_WHY_BYTES,
                 "was sealed with key %s, which --seal-key here does not have (it has %s)", text,
                 ids);
    } else {
        snprintf(ret_why, KEYRING_WHY_BYTES, "does not open under this seal key (%s)", ids);
    }
}

/* --- as text --------------------------------------------------------------------------------- */

struct parse {
    const struct keyring_unwrap *unwrap;
    struct keyring *ring;
    char *why;
    size_t line;
};

/* The line's number before what is wrong with it. */
static int
refuse(struct parse *p, int err, const char *what)
{
    char text[KEYRING_WHY_BYTES];

    snprintf(text, sizeof(text), "%s", what); /* may be *why itself */
    snprintf(p->why, KEYRING_WHY_BYTES, "line %zu: %.200s", p->line, text);
    return err;
}

static int
parse_time(struct parse *p, struct slice text, int64_t *ret_ms)
{
    char copy[40];

    *ret_ms = 0;
    if (text.len == 0)
        return 0;
    snprintf(copy, sizeof(copy), "%.*s", SLICE_ARG(text));
    if (text.len >= sizeof(copy) || clock_parse_rfc3339(copy, ret_ms) != 0)
        return refuse(p, ERR_SYNTAX, "what follows the key is when it was made (RFC 3339)");
    return 0;
}

/* A service may have wrapped the 32 bytes, or their 64 digits. */
static int
take_unwrapped(struct parse *p, struct slice plain, unsigned char ret_key[static SEAL_KEY_BYTES])
{
    while (plain.len > SEAL_KEY_BYTES && strchr("\r\n", plain.at[plain.len - 1]))
        plain.len--;
    if (plain.len == SEAL_KEY_BYTES)
        memcpy(ret_key, plain.at, SEAL_KEY_BYTES);
    else if (hex_decode(plain, ret_key, SEAL_KEY_BYTES) != 0)
        return refuse(p, ERR_SYNTAX, "what the key service opened is no key (32 bytes)");
    return 0;
}

static int
parse_wrapped(struct parse *p, struct slice word, unsigned char ret_key[static SEAL_KEY_BYTES])
{
    struct secret plain = {0};
    int err;

    if (!p->unwrap)
        return refuse(
            p, ERR_SYNTAX,
            "not a key (64 hexadecimal digits), and one that a key service wraps is not "
            "opened here (`headgate-controlplane keys unwrap` writes the keys themselves)");
    err = p->unwrap->open(p->unwrap->ctx, word, &plain, p->why);
    if (err)
        return refuse(p, err, p->why);
    err = take_unwrapped(p, secret_reveal(&plain), ret_key);
    secret_free(&plain);
    return err;
}

static int
parse_line(struct parse *p, struct slice line)
{
    unsigned char key[SEAL_KEY_BYTES];
    struct slice rest = line;
    struct slice word = slice_cut(&rest, ' ');
    int64_t made_ms;
    int err = 0;

    if (hex_decode(word, key, sizeof(key)) != 0)
        err = slice_find(word, ':', 0) < word.len
                  ? parse_wrapped(p, word, key)
                  : refuse(p, ERR_SYNTAX, "not a key (64 hexadecimal digits)");
    if (!err)
        err = parse_time(p, slice_trim(rest.at ? rest : SLICE("")), &made_ms);
    if (!err) {
        err = keyring_add(p->ring, key, made_ms);
        if (err == ERR_EXISTS)
            err = refuse(p, ERR_SYNTAX, "this key is there twice");
        else if (err)
            err = refuse(p, err, err == ERR_LIMIT ? "more than 8 keys" : err_name(err));
    }
    secret_wipe(key, sizeof(key));
    return err;
}

int
keyring_parse(struct slice text, const struct keyring_unwrap *unwrap, struct keyring *ret,
              char ret_why[static KEYRING_WHY_BYTES])
{
    struct parse p = {.unwrap = unwrap, .ring = ret, .why = ret_why};
    int err = 0;

    *ret = (struct keyring){0};
    while (!err && text.at && text.len > 0) {
        struct slice line = slice_cut(&text, '\n');

        p.line++;
        if (line.len > 0 && line.at[line.len - 1] == '\r')
            line.len--;
        line = slice_trim(line);
        if (line.len > 0 && line.at[0] != '#')
            err = parse_line(&p, line);
    }
    if (!err && ret->count == 0) {
        snprintf(ret_why, KEYRING_WHY_BYTES, "there is no key in it (64 hexadecimal digits)");
        err = ERR_SYNTAX;
    }
    if (err)
        keyring_wipe(ret);
    return err;
}

/* --- where it comes from --------------------------------------------------------------------- */

static bool
is_file(const struct keyring_source *s)
{
    struct slice rest = slice_of(s->name);
    struct slice scheme = slice_cut(&rest, ':');

    return s->name && (!rest.at || slice_find(scheme, '/', 0) < scheme.len);
}

bool
keyring_is_news(struct keyring_source *s)
{
    struct stat st;

    if (!is_file(s) || stat(s->name, &st) != 0)
        return false;
    if (st.st_dev == s->device && st.st_ino == s->inode && st.st_size == s->size &&
        st.st_ctim.tv_sec == s->changed.tv_sec && st.st_ctim.tv_nsec == s->changed.tv_nsec)
        return false;
    s->device = st.st_dev;
    s->inode = st.st_ino;
    s->size = st.st_size;
    s->changed = st.st_ctim;
    return true;
}

/* In a variable a comma may stand for the end of a line. */
static int
read_variable(const char *name, struct buf *text, char why[static KEYRING_WHY_BYTES])
{
    const char *value = getenv(name);

    if (!value || !*value) {
        snprintf(why, KEYRING_WHY_BYTES, "the variable %.100s is not set", name);
        return ERR_NOT_FOUND;
    }
    int err = buf_add_str(text, value);
    for (size_t i = 0; !err && i < text->len; i++)
        if (text->at[i] == ',')
            text->at[i] = '\n';
    return err;
}

const char *
keyring_default(void)
{
    const char *value = getenv("HEADGATE_SEAL_KEY");

    return value && *value ? "env:HEADGATE_SEAL_KEY" : NULL;
}

int
keyring_load(struct keyring_source *s, const struct keyring_unwrap *unwrap, struct keyring *ret,
             char ret_why[static KEYRING_WHY_BYTES])
{
    struct buf text;
    int err;

    *ret = (struct keyring){0};
    ret_why[0] = '\0';
    buf_init(&text, LIMIT_KEYRING_BYTES + 65536); /* what file_read may ask for */
    (void)keyring_is_news(s);                     /* before it is read: a later change is news */
    if (is_file(s))
        err = file_read(s->name, LIMIT_KEYRING_BYTES, false, &text);
    else if (strncmp(s->name, "env:", 4) == 0)
        err = read_variable(s->name + 4, &text, ret_why);
    else
        err = buf_add_str(&text, s->name);
    if (err && !ret_why[0])
        snprintf(ret_why, KEYRING_WHY_BYTES, "cannot be read: %s", err_name(err));
    if (!err)
        err = keyring_parse(buf_slice(&text), unwrap, ret, ret_why);
    buf_wipe(&text);
    buf_free(&text);
    return err;
}

/* --- changing a file ------------------------------------------------------------------------- */

enum edit { TO_FRONT, DROP };

static bool
is_key_line(struct slice line)
{
    struct slice text = slice_trim(line);

    return text.len > 0 && text.at[0] != '#' && text.at[0] != '\r';
}

static int
copy_line(struct buf *into, struct slice line)
{
    int err = buf_add_slice(into, line);

    return err ? err : buf_add_str(into, "\n");
}

/* The text without its i-th key; before any other key stands `front`. */
static int
edit_text(struct slice text, size_t i, struct slice front, struct buf *into)
{
    size_t key = 0;
    int err = 0;

    while (!err && text.at && text.len > 0) {
        struct slice line = slice_cut(&text, '\n');
        bool is_key = is_key_line(line);

        if (is_key && key == 0 && front.len > 0)
            err = copy_line(into, front);
        if (!err && !(is_key && key == i))
            err = copy_line(into, line);
        key += is_key;
    }
    return err ? err : i < key ? 0 : ERR_NOT_FOUND;
}

static struct slice
key_line(struct slice text, size_t i)
{
    size_t key = 0;

    while (text.at && text.len > 0) {
        struct slice line = slice_cut(&text, '\n');

        if (is_key_line(line) && key++ == i)
            return line;
    }
    return SLICE("");
}

static int
edit_file(const char *path, enum edit how, size_t i)
{
    struct buf text, next;

    buf_init(&text, 0);
    buf_init(&next, 0);
    int err = file_read(path, LIMIT_KEYRING_BYTES, false, &text);
    if (!err)
        err = edit_text(buf_slice(&text), i,
                        how == TO_FRONT ? key_line(buf_slice(&text), i) : SLICE(""), &next);
    if (!err)
        err = file_rewrite(path, buf_slice(&next));
    buf_wipe(&text);
    buf_wipe(&next);
    return err;
}

int
keyring_file_to_front(const char *path, size_t i)
{
    return edit_file(path, TO_FRONT, i);
}

int
keyring_file_drop(const char *path, size_t i)
{
    return edit_file(path, DROP, i);
}

int
keyring_file_append(const char *path, struct slice line)
{
    struct buf text;

    buf_init(&text, 0);
    int err = file_read(path, LIMIT_KEYRING_BYTES, false, &text);
    if (!err && text.len > 0 && text.at[text.len - 1] != '\n')
        err = buf_add_str(&text, "\n");
    if (!err)
        err = copy_line(&text, line);
    if (!err && text.len > LIMIT_KEYRING_BYTES)
        err = ERR_LIMIT;
    if (!err)
        err = file_rewrite(path, buf_slice(&text));
    buf_wipe(&text);
    return err;
}

int
keyring_new_line(struct buf *into)
{
    unsigned char key[SEAL_KEY_BYTES];
    char hex[2 * SEAL_KEY_BYTES + 1], time[32];

    rand_bytes(key, sizeof(key));
    hex_encode(key, sizeof(key), hex);
    clock_rfc3339(clock_wall_ms(), time);
    int err = buf_addf(into, "%s %s", hex, time);
    secret_wipe(key, sizeof(key));
    secret_wipe(hex, sizeof(hex));
    return err;
}
