/*
 * The fleet's sealing keys: the first one seals, all of them open. Each has an id made from the key
 * itself, which is in what it seals, so that a key can be replaced while values of the one before
 * are still about. A ring is a plain value of fixed size: it is copied, and wiped with
 * keyring_wipe().
 *
 * As text (a file, a variable, what a key service wraps) it is one key a line:
 *
 *   # a comment
 *   HEX [TIME]            64 hexadecimal digits, and when the key was made (RFC 3339)
 *   SCHEME:REST [TIME]    a key that a key service opens; only for who can ask one
 *
 * A file with one line of 64 digits is what every version before had; their sealed values, which
 * have no id, are tried with every key.
 *
 * Sealed: 0x02 | id 4 | nonce 12 | ciphertext | tag 16. Before: 0x01 | nonce | ciphertext | tag.
 */
#ifndef LIB_BASE_KEYRING_H
#define LIB_BASE_KEYRING_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/secret.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#define KEYRING_MOST 8
#define KEYRING_ID_BYTES 4
#define KEYRING_ID_TEXT (2 * KEYRING_ID_BYTES + 1) /* hexadecimal, with the NUL */
#define KEYRING_IDS_TEXT (KEYRING_MOST * KEYRING_ID_TEXT)
#define KEYRING_HEAD_BYTES (1 + KEYRING_ID_BYTES)
#define SEAL_OVERHEAD_BYTES (KEYRING_HEAD_BYTES + SEALED_MORE_BYTES)
#define KEYRING_WHY_BYTES 256
#define LIMIT_KEYRING_BYTES 32768 /* of its text: wrapped keys are long */

struct keyring_key {
    unsigned char id[KEYRING_ID_BYTES];
    unsigned char bytes[SEAL_KEY_BYTES];
    int64_t made_ms; /* 0: not known */
};

struct keyring {
    size_t count;
    struct keyring_key keys[KEYRING_MOST];
};

/* Behind all others: it opens. ERR_LIMIT, ERR_EXISTS. */
MUST_CHECK int keyring_add(struct keyring *r, const unsigned char key[static SEAL_KEY_BYTES],
                           int64_t made_ms);
/* A ring of this key alone. */
struct keyring keyring_of(const unsigned char key[static SEAL_KEY_BYTES]);
void keyring_wipe(struct keyring *r);
/* The same keys in the same order. */
bool keyring_same(const struct keyring *a, const struct keyring *b);
/* The key's place, or -1. */
int keyring_find(const struct keyring *r, const unsigned char id[static KEYRING_ID_BYTES]);
void keyring_id_text(const struct keyring *r, size_t i, char ret_text[static KEYRING_ID_TEXT]);
/* All ids with blanks between, the sealing one first. */
void keyring_ids_text(const struct keyring *r, char ret_text[static KEYRING_IDS_TEXT]);

/* --- sealing --- */

/* Under the first key: 0, ERR_NOMEM, ERR_RANGE, ERR_BAD_STATE (an empty ring). */
MUST_CHECK int keyring_seal(const struct keyring *r, struct slice context, struct slice plain,
                            void *ret_sealed /* plain.len + SEAL_OVERHEAD_BYTES */);
/* 0, ERR_SYNTAX, ERR_NOT_FOUND (sealed with a key that is not in the ring), ERR_AUTH, ERR_NOMEM. */
MUST_CHECK int keyring_unseal(const struct keyring *r, struct slice context, struct slice sealed,
                              struct secret *ret_plain);
/* The same; *ret_key is the place of the key that opened it. */
MUST_CHECK int keyring_open(const struct keyring *r, struct slice context, struct slice sealed,
                            struct secret *ret_plain, size_t *ret_key);
/* The id in a sealed value; false when it has none (the old form, or damage). */
bool keyring_sealed_id(struct slice sealed, unsigned char ret_id[static KEYRING_ID_BYTES]);
/* Whether the first key sealed it. */
bool keyring_is_current(const struct keyring *r, struct slice sealed);
/* For people: why unsealing failed with err: "was sealed with key 0a1b2c3d, which is not in ...".
 */
void keyring_explain(const struct keyring *r, struct slice sealed, int err,
                     char ret_why[static KEYRING_WHY_BYTES]);

/* --- as text --- */

/* Opens a line "SCHEME:REST": 0, or an error with a line that holds no secret in why. */
struct keyring_unwrap {
    int (*open)(void *ctx, struct slice wrapped, struct secret *ret_plain,
                char ret_why[static KEYRING_WHY_BYTES]);
    void *ctx;
};
/* unwrap NULL: wrapped keys are refused. 0, ERR_SYNTAX (no key, a malformed line, a key twice),
 * ERR_LIMIT, or unwrap's error; then *ret is empty and why says which line. */
MUST_CHECK int keyring_parse(struct slice text, const struct keyring_unwrap *unwrap,
                             struct keyring *ret, char ret_why[static KEYRING_WHY_BYTES]);

/* Where a ring comes from: "FILE", "env:NAME", or one wrapped key ("SCHEME:REST"), and what was
 * seen of the file last. */
struct keyring_source {
    const char *name; /* borrowed; NULL: none, and never news */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};
/* The source when none is named: "env:HEADGATE_SEAL_KEY" where that is set, else NULL. */
const char *keyring_default(void);
/* Reads it: 0, or an error with a line in why (ERR_NOT_FOUND, ERR_IO, and those of parsing). */
MUST_CHECK int keyring_load(struct keyring_source *s, const struct keyring_unwrap *unwrap,
                            struct keyring *ret, char ret_why[static KEYRING_WHY_BYTES]);
/* Whether the file is another one than the last load (or the last look) saw. Cheap; never for a
 * source that is no file. */
bool keyring_is_news(struct keyring_source *s);

/* Changes of a file that others read meanwhile: it is replaced whole and keeps its owner and mode.
 * Comments and what is not touched stay as they are. i counts keys as in the parsed ring. Each is
 * durable when it returns 0; ERR_NOT_FOUND, ERR_IO, ERR_FULL, ERR_NOMEM, ERR_LIMIT. */
MUST_CHECK int keyring_file_append(const char *path, struct slice line);
MUST_CHECK int keyring_file_to_front(const char *path, size_t i);
MUST_CHECK int keyring_file_drop(const char *path, size_t i);
/* A line of a new random key, made now; for keyring_file_append(). The caller wipes it. */
MUST_CHECK int keyring_new_line(struct buf *into);

#endif
