/*
 * The audit log: rows chained by hash, appended in the transaction of what they tell about. The
 * head is exported to a file, so that a tail cut off, or a chain written anew, is found out too.
 */
#ifndef CONTROLPLANE_STORE_AUDIT_H
#define CONTROLPLANE_STORE_AUDIT_H

#include "controlplane/store/db.h"
#include "lib/base/buf.h"
#include "lib/base/hash.h"
#include "lib/json/doc.h"

struct audit_row {
    int64_t seq;
    const char *at; /* RFC 3339, UTC, milliseconds */
    const char *actor, *action, *object, *request_id;
    const struct json *detail; /* a map */
};

/* SHA-256(prev || canonical row): 0 or ERR_NOMEM. */
MUST_CHECK int audit_hash(const struct audit_row *row,
                          const unsigned char prev[static SHA256_BYTES],
                          unsigned char ret_hash[static SHA256_BYTES]);
/* Gives the row its number and time and appends it. In a transaction that holds the write lock. */
MUST_CHECK int audit_append(struct db *db, const struct audit_row *row);

struct audit_head {
    int64_t seq; /* 0: the log is empty */
    char hash[2 * SHA256_BYTES + 1];
};
MUST_CHECK int audit_head(struct db *db, struct audit_head *ret_head);

/* An exported head; the file holds one signed JSON line for each, oldest first. */
struct audit_anchors {
    struct audit_head *at;
    size_t count;
};
/* 0 (an absent file: none), ERR_AUTH (a line is not signed by this key; *ret_line says which),
 * ERR_SYNTAX, ERR_IO. */
MUST_CHECK int audit_anchors_load(const char *path,
                                  const unsigned char public_key[static SIGN_PUBLIC_BYTES],
                                  struct audit_anchors *ret_anchors, size_t *ret_line);
void audit_anchors_free(struct audit_anchors *a);
/* Appends the head to the file, signed, and fsyncs; nothing when the last line has it already. */
MUST_CHECK int audit_anchor_write(const char *path, const struct audit_head *head,
                                  const unsigned char secret_key[static SIGN_SECRET_BYTES]);
/* "STATE_DIR/audit/heads.jsonl" */
void audit_anchor_path(const char *state_dir, char *into, size_t room);

struct audit_verdict {
    int64_t rows, first_bad; /* 0: none */
    struct audit_head head;
    size_t anchors;
    char reason[200]; /* of first_bad */
};
/* Reads the whole log. 0 with a verdict, good or bad; else the database failed. */
MUST_CHECK int audit_verify(struct db *db, const struct audit_anchors *anchors,
                            struct audit_verdict *ret_verdict);

#endif
