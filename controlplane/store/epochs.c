#include "controlplane/store/epochs.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/log.h"

static int
draw(struct db *db, const char *sequence, uint64_t count, uint64_t *ret)
{
    char n[24];
    const char *params[] = {sequence, n};
    struct db_rows *rows;
    int err;

    snprintf(n, sizeof(n), "%" PRIu64, count);
    /* In one statement: other control planes may draw at the same time. */
    err = db_query(db, "SELECT max(nextval($1::regclass)) FROM generate_series(1, $2::bigint)",
                   params, 2, &rows);
    if (err)
        return err;
    *ret = (uint64_t)db_int(rows, 0, 0);
    db_rows_free(rows);
    return 0;
}

int
epoch_draw(struct db *db, const char *sequence, uint64_t above, uint64_t *ret_epoch)
{
    int err = draw(db, sequence, 1, ret_epoch);

    if (err || *ret_epoch > above)
        return err;
    if (above - *ret_epoch >= LIMIT_EPOCH_STEP)
        return ERR_RANGE;
    log_warn("epoch.forced", F_STR("of", sequence), F_INT("from", *ret_epoch),
             F_INT("above", above));
    return draw(db, sequence, above - *ret_epoch + 1, ret_epoch);
}
