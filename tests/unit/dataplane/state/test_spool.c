/* The spool as a worker and the uploader see it: order, room, recovery, damage. */
#include "dataplane/state/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/state/spool_internal.h"
#include "lib/base/encode.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

static char root[] = "/tmp/headgate-spool-XXXXXX";

/* --- helpers --------------------------------------------------------------------------------- */

static int
make_root(void **state)
{
    (void)state;
    log_init("test", LOG_ERROR + 1, 2);
    memcpy(root + sizeof(root) - 7, "XXXXXX", 6);
    return mkdtemp(root) ? 0 : -1;
}

static int
drop_root(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", root);
    return system(command) == 0 ? 0 : -1;
}

static const struct spool_limits small = {.bytes = 1 << 20, .segment_bytes = 64 << 10};

static struct spool *
open_with(const struct spool_limits *limits)
{
    struct spool *s = NULL;

    assert_int_equal(spool_open(root, 0, limits, &s), 0);
    return s;
}

/* As a killed worker leaves it: nothing is written any more, nothing flushed or removed. */
static void
abandon(struct spool *s)
{
    struct segment *g;
    struct lost *l;

    while ((g = TAILQ_FIRST(&s->segments))) {
        TAILQ_REMOVE(&s->segments, g, link);
        segment_free(g);
    }
    while ((l = STAILQ_FIRST(&s->lost))) {
        STAILQ_REMOVE_HEAD(&s->lost, link);
        free(l);
    }
    munmap(s->control, CONTROL_BYTES);
    if (s->aside_fd >= 0)
        close(s->aside_fd);
    close(s->dir_fd);
    close(s->lock_fd);
    free(s->holds);
    free(s->loaded);
    free(s);
}

static struct usage
some_usage(void)
{
    struct usage u = {
        .request_id = SLICE("req-1"),
        .attempt_no = 1,
        .key = SLICE("ci"),
        .team = SLICE("research"),
        .model = SLICE("smart"),
        .provider = SLICE("openai"),
        .provider_model = SLICE("gpt-4o"),
        .endpoint = SLICE("chat.completions"),
        .outcome = USAGE_DONE,
        .status = 200,
        .tokens = {.input = 10, .output = 5},
        .cost = 75000,
        .price_version = SLICE("v1"),
        .price = {.input = 2500000, .output = 10000000},
        .reserved = 99999,
    };

    uuid7(u.attempt_id);
    return u;
}

static struct usage
reserve(struct spool *s, struct spool_hold *hold)
{
    struct usage u = some_usage();

    assert_int_equal(spool_reserve(s, &u, hold), 0);
    return u;
}

static struct usage
settle_new(struct spool *s)
{
    struct spool_hold hold = {0};
    struct usage u = reserve(s, &hold);

    assert_true(spool_settle(s, &hold, &u));
    assert_int_equal(hold.index, 0);
    return u;
}

static struct spool_depth
depth(const struct spool *s)
{
    struct spool_depth d;

    spool_depth(s, &d);
    return d;
}

struct seen {
    unsigned char id[ATTEMPT_ID_BYTES];
    enum usage_outcome outcome;
};

/* Takes everything out; calls are at most `max` records each. */
static size_t
drain(struct spool *s, size_t batch, struct seen *seen, size_t max)
{
    struct usage_batch b;
    size_t n = 0;

    while (spool_peek(s, batch, LIMIT_BATCH_BYTES, &b)) {
        struct arena a;
        uint64_t last = 0;
        arena_init(&a, 0);
        for (size_t i = 0; i < b.count; i++) {
            struct usage u;
            assert_int_equal(usage_decode(b.records[i], &a, &u), 0);
            assert_true(u.sequence > last);
            last = u.sequence;
            assert_true(n < max);
            memcpy(seen[n].id, u.attempt_id, ATTEMPT_ID_BYTES);
            seen[n++].outcome = u.outcome;
        }
        assert_int_equal(last, b.last_sequence);
        arena_free(&a);
        spool_ack(s, b.spool_id, b.last_sequence);
    }
    return n;
}

static size_t
count_files(const char *sub, const char *suffix)
{
    char path[256];
    const struct dirent *e;
    size_t n = 0;
    DIR *d;

    (void)snprintf(path, sizeof(path), "%s/w0%s", root, sub);
    if (!(d = opendir(path)))
        return 0;
    while ((e = readdir(d)))
        n += strlen(e->d_name) > strlen(suffix) &&
             strcmp(e->d_name + strlen(e->d_name) - strlen(suffix), suffix) == 0;
    closedir(d);
    return n;
}

static void
path_of(uint64_t number, char ret_path[static 256])
{
    char name[SEGMENT_NAME_BYTES];

    segment_name(number, name);
    (void)snprintf(ret_path, 256, "%s/w0/%s", root, name);
}

static void
overwrite(uint64_t number, off_t at, const void *bytes, size_t n)
{
    char path[256];
    int fd;

    path_of(number, path);
    assert_true((fd = open(path, O_WRONLY)) >= 0);
    assert_int_equal(pwrite(fd, bytes, n, at), n);
    close(fd);
}

/* --- the ordinary way ------------------------------------------------------------------------ */

static void
test_settled_records_come_out_in_order(void **state)
{
    struct spool *s = open_with(&small);
    struct usage u[3];
    struct seen seen[4];

    (void)state;
    for (int i = 0; i < 3; i++)
        u[i] = settle_new(s);
    assert_int_equal(depth(s).records, 3);
    assert_int_equal(drain(s, 2, seen, 4), 3);
    for (int i = 0; i < 3; i++)
        assert_memory_equal(seen[i].id, u[i].attempt_id, ATTEMPT_ID_BYTES);
    assert_int_equal(depth(s).records, 0);
    spool_close(s);
    assert_int_equal(count_files("", ".seg"), 0);
}

static void
test_open_and_void_attempts_are_not_uploaded(void **state)
{
    struct spool *s = open_with(&small);
    struct spool_hold open_hold = {0}, void_hold = {0};
    struct usage u = reserve(s, &open_hold);
    struct usage_batch b;

    (void)state;
    (void)reserve(s, &void_hold);
    assert_int_equal(depth(s).open, 2);
    spool_void(s, &void_hold);
    assert_int_equal(depth(s).open, 1);
    assert_false(spool_peek(s, 10, LIMIT_BATCH_BYTES, &b));
    spool_void(s, &void_hold); /* a zero hold */
    assert_true(spool_settle(s, &open_hold, &u));
    assert_true(spool_peek(s, 10, LIMIT_BATCH_BYTES, &b));
    assert_int_equal(b.count, 1);
    spool_close(s);
}

static void
test_peek_gives_the_same_until_acknowledged(void **state)
{
    struct spool *s = open_with(&small);
    struct usage_batch a, b;
    unsigned char other[SPOOL_ID_BYTES] = {1};

    (void)state;
    for (int i = 0; i < 5; i++)
        (void)settle_new(s);
    assert_true(spool_peek(s, 3, LIMIT_BATCH_BYTES, &a));
    assert_int_equal(a.last_sequence, 3);
    spool_ack(s, other, 3); /* another spool's */
    assert_true(spool_peek(s, 3, LIMIT_BATCH_BYTES, &b));
    assert_int_equal(b.last_sequence, 3);
    spool_ack(s, b.spool_id, 1); /* a part */
    assert_true(spool_peek(s, 3, LIMIT_BATCH_BYTES, &b));
    assert_int_equal(b.last_sequence, 4);
    spool_ack(s, b.spool_id, 1); /* an old one */
    assert_int_equal(depth(s).records, 4);
    spool_ack(s, b.spool_id, 100); /* never beyond what was lent */
    assert_int_equal(depth(s).records, 1);
    spool_close(s);
}

static void
test_a_batch_keeps_its_bounds(void **state)
{
    struct spool *s = open_with(&small);
    struct usage_batch b;

    (void)state;
    for (int i = 0; i < 20; i++)
        (void)settle_new(s);
    assert_true(spool_peek(s, 1000, 500, &b));
    assert_true(b.count >= 1 && b.count < 5);
    assert_true(spool_peek(s, 1000, 1, &b)); /* one at least */
    assert_int_equal(b.count, 1);
    spool_close(s);
}

static void
test_segments_are_removed_when_acknowledged(void **state)
{
    struct spool *s = open_with(&small);
    static struct seen seen[2000];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        (void)settle_new(s);
        if (i % 10 == 9)
            (void)drain(s, 100, seen, 2000);
    }
    assert_true(depth(s).bytes <= 3 * small.segment_bytes);
    assert_true(count_files("", ".seg") <= 3);
    assert_int_equal(depth(s).refused, 0);
    spool_close(s);
}

static void
test_a_slot_has_one_holder(void **state)
{
    struct spool *s = open_with(&small), *second = NULL;

    (void)state;
    assert_int_equal(spool_open(root, 0, &small, &second), ERR_CONFLICT);
    spool_close(s);
    assert_int_equal(spool_open(root, 0, &small, &second), 0);
    spool_close(second);
}

static void
test_long_texts_are_cut_not_refused(void **state)
{
    struct spool *s = open_with(&small);
    static char text[20000];
    struct usage u = some_usage(), back;
    struct spool_hold hold = {0};
    struct policy_tag tags[2] = {{SLICE("a"), SLICE("b")}, {SLICE("big"), {text, sizeof(text)}}};
    struct usage_batch b;
    struct arena a;

    (void)state;
    for (size_t i = 0; i < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    u.end_user = u.model = u.team = slice_make(text, sizeof(text));
    u.request_id = slice_make(text, 257); /* would be cut inside a character */
    u.tags = tags;
    u.tag_count = 2;
    assert_int_equal(spool_reserve(s, &u, &hold), 0);
    assert_true(spool_settle(s, &hold, &u));
    assert_true(spool_peek(s, 10, LIMIT_BATCH_BYTES, &b));
    arena_init(&a, 0);
    assert_int_equal(usage_decode(b.records[0], &a, &back), 0);
    assert_int_equal(back.end_user.len, LIMIT_USAGE_TEXT_BYTES);
    assert_int_equal(back.team.len, LIMIT_USAGE_NAME_BYTES);
    assert_int_equal(back.request_id.len, 256);
    assert_int_equal(back.tag_count, 1);
    arena_free(&a);
    spool_close(s);
}

/* --- killed workers -------------------------------------------------------------------------- */

static void
test_f130_a_killed_workers_open_attempts_become_lost(void **state)
{
    struct spool *s = open_with(&small);
    struct spool_hold hold = {0}, voided = {0};
    struct usage settled = settle_new(s), open = reserve(s, &hold);
    struct usage_batch b;
    struct usage u;
    struct arena a;

    (void)state;
    (void)reserve(s, &voided);
    spool_void(s, &voided);
    abandon(s);
    s = open_with(&small);
    assert_int_equal(depth(s).records, 2);
    assert_int_equal(depth(s).lost, 1);
    assert_false(spool_is_settled(s)); /* what it held of budgets is not given back yet */
    (void)settle_new(s);               /* ours: not waited for */
    arena_init(&a, 0);
    assert_true(spool_peek(s, 10, LIMIT_BATCH_BYTES, &b)); /* the dead worker's own */
    assert_int_equal(b.count, 1);
    assert_int_equal(usage_decode(b.records[0], &a, &u), 0);
    assert_memory_equal(u.attempt_id, settled.attempt_id, ATTEMPT_ID_BYTES);
    spool_ack(s, b.spool_id, b.last_sequence);
    assert_false(spool_is_settled(s));
    assert_true(spool_peek(s, 10, LIMIT_BATCH_BYTES, &b)); /* under the new spool id */
    assert_int_equal(b.count, 2);
    assert_int_equal(usage_decode(b.records[0], &a, &u), 0);
    assert_memory_equal(u.attempt_id, open.attempt_id, ATTEMPT_ID_BYTES);
    assert_int_equal(u.outcome, USAGE_LOST);
    assert_true(u.estimated && u.incomplete);
    assert_int_equal(u.cost, open.cost);
    assert_int_equal(u.tokens.input, open.tokens.input);
    assert_string_equal(u.team.at, "research");
    (void)settle_new(s);
    assert_false(spool_is_settled(s));
    spool_ack(s, b.spool_id, b.last_sequence);
    assert_true(spool_is_settled(s));
    assert_true(spool_peek(s, 10, LIMIT_BATCH_BYTES, &b));
    spool_ack(s, b.spool_id, b.last_sequence);
    arena_free(&a);
    spool_close(s);
    s = open_with(&small); /* and once only */
    assert_int_equal(depth(s).records, 0);
    assert_int_equal(depth(s).lost, 0);
    spool_close(s);
}

static void
test_a_worker_killed_while_recovering_loses_nothing(void **state)
{
    struct spool *s = open_with(&small);
    struct spool_hold hold = {0};
    struct seen seen[8];

    (void)state;
    for (int i = 0; i < 3; i++)
        (void)reserve(s, &hold);
    for (int i = 0; i < 4; i++) {
        abandon(s);
        s = open_with(&small);
    }
    assert_int_equal(drain(s, 10, seen, 8), 3);
    spool_close(s);
    assert_int_equal(count_files("", ".seg"), 0);
}

static void
test_every_opening_has_its_own_spool_id(void **state)
{
    struct spool *s = open_with(&small);
    struct usage_batch a, b;

    (void)state;
    (void)settle_new(s);
    assert_true(spool_peek(s, 1, LIMIT_BATCH_BYTES, &a));
    spool_ack(s, a.spool_id, a.last_sequence);
    abandon(s);
    s = open_with(&small);
    (void)settle_new(s);
    assert_true(
        spool_peek(s, 1, LIMIT_BATCH_BYTES, &b)); /* acknowledged, but nobody knows: again */
    assert_memory_equal(a.spool_id, b.spool_id, SPOOL_ID_BYTES);
    spool_ack(s, b.spool_id, b.last_sequence);
    assert_true(spool_peek(s, 1, LIMIT_BATCH_BYTES, &b));
    assert_memory_not_equal(a.spool_id, b.spool_id, SPOOL_ID_BYTES);
    assert_int_equal(b.last_sequence, 1);
    spool_close(s);
}

/* --- damage ---------------------------------------------------------------------------------- */

/* The whole tail of the newest segment cut at every byte: what is before the cut is there, what was
 * cut is counted, no more than the last record is missing. */
static void
test_f135_a_tail_torn_at_every_byte(void **state)
{
    struct spool_limits limits = {.bytes = 16 << 20, .segment_bytes = 64 << 10};
    struct spool *s;
    struct seen seen[8];
    uint32_t start, end, torn = 0;

    s = open_with(&limits);
    (void)state;
    (void)settle_new(s);
    (void)settle_new(s);
    start = s->current->at;
    (void)settle_new(s);
    end = s->current->at;
    abandon(s);
    char keep[256], command[600];
    path_of(1, keep);
    (void)snprintf(command, sizeof(command), "cp '%s' '%s/copy'", keep, root);
    assert_int_equal(system(command), 0);
    for (uint32_t cut = start; cut <= end; cut++) {
        static char zeros[64 << 10];
        (void)snprintf(command, sizeof(command), "%s/w0", root);
        (void)snprintf(command, sizeof(command), "rm -f %s/w0/*.seg && cp '%s/copy' '%s'", root,
                       root, keep);
        if (cut % 64 == 0 || cut == start) /* a shell a byte would be slow */
            assert_int_equal(system(command), 0);
        else {
            char from[256], bytes[64 << 10];
            (void)snprintf(from, sizeof(from), "%s/copy", root);
            int in = open(from, O_RDONLY), out = open(keep, O_WRONLY | O_CREAT | O_TRUNC, 0600);
            assert_int_equal(read(in, bytes, sizeof(bytes)), sizeof(bytes));
            assert_int_equal(write(out, bytes, sizeof(bytes)), sizeof(bytes));
            close(in);
            close(out);
        }
        overwrite(1, cut, zeros, sizeof(zeros) - cut);
        s = open_with(&limits);
        /* The third attempt: not there at all, open (lost), or settled. */
        size_t n = drain(s, 10, seen, 8);
        assert_true(n == 2 || n == 3);
        assert_true(depth(s).torn <= 1);
        torn += (uint32_t)depth(s).torn;
        if (cut == start)
            assert_true(n == 2 && depth(s).torn == 0);
        if (cut == end)
            assert_true(n == 3 && seen[2].outcome == USAGE_DONE && depth(s).torn == 0);
        if (n == 3 && seen[2].outcome == USAGE_LOST)
            assert_int_equal(depth(s).lost, 1);
        spool_close(s);
        assert_int_equal(count_files("", ".seg"), 0);
    }
    /* All but the cuts between two records and in the padding or zeros behind one. */
    assert_true(torn > end - start - 64);
}

static void
test_f136_a_flipped_bit_costs_one_record(void **state)
{
    struct spool *s = open_with(&small);
    struct usage u[4];
    struct seen seen[8];
    uint32_t at[4];
    char byte;

    (void)state;
    for (int i = 0; i < 4; i++) {
        struct spool_hold hold = {0};
        u[i] = reserve(s, &hold);
        at[i] = s->current->at;
        assert_true(spool_settle(s, &hold, &u[i]));
    }
    byte = (char)(s->current->map[at[1] + 60] ^ 4);
    abandon(s);
    overwrite(1, at[1] + 60, &byte, 1);
    s = open_with(&small);
    assert_int_equal(depth(s).corrupt, 1);
    assert_int_equal(depth(s).lost, 1); /* its settlement is gone, its reservation speaks */
    assert_int_equal(drain(s, 10, seen, 8), 4);
    assert_memory_equal(seen[0].id, u[0].attempt_id, ATTEMPT_ID_BYTES);
    assert_memory_equal(seen[1].id, u[2].attempt_id, ATTEMPT_ID_BYTES);
    assert_memory_equal(seen[2].id, u[3].attempt_id, ATTEMPT_ID_BYTES);
    assert_memory_equal(seen[3].id, u[1].attempt_id, ATTEMPT_ID_BYTES);
    assert_int_equal(seen[3].outcome, USAGE_LOST);
    assert_int_equal(count_files("/aside", ".bin"), 1);
    spool_close(s);
}

static void
test_f136_foreign_duplicate_and_later_files(void **state)
{
    struct spool *s = open_with(&small);
    struct seen seen[8];
    char command[600], nine[256];
    uint32_t version = 7, crc;
    char header[SEGMENT_HEADER_BYTES];

    (void)state;
    (void)settle_new(s);
    abandon(s);
    path_of(9, nine);
    (void)snprintf(
        command, sizeof(command),
        "cd %s/w0 && f=0000000000000001.seg && cp $f 0000000000000005.seg && "
        "cp $f 0000000000000009.seg && head -c 70000 /dev/urandom > 00000000000000aa.seg",
        root);
    assert_int_equal(system(command), 0);
    int fd = open(nine, O_RDWR);
    assert_int_equal(pread(fd, header, sizeof(header), 0), sizeof(header));
    memcpy(header + 8, &version, 4);
    crc = crc32c(0, header, 48);
    memcpy(header + 48, &crc, 4);
    assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
    close(fd);
    s = open_with(&small);
    assert_int_equal(depth(s).bad_files, 3);
    assert_int_equal(drain(s, 10, seen, 8), 1);
    assert_int_equal(count_files("/aside", ".seg"), 2);
    assert_int_equal(access(nine, F_OK), 0); /* the later version's file waits for it */
    assert_true(s->next_number > 0xaa);
    spool_close(s);
}

/* Random appends, random kills, random bit flips: whatever is read back was written, nothing sound
 * is missing, nothing comes twice under one opening. */
struct model {
    unsigned char id[ATTEMPT_ID_BYTES];
    bool settled, seen;
};

static void
flip_somewhere(unsigned *seed, unsigned *flips)
{
    char path[512];
    const struct dirent *e;
    DIR *d;

    (void)snprintf(path, sizeof(path), "%s/w0", root);
    d = opendir(path);
    while ((e = readdir(d))) {
        struct stat st;
        char full[800], byte;
        if (!strstr(e->d_name, ".seg") || rand_r(seed) % 3)
            continue;
        (void)snprintf(full, sizeof(full), "%s/%s", path, e->d_name);
        int fd = open(full, O_RDWR);
        assert_int_equal(fstat(fd, &st), 0);
        off_t at = SEGMENT_HEADER_BYTES + rand_r(seed) % (st.st_size - SEGMENT_HEADER_BYTES);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte = (char)(byte ^ (1 << rand_r(seed) % 8));
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        ++*flips;
    }
    closedir(d);
}

static void
mark_seen(struct model *m, size_t count, const struct seen *seen, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        while (at < count && memcmp(m[at].id, seen[i].id, ATTEMPT_ID_BYTES) != 0)
            at++;
        assert_true(at < count); /* nothing invented */
        m[at].seen = true;
    }
}

static void
test_property_kills_and_flips(void **state)
{
    static struct model m[40000];
    static struct seen seen[60000];
    unsigned seed = (unsigned)rand_u64();
    const char *given = getenv("HEADGATE_TEST_SEED");

    (void)state;
    if (given)
        seed = (unsigned)strtoul(given, NULL, 0);
    print_message("seed %u (HEADGATE_TEST_SEED)\n", seed);
    for (int round = 0; round < 60; round++) {
        size_t count = 0;
        unsigned flips = 0, missing = 0;
        for (int life = 0; life < 6; life++) {
            struct spool *s =
                open_with(&(struct spool_limits){.bytes = 64 << 20, .segment_bytes = 64 << 10});
            struct spool_hold holds[8] = {{0}};
            struct usage open[8];
            for (int i = rand_r(&seed) % 300; i > 0; i--) {
                int k = rand_r(&seed) % 8;
                if (!holds[k].index) {
                    open[k] = reserve(s, &holds[k]);
                    memcpy(m[count].id, open[k].attempt_id, ATTEMPT_ID_BYTES);
                    m[count++].seen = false;
                } else if (rand_r(&seed) % 10) {
                    assert_true(spool_settle(s, &holds[k], &open[k]));
                } else {
                    spool_void(s, &holds[k]);
                    for (size_t at = 0; at < count; at++)
                        if (memcmp(m[at].id, open[k].attempt_id, ATTEMPT_ID_BYTES) == 0)
                            m[at].seen = true; /* may or may not come */
                }
                if (rand_r(&seed) % 50 == 0)
                    mark_seen(m, count, seen,
                              drain(s, 1 + (size_t)rand_r(&seed) % 40, seen, 60000));
                spool_tend(s);
            }
            if (rand_r(&seed) % 3)
                abandon(s);
            else
                spool_close(s);
            if (rand_r(&seed) % 2)
                flip_somewhere(&seed, &flips);
        }
        struct spool *s = open_with(&small);
        mark_seen(m, count, seen, drain(s, 100, seen, 60000));
        spool_close(s);
        for (size_t i = 0; i < count; i++)
            missing += !m[i].seen;
        /* A flip can hit one attempt's two records only one at a time. */
        assert_true(missing <= flips);
        assert_true(flips || missing == 0);
        assert_int_equal(count_files("", ".seg"), 0);
    }
}

/* --- room ------------------------------------------------------------------------------------ */

static void
test_f143_a_full_spool_refuses_and_still_settles(void **state)
{
    struct spool_limits limits = {.bytes = 256 << 10, .segment_bytes = 64 << 10};
    struct spool *s = open_with(&limits);
    struct spool_hold holds[2000] = {{0}};
    struct usage open[2000];
    static struct seen seen[2000];
    size_t n = 0;
    struct usage u = some_usage();
    struct spool_hold more = {0};
    static char text[LIMIT_USAGE_TEXT_BYTES];
    struct policy_tag tags[6];

    (void)state;
    for (size_t i = 0; i < 6; i++)
        tags[i] = (struct policy_tag){slice_make(text, 1 + i), slice_make(text, sizeof(text))};
    while (n < 2000) {
        open[n] = some_usage();
        int err = spool_reserve(s, &open[n], &holds[n]);
        if (err) {
            assert_int_equal(err, ERR_FULL);
            break;
        }
        n++;
    }
    assert_true(n > 20 && n < 2000);
    assert_false(spool_can_reserve(s));
    assert_int_equal(depth(s).refused, 1);
    memset(text, 'x', sizeof(text)); /* more than a hold promises: the less important is left out */
    for (size_t i = 0; i < n; i++) {
        open[i].upstream_request_id = slice_make(text, sizeof(text));
        open[i].error_code = slice_make(text, sizeof(text));
        open[i].tags = tags;
        open[i].tag_count = 6;
        assert_true(spool_settle(s, &holds[i], &open[i]));
    }
    assert_true(depth(s).bytes <= limits.bytes);
    assert_int_equal(depth(s).records, n);
    assert_int_equal(drain(s, 100, seen, 2000), n);
    assert_int_equal(spool_reserve(s, &u, &more), 0); /* room again */
    assert_true(spool_settle(s, &more, &u));
    spool_close(s);
}

/* A real disk without room: a small tmpfs (needs root; elsewhere the bound above stands for it). */
static void
test_f143_a_full_disk(void **state)
{
    struct spool_limits limits = {.bytes = 64 << 20, .segment_bytes = 64 << 10};
    struct spool_hold holds[2000] = {{0}};
    struct usage open[2000];
    static struct seen seen[2000];
    struct spool *s;
    size_t n = 0;

    (void)state;
    if (mount("tmpfs", root, "tmpfs", 0, "size=300k") != 0)
        skip();
    s = open_with(&limits);
    while (n < 2000) {
        open[n] = some_usage();
        if (spool_reserve(s, &open[n], &holds[n]))
            break;
        n++;
    }
    assert_true(n > 20 && n < 2000);
    for (size_t i = 0; i < n; i++)
        assert_true(spool_settle(s, &holds[i], &open[i]));
    assert_true(depth(s).disk_errors > 0);
    abandon(s);
    s = open_with(&limits); /* recovery with a full disk */
    assert_int_equal(drain(s, 100, seen, 2000), n);
    spool_close(s);
    assert_int_equal(umount(root), 0);
}

static void
test_lost_attempts_wait_for_a_full_disk(void **state)
{
    struct spool_limits limits = {.bytes = 128 << 10, .segment_bytes = 64 << 10};
    struct spool_limits tight = {.bytes = 66 << 10, .segment_bytes = 64 << 10};
    struct spool *s = open_with(&limits);
    struct spool_hold hold = {0};
    struct seen seen[64];

    (void)state;
    for (int i = 0; i < 30; i++)
        (void)reserve(s, &hold);
    abandon(s);
    s = open_with(&tight);
    assert_int_equal(depth(s).lost, 0);
    assert_int_equal(drain(s, 10, seen, 64), 0);
    abandon(s);
    s = open_with(&limits);
    assert_int_equal(depth(s).lost, 30);
    assert_int_equal(drain(s, 10, seen, 64), 30);
    spool_close(s);
}

static void
test_a_long_stream_does_not_keep_old_segments(void **state)
{
    struct spool_limits limits = {
        .bytes = 4 << 20, .segment_bytes = 64 << 10, .sync = SPOOL_SYNC_NONE};
    struct spool *s = open_with(&limits);
    struct spool_hold hold = {0};
    struct usage stream = reserve(s, &hold);
    static struct seen seen[5000];
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 3000; i++) {
        (void)settle_new(s);
        if (i % 10 == 0)
            n += drain(s, 100, seen, 5000);
        spool_tend(s);
    }
    assert_true(depth(s).bytes <= (MOVE_DISTANCE + 3) * limits.segment_bytes);
    abandon(s);
    s = open_with(&limits); /* and it is still known */
    assert_int_equal(depth(s).lost, 1);
    n = drain(s, 4096, seen, 5000);
    assert_memory_equal(seen[n - 1].id, stream.attempt_id, ATTEMPT_ID_BYTES);
    spool_close(s);
}

/* A reservation stays until its settlement, in a later segment, is acknowledged: should that one
 * turn out damaged, the attempt is still known. */
static void
test_a_reservation_outlives_its_settlement(void **state)
{
    struct spool *s = open_with(&small);
    struct spool_hold hold = {0};
    struct usage open = reserve(s, &hold);
    static struct seen seen[1000];
    uint64_t number;
    uint32_t at;
    char byte;

    (void)state;
    while (s->current->id.number < 3) {
        (void)settle_new(s);
        (void)drain(s, 100, seen, 1000);
    }
    number = s->current->id.number;
    at = s->current->at;
    assert_true(spool_settle(s, &hold, &open));
    spool_tend(s);
    byte = (char)(s->current->map[at + 50] ^ 1);
    abandon(s);
    overwrite(number, at + 50, &byte, 1);
    s = open_with(&small);
    assert_int_equal(depth(s).lost, 1);
    size_t n = drain(s, 100, seen, 1000);
    assert_memory_equal(seen[n - 1].id, open.attempt_id, ATTEMPT_ID_BYTES);
    spool_close(s);
}

/* --- flushing -------------------------------------------------------------------------------- */

static void
test_the_flusher_flushes_what_changed(void **state)
{
    struct spool_flusher *f = NULL;
    struct spool *s;

    (void)state;
    assert_int_equal(spool_flusher_new(root, 2, &f), 0);
    assert_int_equal(spool_flush(f), 0);
    s = open_with(&small);
    (void)settle_new(s);
    assert_int_equal(spool_flush(f), 1);
    assert_int_equal(spool_flush(f), 0);
    for (int i = 0; i < 200; i++)
        (void)settle_new(s);
    assert_true(spool_flush(f) >= 2);
    assert_int_equal(spool_flush(f), 0);
    spool_close(s);
    spool_flusher_free(f);
}

static void
test_f143_after_a_failed_flush_everything_moves_to_a_new_file(void **state)
{
    struct spool *s = open_with(&small);
    struct spool_hold hold = {0};
    struct usage first = settle_new(s), open = reserve(s, &hold), second;
    struct seen seen[8];
    struct usage_batch b;
    uint64_t bad = s->current->id.number;

    (void)state;
    assert_true(spool_peek(s, 10, LIMIT_BATCH_BYTES, &b));
    atomic_store(&s->control->bad, bad);
    second = settle_new(s);
    assert_true(s->current->id.number > bad);
    assert_int_equal(depth(s).disk_errors, 1);
    assert_int_equal(depth(s).records, 2);
    assert_int_equal(depth(s).open, 1);
    assert_true(spool_settle(s, &hold, &open));
    assert_int_equal(drain(s, 10, seen, 8), 3);
    assert_memory_equal(seen[0].id, first.attempt_id, ATTEMPT_ID_BYTES);
    assert_memory_equal(seen[1].id, second.attempt_id, ATTEMPT_ID_BYTES);
    assert_memory_equal(seen[2].id, open.attempt_id, ATTEMPT_ID_BYTES);
    assert_int_equal(count_files("/aside", ".seg"), 1);
    spool_close(s);
}

static void
test_sync_always_flushes_before_it_returns(void **state)
{
    struct spool_limits limits = small;
    struct spool *s;
    struct seen seen[4];

    (void)state;
    limits.sync = SPOOL_SYNC_ALWAYS;
    s = open_with(&limits);
    (void)settle_new(s);
    assert_int_equal(drain(s, 10, seen, 4), 1);
    spool_close(s);
}

/* --- slots without a worker ------------------------------------------------------------------ */

static void
test_orphan_slots_are_found_and_drained(void **state)
{
    struct spool *s = NULL;
    struct spool_hold hold = {0};
    struct seen seen[4];
    unsigned slots[4];

    (void)state;
    assert_int_equal(spool_open(root, 3, &small, &s), 0);
    (void)settle_new(s);
    (void)reserve(s, &hold);
    abandon(s);
    assert_int_equal(spool_orphans(root, 1, slots, 4), 1);
    assert_int_equal(slots[0], 3);
    assert_int_equal(spool_orphans(root, 4, slots, 4), 0);
    struct spool_limits limits = small;
    limits.drain_only = true;
    assert_int_equal(spool_open(root, 3, &limits, &s), 0);
    assert_int_equal(drain(s, 10, seen, 4), 2);
    spool_close(s);
    assert_int_equal(spool_orphans(root, 1, slots, 4), 0);
}

#define ROOTED(t) cmocka_unit_test_setup_teardown(t, make_root, drop_root)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        ROOTED(test_settled_records_come_out_in_order),
        ROOTED(test_open_and_void_attempts_are_not_uploaded),
        ROOTED(test_peek_gives_the_same_until_acknowledged),
        ROOTED(test_a_batch_keeps_its_bounds),
        ROOTED(test_segments_are_removed_when_acknowledged),
        ROOTED(test_a_slot_has_one_holder),
        ROOTED(test_long_texts_are_cut_not_refused),
        ROOTED(test_f130_a_killed_workers_open_attempts_become_lost),
        ROOTED(test_a_worker_killed_while_recovering_loses_nothing),
        ROOTED(test_every_opening_has_its_own_spool_id),
        ROOTED(test_f135_a_tail_torn_at_every_byte),
        ROOTED(test_f136_a_flipped_bit_costs_one_record),
        ROOTED(test_f136_foreign_duplicate_and_later_files),
        ROOTED(test_property_kills_and_flips),
        ROOTED(test_f143_a_full_spool_refuses_and_still_settles),
        ROOTED(test_f143_a_full_disk),
        ROOTED(test_lost_attempts_wait_for_a_full_disk),
        ROOTED(test_a_long_stream_does_not_keep_old_segments),
        ROOTED(test_a_reservation_outlives_its_settlement),
        ROOTED(test_the_flusher_flushes_what_changed),
        ROOTED(test_f143_after_a_failed_flush_everything_moves_to_a_new_file),
        ROOTED(test_sync_always_flushes_before_it_returns),
        ROOTED(test_orphan_slots_are_found_and_drained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
