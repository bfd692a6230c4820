/*
 * Reading the books: sums of usage by what it is grouped by, single attempts, accounts. Values are
 * parameters, never part of the SQL; what is part of it comes from the table of dimensions.
 */
#ifndef CONTROLPLANE_LEDGER_QUERY_H
#define CONTROLPLANE_LEDGER_QUERY_H

#include "controlplane/store/db.h"
#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMIT_GROUPS 8       /* dimensions of one question */
#define LIMIT_SUM_ROWS 10000 /* of one answer: beyond that it says to narrow the question */

/* NULL: any. Times are wall milliseconds; the range is [from, to). */
struct usage_filter {
    int64_t from_ms, to_ms; /* 0: open */
    const char *team, *project, *user, *key, *model, *provider, *provider_model;
    const char *endpoint, *end_user; /* answered from single attempts */
    const char *tags;                /* a JSON object: those that have all of these */
    const char *zone;                /* of hours, days and months; NULL: UTC */
    bool zone_is_odd;                /* not whole hours from UTC: answered from single attempts */
    const char *request_id;          /* of single attempts only */
    /* JSON lists: only what one of these teams or projects used. Both NULL: everything. */
    const char *teams, *projects;
};

/* "team", "day", "tag:env": what sums can be grouped by. */
struct usage_group {
    const char *name; /* as it was asked for; terminated */
    const char *tag;  /* of "tag:NAME": NAME; else NULL */
    size_t dimension; /* of the table */
};
/* 0 or ERR_NOT_FOUND; name must live as long as the group. */
MUST_CHECK int query_group(const char *name, struct usage_group *ret_group);
/* "team, project, ...": for messages. */
const char *query_group_names(void);

/* Whether the database knows such a time zone, and whether it is whole hours from UTC: 0,
 * ERR_NOT_FOUND, or the database's error. */
MUST_CHECK int query_zone(struct db *db, const char *zone, bool *ret_odd);

/* Columns: one text for each group ("" for none), then the sums in the order of query_sum_names.
 * One row without groups. At most LIMIT_SUM_ROWS + 1 rows, ordered by the groups. */
MUST_CHECK int query_sums(struct db *db, const struct usage_filter *f,
                          const struct usage_group *groups, size_t count,
                          struct db_rows **ret_rows);
enum usage_sum { /* its columns behind the groups; cost in nanodollars */
                 SUM_REQUESTS,
                 SUM_ERRORS,
                 SUM_INPUT,
                 SUM_CACHED_INPUT,
                 SUM_CACHE_WRITE,
                 SUM_OUTPUT,
                 SUM_REASONING,
                 SUM_AUDIO_INPUT,
                 SUM_AUDIO_OUTPUT,
                 SUM_IMAGE_INPUT,
                 SUM_IMAGE_OUTPUT,
                 SUM_WEB_SEARCHES,
                 SUM_SEARCH_UNITS,
                 SUM_IMAGES,
                 SUM_AUDIO_MS,
                 SUM_CHARACTERS,
                 SUM_COST,
                 SUM_BILLED, /* the cost with the margin or discount of the team or project */
                 SUM_COUNT
};

/* Newest first, before the attempt `after` ("" or NULL: from the newest), `limit` at most. */
MUST_CHECK int query_events(struct db *db, const struct usage_filter *f, const char *after,
                            int64_t limit, struct db_rows **ret_rows);
enum usage_column {
    EVENT_ATTEMPT_ID,
    EVENT_REQUEST_ID,
    EVENT_TIME,
    EVENT_ATTEMPT_NO,
    EVENT_TEAM,
    EVENT_PROJECT,
    EVENT_USER,
    EVENT_KEY,
    EVENT_END_USER,
    EVENT_MODEL,
    EVENT_PROVIDER,
    EVENT_PROVIDER_MODEL,
    EVENT_ENDPOINT,
    EVENT_STREAM,
    EVENT_STATUS,
    EVENT_UPSTREAM_STATUS,
    EVENT_OUTCOME,
    EVENT_ERROR_CODE,
    EVENT_INPUT,
    EVENT_CACHED_INPUT,
    EVENT_CACHE_WRITE,
    EVENT_OUTPUT,
    EVENT_REASONING,
    EVENT_AUDIO_INPUT,
    EVENT_AUDIO_OUTPUT,
    EVENT_IMAGE_INPUT,
    EVENT_IMAGE_OUTPUT,
    EVENT_WEB_SEARCHES,
    EVENT_SEARCH_UNITS,
    EVENT_IMAGES,
    EVENT_AUDIO_MS,
    EVENT_CHARACTERS,
    EVENT_COST,
    EVENT_PRICE_VERSION,
    EVENT_SERVICE_TIER,
    EVENT_ESTIMATED,
    EVENT_INCOMPLETE,
    EVENT_LATENCY,
    EVENT_TTFT,
    EVENT_TAGS,
    EVENT_CACHED,
};

/* Of f only teams and projects count. name, kind, team, project, user, provider, debit nanos,
 * credit nanos; by name, behind `after`. */
MUST_CHECK int query_accounts(struct db *db, const struct usage_filter *f, const char *after,
                              int64_t limit, struct db_rows **ret_rows);

/* name, nanodollars: what each of these keys, teams or users ("key", "team", "user") used since it
 * was made and, where it is given, since the hour `start`. wanted: a JSON list of {"name",
 * "created", "start"}. */
MUST_CHECK int query_spend(struct db *db, const char *dimension, const char *wanted,
                           struct db_rows **ret_rows);

/* name, hour of its last use ("" for none): of each key of the JSON list that exists. What a key of
 * the same name did before this one was made is not its. */
MUST_CHECK int query_last_used(struct db *db, const char *names, struct db_rows **ret_rows);

#endif
