/* Appending to and verifying the audit log: see audit.h. */
#include "controlplane/store/audit.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/clock.h"
#include "lib/base/encode.h"

#define PAGE_ROWS 1000
#define STAMP "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

static int
canonical(const struct audit_row *row, struct buf *into)
{
    struct json *map = json_new_map();
    int err = map ? json_set_int(map, "seq", row->seq) : ERR_NOMEM;
    if (!err)
        err = json_set_str(map, "at", row->at);
    if (!err)
        err = json_set_str(map, "actor", row->actor);
    if (!err)
        err = json_set_str(map, "action", row->action);
    if (!err)
        err = json_set_str(map, "object", row->object);
    if (!err)
        err = json_set_str(map, "request_id", row->request_id);
    if (!err)
        err = json_set(map, "detail", json_copy(row->detail));
    if (!err)
        err = json_write(map, true, 0, into);
    json_free(map);
    return err;
}

int
audit_hash(const struct audit_row *row, const unsigned char prev[static SHA256_BYTES],
           unsigned char ret_hash[static SHA256_BYTES])
{
    struct buf text;
    buf_init(&text, 0);
    int err = buf_add(&text, prev, SHA256_BYTES);
    if (!err)
        err = canonical(row, &text);
    if (!err)
        hash_sha256(text.at, text.len, ret_hash);
    buf_free(&text);
    return err;
}

int
audit_head(struct db *db, struct audit_head *ret_head)
{
    struct db_rows *rows = NULL;
    *ret_head = (struct audit_head){0};
    int err =
        db_query(db, "SELECT seq, encode(hash, 'hex') FROM audit_log ORDER BY seq DESC LIMIT 1",
                 NULL, 0, &rows);
    if (!err && db_count(rows) > 0) {
        ret_head->seq = db_int(rows, 0, 0);
        snprintf(ret_head->hash, sizeof(ret_head->hash), "%s", db_text(rows, 0, 1));
    }
    db_rows_free(rows);
    return err;
}

static int
insert(struct db *db, const struct audit_row *row, const char *prev_hex)
{
    unsigned char prev[SHA256_BYTES] = {0}, hash[SHA256_BYTES];
    char seq[24], hash_hex[2 * SHA256_BYTES + 1], zero_hex[2 * SHA256_BYTES + 1];
    struct buf detail;
    if (row->seq > 1 && hex_decode(slice_of(prev_hex), prev, sizeof(prev)) != 0)
        return ERR_IO;
    int err = audit_hash(row, prev, hash);
    if (err)
        return err;
    snprintf(seq, sizeof(seq), "%lld", (long long)row->seq);
    hex_encode(prev, sizeof(prev), zero_hex);
    hex_encode(hash, sizeof(hash), hash_hex);
    buf_init(&detail, 0);
    err = json_write(row->detail, true, 0, &detail);
    const char *const params[] = {seq,         row->at,          row->actor,      row->action,
                                  row->object, buf_str(&detail), row->request_id, zero_hex,
                                  hash_hex};
    if (!err)
        err = db_query(
            db,
            "INSERT INTO audit_log (seq, at, actor, action, object, detail, request_id, "
            "prev_hash, hash) VALUES ($1::bigint, $2::timestamptz, $3, $4, $5, $6::jsonb, $7, "
            "decode($8, 'hex'), decode($9, 'hex'))",
            params, 9, NULL);
    buf_free(&detail);
    return err;
}

int
audit_append(struct db *db, const struct audit_row *row)
{
    struct audit_head head;
    struct audit_row numbered = *row;
    char at[32];
    int err = audit_head(db, &head);
    if (err)
        return err;
    clock_rfc3339(clock_wall_ms(), at);
    numbered.seq = head.seq + 1;
    numbered.at = at;
    return insert(db, &numbered, head.hash);
}

/* ---- verifying ------------------------------------------------------------------------------- */

struct walk {
    struct audit_verdict *verdict;
    const struct audit_anchors *anchors;
    unsigned char prev[SHA256_BYTES];
};

static void
condemn(struct audit_verdict *v, int64_t seq, const char *reason)
{
    if (v->first_bad)
        return;
    v->first_bad = seq;
    snprintf(v->reason, sizeof(v->reason), "%s", reason);
}

static void
compare_anchors(struct walk *w, int64_t seq, const char *hash_hex)
{
    for (size_t i = 0; i < w->anchors->count; i++)
        if (w->anchors->at[i].seq == seq && strcmp(w->anchors->at[i].hash, hash_hex) != 0)
            condemn(w->verdict, seq, "differs from the exported head: the log was written anew");
}

static int
check_row(struct walk *w, const struct db_rows *rows, size_t i)
{
    struct audit_verdict *v = w->verdict;
    struct json *detail = NULL;
    unsigned char hash[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1], prev_hex[2 * SHA256_BYTES + 1];
    struct audit_row row = {.seq = db_int(rows, i, 0),
                            .at = db_text(rows, i, 1),
                            .actor = db_text(rows, i, 2),
                            .action = db_text(rows, i, 3),
                            .object = db_text(rows, i, 4),
                            .request_id = db_text(rows, i, 6)};
    if (row.seq != v->rows + 1) {
        condemn(v, v->rows + 1, "is missing");
        return 0;
    }
    int err = json_parse(db_slice(rows, i, 5), &detail, NULL, 0);
    row.detail = detail;
    if (!err)
        err = audit_hash(&row, w->prev, hash);
    json_free(detail);
    if (err)
        return err;
    hex_encode(hash, sizeof(hash), hex);
    hex_encode(w->prev, sizeof(w->prev), prev_hex);
    if (strcmp(prev_hex, db_text(rows, i, 7)) != 0)
        condemn(v, row.seq, "does not follow the row before it");
    else if (strcmp(hex, db_text(rows, i, 8)) != 0)
        condemn(v, row.seq, "was changed: its content does not match its hash");
    compare_anchors(w, row.seq, hex);
    memcpy(w->prev, hash, sizeof(hash));
    v->rows = row.seq;
    v->head.seq = row.seq;
    snprintf(v->head.hash, sizeof(v->head.hash), "%s", hex);
    return 0;
}

static int
verify_page(struct db *db, struct walk *w, size_t *ret_count)
{
    char after[24];
    struct db_rows *rows = NULL;
    snprintf(after, sizeof(after), "%lld", (long long)w->verdict->rows);
    const char *const params[] = {after};
    int err = db_query(db,
                       "SELECT seq, " STAMP ", actor, action, object, detail, request_id, "
                       "encode(prev_hash, 'hex'), encode(hash, 'hex') FROM audit_log "
                       "WHERE seq > $1::bigint ORDER BY seq LIMIT 1000",
                       params, 1, &rows);
    *ret_count = db_count(rows);
    for (size_t i = 0; i < *ret_count && !err && !w->verdict->first_bad; i++)
        err = check_row(w, rows, i);
    db_rows_free(rows);
    return err;
}

int
audit_verify(struct db *db, const struct audit_anchors *anchors, struct audit_verdict *ret_verdict)
{
    struct walk w = {.verdict = ret_verdict, .anchors = anchors};
    size_t count = PAGE_ROWS;
    int err = 0;
    *ret_verdict = (struct audit_verdict){.anchors = anchors->count};
    while (!err && count == PAGE_ROWS && !ret_verdict->first_bad)
        err = verify_page(db, &w, &count);
    for (size_t i = 0; i < anchors->count && !err; i++)
        if (anchors->at[i].seq > ret_verdict->rows)
            condemn(ret_verdict, ret_verdict->rows + 1,
                    "is missing: an exported head tells of later rows");
    return err;
}
