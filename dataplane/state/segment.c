#include "dataplane/state/segment.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/encode.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the spool's files are little-endian");

static const char file_magic[8] = {'H', 'G', 'S', 'P', 'O', 'O', 'L', '\n'};
static const uint32_t record_magic = UINT32_C(0x9d524748); /* "HGR" and a byte that is no text */

/* On disk, at offset 0; zeros up to SEGMENT_HEADER_BYTES. */
struct file_header {
    char magic[8];
    uint32_t version;
    uint32_t bytes;
    unsigned char spool_id[SPOOL_ID_BYTES];
    uint64_t number;
    int64_t created_ms;
    uint32_t crc; /* of all above */
    uint32_t zero;
};
static_assert(sizeof(struct file_header) <= SEGMENT_HEADER_BYTES, "the header has its place");

struct record_header {
    uint32_t magic;
    uint32_t length; /* of the payload */
    uint32_t crc;
    uint32_t type;
    uint64_t sequence;
    unsigned char attempt_id[ATTEMPT_ID_BYTES];
};
static_assert(sizeof(struct record_header) == RECORD_HEADER_BYTES, "no padding");

void
segment_write_header(char *at, const struct segment_identity *id)
{
    struct file_header h = {
        .version = SEGMENT_VERSION,
        .bytes = id->bytes,
        .number = id->number,
        .created_ms = id->created_ms,
    };

    memcpy(h.magic, file_magic, sizeof(h.magic));
    memcpy(h.spool_id, id->spool_id, SPOOL_ID_BYTES);
    h.crc = crc32c(0, &h, offsetof(struct file_header, crc));
    memcpy(at, &h, sizeof(h));
}

int
segment_read_header(struct slice file, struct segment_identity *ret_id)
{
    struct file_header h;

    if (file.len < SEGMENT_HEADER_BYTES)
        return ERR_SYNTAX;
    memcpy(&h, file.at, sizeof(h));
    if (memcmp(h.magic, file_magic, sizeof(h.magic)) != 0 ||
        h.crc != crc32c(0, &h, offsetof(struct file_header, crc)))
        return ERR_SYNTAX;
    if (h.version != SEGMENT_VERSION)
        return ERR_STALE;
    memcpy(ret_id->spool_id, h.spool_id, SPOOL_ID_BYTES);
    ret_id->number = h.number;
    ret_id->bytes = h.bytes;
    ret_id->created_ms = h.created_ms;
    return 0;
}

uint32_t
segment_seed(const struct segment_identity *id)
{
    return crc32c(crc32c(0, id->spool_id, SPOOL_ID_BYTES), &id->number, sizeof(id->number));
}

/* --- records --------------------------------------------------------------------------------- */

static uint32_t
padded(size_t payload)
{
    return (uint32_t)((RECORD_HEADER_BYTES + payload + RECORD_ALIGN - 1) &
                      ~(size_t)(RECORD_ALIGN - 1));
}

static uint32_t
record_crc(uint32_t seed, const struct record_header *h, const char *payload)
{
    uint32_t crc = crc32c(seed, &h->length, sizeof(h->length));

    crc = crc32c(crc, &h->type, RECORD_HEADER_BYTES - offsetof(struct record_header, type));
    return crc32c(crc, payload, h->length);
}

uint32_t
record_write(char *at, uint32_t seed, enum record_type type, uint64_t sequence,
             const unsigned char attempt_id[static ATTEMPT_ID_BYTES], size_t payload)
{
    struct record_header h = {
        .length = (uint32_t)payload,
        .type = (uint32_t)type,
        .sequence = sequence,
    };

    assert(payload <= LIMIT_USAGE_BYTES);
    memcpy(h.attempt_id, attempt_id, ATTEMPT_ID_BYTES);
    h.crc = record_crc(seed, &h, at + RECORD_HEADER_BYTES);
    CRASHPOINT("spool.payload_written");
    memcpy(at, &h, sizeof(h)); /* without the marker */
    CRASHPOINT("spool.frame_written");
    atomic_signal_fence(memory_order_release);
    *(volatile uint32_t *)(void *)at = record_magic;
    return padded(payload);
}

bool
record_read(struct slice file, uint32_t from, uint32_t seed, struct record *ret_record)
{
    struct record_header h;

    if (from % RECORD_ALIGN || from > file.len || file.len - from < RECORD_HEADER_BYTES)
        return false;
    memcpy(&h, file.at + from, sizeof(h));
    if (h.magic != record_magic || h.length > LIMIT_USAGE_BYTES ||
        h.length > file.len - from - RECORD_HEADER_BYTES)
        return false;
    if (h.type < RECORD_RESERVE || h.type > RECORD_VOID ||
        h.crc != record_crc(seed, &h, file.at + from + RECORD_HEADER_BYTES))
        return false;
    ret_record->type = (enum record_type)h.type;
    ret_record->sequence = h.sequence;
    memcpy(ret_record->attempt_id, h.attempt_id, ATTEMPT_ID_BYTES);
    ret_record->payload = slice_make(file.at + from + RECORD_HEADER_BYTES, h.length);
    ret_record->start = from;
    ret_record->end = from + padded(h.length);
    return true;
}

static bool
all_zero(struct slice file, uint32_t from)
{
    struct slice rest = slice_from(file, from);

    return rest.len == 0 || (rest.at[0] == 0 && memcmp(rest.at, rest.at + 1, rest.len - 1) == 0);
}

enum scan_step
segment_scan(struct slice file, uint32_t seed, uint32_t *from, struct record *ret_record)
{
    uint32_t start = *from;

    if (record_read(file, start, seed, ret_record)) {
        *from = ret_record->end;
        return SCAN_RECORD;
    }
    if (all_zero(file, start))
        return SCAN_END;
    for (uint32_t at = start + RECORD_ALIGN; at < file.len; at += RECORD_ALIGN)
        if (record_read(file, at, seed, ret_record)) {
            ret_record->start = start;
            ret_record->end = *from = at;
            return SCAN_BAD;
        }
    ret_record->start = start;
    ret_record->end = *from = (uint32_t)file.len;
    return SCAN_TORN;
}

/* --- files ----------------------------------------------------------------------------------- */

void
segment_name(uint64_t number, char ret_name[static SEGMENT_NAME_BYTES])
{
    (void)snprintf(ret_name, SEGMENT_NAME_BYTES, "%016llx.seg", (unsigned long long)number);
}

int
segment_parse_name(const char *name, uint64_t *ret_number)
{
    unsigned char bytes[8];
    uint64_t number = 0;

    if (strlen(name) != 20 || strcmp(name + 16, ".seg") != 0 ||
        hex_decode(slice_make(name, 16), bytes, sizeof(bytes)))
        return ERR_SYNTAX;
    for (size_t i = 0; i < sizeof(bytes); i++)
        number = number << 8 | bytes[i];
    *ret_number = number;
    return 0;
}

static int
err_of_errno(void)
{
    return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? ERR_FULL : ERR_IO;
}

/* Allocates, so that no later write meets a full disk; maps. */
static int
allocate(struct segment *s)
{
    void *map;

    errno = posix_fallocate(s->fd, 0, s->id.bytes);
    if (errno)
        return err_of_errno();
    map = mmap(NULL, s->id.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (map == MAP_FAILED)
        return errno == ENOMEM ? ERR_NOMEM : ERR_IO;
    s->map = map;
    s->size = s->id.bytes;
    s->at = SEGMENT_HEADER_BYTES;
    return 0;
}

int
segment_create(int dir_fd, const struct segment_identity *id, struct segment **ret_segment)
{
    char name[SEGMENT_NAME_BYTES];
    struct segment *s = calloc(1, sizeof(*s));
    int err;

    if (!s)
        return ERR_NOMEM;
    s->id = *id;
    s->seed = segment_seed(id);
    segment_name(id->number, name);
    s->fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->fd < 0) {
        err = err_of_errno();
        goto undo_segment;
    }
    CRASHPOINT("spool.segment_opened");
    if ((err = allocate(s)))
        goto undo_file;
    CRASHPOINT("spool.segment_allocated");
    segment_write_header(s->map, id);
    *ret_segment = s;
    return 0;

undo_file:
    (void)unlinkat(dir_fd, name, 0);
undo_segment:
    segment_free(s);
    return err;
}

int
segment_flush(struct segment *s)
{
    return s->fd >= 0 && fdatasync(s->fd) ? ERR_IO : 0;
}

void
segment_retire(struct segment *s)
{
    if (s->map)
        (void)munmap(s->map, s->id.bytes);
    s->map = NULL;
    if (s->fd >= 0) {
        if (s->at < s->size && ftruncate(s->fd, (off_t)s->at) == 0)
            s->size = s->at;
        (void)close(s->fd);
    }
    s->fd = -1;
}

void
segment_free(struct segment *s)
{
    if (!s)
        return;
    if (s->map)
        (void)munmap(s->map, s->id.bytes);
    if (s->fd >= 0)
        (void)close(s->fd);
    free(s);
}

static int
read_all(int fd, char *into, size_t len)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = pread(fd, into + got, len - got, (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_IO;
        if (n == 0)
            return ERR_TRUNCATED; /* shrank under us */
        got += (size_t)n;
    }
    return 0;
}

int
segment_load(int dir_fd, uint64_t number, char **ret_bytes, uint32_t *ret_len)
{
    char name[SEGMENT_NAME_BYTES], *bytes = NULL;
    struct stat st;
    int fd, err = ERR_IO;

    segment_name(number, name);
    fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        goto out;
    err = ERR_LIMIT;
    if (st.st_size > (off_t)LIMIT_SEGMENT_BYTES)
        goto out;
    err = ERR_NOMEM;
    if (!(bytes = malloc((size_t)st.st_size + 1)))
        goto out;
    if ((err = read_all(fd, bytes, (size_t)st.st_size)))
        goto out;
    *ret_bytes = bytes;
    *ret_len = (uint32_t)st.st_size;
    bytes = NULL;
out:
    free(bytes);
    (void)close(fd);
    return err;
}
