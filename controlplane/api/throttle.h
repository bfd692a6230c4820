/*
 * Wrong credentials, counted: who shows too many is refused without a look at the next one.
 *
 * Two buckets take each failure: one of the address, and one of the address and the account that
 * was meant (a token's display prefix, a user's name). So nobody can shut out somebody who calls
 * from elsewhere. What is good, and was good at this address before, is let through all the same:
 * behind one proxy or NAT an attacker does not shut out those who are in.
 *
 * Fixed memory, of this process alone: N control planes let through N times as many. Guards itself.
 */
#ifndef CONTROLPLANE_API_THROTTLE_H
#define CONTROLPLANE_API_THROTTLE_H

#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define THROTTLE_PER_MINUTE 20    /* under one account: a person who mistypes has enough */
#define THROTTLE_ADDRESS_TIMES 16 /* as many of one address: people share one */
#define LIMIT_THROTTLE_PER_MINUTE 1000000
/* 1.5 MiB and 192 KiB. Beyond them the buckets with least in them are forgotten, and the good
 * credentials that were not seen for longest. */
#define LIMIT_THROTTLE_BUCKETS 65536
#define LIMIT_THROTTLE_KNOWN 8192

struct throttle;

/* per_minute: failures of an account at an address, as a burst and as a rate; at least 1. NULL: no
 * memory. All calls take NULL for a throttle: then nothing is counted and nobody refused. */
struct throttle *throttle_new(long per_minute);
void throttle_free(struct throttle *t);

/* Who calls: all borrowed. */
struct attempt_by {
    const char *peer;        /* numeric address; IPv6 counts by its first 64 bits */
    struct slice account;    /* at == NULL: none is meant */
    struct slice said;       /* of the account, in the log */
    struct slice credential; /* at == NULL: nothing that could have been good before */
};
/* 0: look at the credential. Else the seconds to wait (at least 1): refuse, and count that. */
int throttle_wait_s(struct throttle *t, const struct attempt_by *by, int64_t now_ns);
/* It was wrong. The first failure of a minute that fills a bucket is logged, without the
 * credential. */
void throttle_failed(struct throttle *t, const struct attempt_by *by, int64_t now_ns);
/* It was good. */
void throttle_passed(struct throttle *t, const struct attempt_by *by, int64_t now_ns);

struct throttle_counts {
    unsigned long long failures, refusals;
};
struct throttle_counts throttle_counts(const struct throttle *t);

#endif
