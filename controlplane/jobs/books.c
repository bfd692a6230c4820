#include "controlplane/jobs/books.h"

#include "controlplane/ledger/verify.h"
#include "lib/base/log.h"

#define MS_PER_HOUR INT64_C(3600000)
#define MS_PER_DAY (24 * MS_PER_HOUR)

bool
books_are_due(int64_t now_ms, int64_t *night)
{
    int64_t now = (now_ms - BOOKS_HOUR * MS_PER_HOUR) / MS_PER_DAY;
    bool due = *night != 0 && now > *night;
    *night = now;
    return due;
}

static void
tell(void *ctx, const struct books_problem *p)
{
    (void)ctx;
    log_error("ledger.problem", F_STR("kind", p->kind), F_STR("day", p->day),
              F_STR("attempt_id", p->attempt), F_INT("transaction", p->transaction),
              F_STR("account", p->account), F_STR("detail", p->detail));
}

int
books_check(struct db *db, int64_t now_ms, struct books_status *status)
{
    struct books_verdict v = {0};
    int err = books_verify(db, now_ms - BOOKS_DAYS * MS_PER_DAY, now_ms, tell, NULL, &v);
    if (err)
        return err;
    atomic_store(&status->problems, v.problems);
    atomic_store(&status->checked_ms, now_ms);
    log_at(v.problems ? LOG_ERROR : LOG_INFO, "ledger.verified", F_INT("attempts", v.attempts),
           F_INT("entries", v.entries), F_INT("problems", v.problems));
    return 0;
}
