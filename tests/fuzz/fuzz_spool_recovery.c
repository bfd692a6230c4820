/*
 * Opening a spool somebody left. Bit 0 of the first byte chooses: the rest is a segment file as it
 * is, or records (type, sequence, attempt, length, payload) that are framed here with true
 * checksums, a byte of which the other bits may then damage. Whatever is there, opening works, what
 * is offered for upload is sound and in order, and once acknowledged it is not offered again.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/state/segment.h"
#include "dataplane/state/spool.h"
#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "tests/fuzz/fuzz.h"

static char dir[64];

static void
clean(void)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    CHECK(system(command) == 0); /* only at exit */
}

static void
init(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    log_init("fuzz", LOG_ERROR, fd);
    snprintf(dir, sizeof(dir), "%s/spool-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(dir));
    CHECK(atexit(clean) == 0);
}

/* A segment of framed records. */
static void
make_segment(const uint8_t *data, size_t n, struct buf *into)
{
    struct segment_identity id = {.number = 1, .bytes = 65536, .created_ms = 1};
    memset(id.spool_id, 7, sizeof(id.spool_id));
    char *at = buf_reserve(into, 65536);
    CHECK(at);
    memset(at, 0, 65536);
    segment_write_header(at, &id);
    uint32_t seed = segment_seed(&id), used = SEGMENT_HEADER_BYTES;
    uint64_t sequence = 0;
    while (n >= 4 && used + LIMIT_RECORD_BYTES < 65536) {
        unsigned char attempt[ATTEMPT_ID_BYTES] = {data[2]};
        size_t len = data[3];
        if (len > n - 4)
            len = n - 4;
        enum record_type type = (enum record_type)(data[0] % 4);
        sequence += type == RECORD_SETTLE ? 1 + data[1] % 4u : 0;
        memcpy(at + used + RECORD_HEADER_BYTES, data + 4, len);
        used +=
            record_write(at + used, seed, type, type == RECORD_SETTLE ? sequence : 0, attempt, len);
        data += 4 + len;
        n -= 4 + len;
    }
    buf_commit(into, used);
}

static void
put_file(const char *name, struct slice bytes)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/w0", dir);
    CHECK(mkdir(path, 0700) == 0 || access(path, W_OK) == 0);
    snprintf(path, sizeof(path), "%s/w0/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, bytes.at, bytes.len) == (ssize_t)bytes.len);
    close(fd);
}

/* Takes all that is offered, in the order of the interface's promises. */
static size_t
drain(struct spool *s)
{
    size_t total = 0;
    struct usage_batch batch;
    while (spool_peek(s, 16, LIMIT_BATCH_BYTES, &batch)) {
        CHECK(batch.count > 0 && batch.count <= 16);
        for (size_t i = 0; i < batch.count; i++)
            CHECK(batch.records[i].len <= LIMIT_USAGE_BYTES);
        spool_ack(s, batch.spool_id, batch.last_sequence);
        total += batch.count;
        CHECK(total < 100000);
    }
    return total;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct spool_limits limits = {
        .bytes = 8 << 20, .segment_bytes = 65536, .sync = SPOOL_SYNC_NONE};
    struct spool *s;
    struct buf file;
    char name[SEGMENT_NAME_BYTES];
    struct spool_depth depth;
    if (n < 3)
        return 0;
    if (!dir[0])
        init();
    buf_init(&file, 0);
    if (data[0] & 1) {
        CHECK(buf_add(&file, data + 1, n - 1) == 0);
    } else {
        make_segment(data + 3, n - 3, &file);
        if (data[0] & 2) /* damage one byte */
            file.at[((size_t)data[1] << 8 | data[2]) % file.len] ^= (char)(data[0] >> 2 | 1);
        if (data[0] & 128) /* cut the tail */
            file.len -= data[1] % file.len;
    }
    segment_name(1, name);
    put_file(name, buf_slice(&file));
    CHECK(spool_open(dir, 0, &limits, &s) == 0);
    spool_depth(s, &depth);
    size_t offered = drain(s);
    CHECK(depth.records == offered);
    spool_depth(s, &depth);
    CHECK(depth.records == 0);
    spool_close(s);
    /* Again: nothing of it comes back. */
    CHECK(spool_open(dir, 0, &limits, &s) == 0);
    CHECK(drain(s) == 0);
    spool_close(s);
    buf_free(&file);
    return 0;
}
