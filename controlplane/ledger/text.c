#include "controlplane/ledger/text.h"

#include <string.h>

#include "controlplane/store/db.h"
#include "lib/base/clock.h"
#include "lib/base/rand.h"

void
text_init(struct text *t)
{
    buf_init(&t->buf, 0);
    t->err = 0;
}

void
text_fini(struct text *t)
{
    buf_free(&t->buf);
}

static void
add(struct text *t, const void *bytes, size_t n)
{
    if (!t->err)
        t->err = buf_add(&t->buf, bytes, n);
}

void
text_cell(struct text *t, struct slice s)
{
    if (!t->err)
        t->err = db_copy_cell(&t->buf, s.at ? s.at : "", s.len, false);
}

/* Decimal digits at the end of room; returns where they begin. */
static char *
digits(int64_t v, char *end)
{
    uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;

    do
        *--end = (char)('0' + rest % 10);
    while (rest /= 10);
    if (v < 0)
        *--end = '-';
    return end;
}

void
text_int(struct text *t, int64_t v)
{
    char room[24], *end = room + sizeof(room) - 1, *at = digits(v, end);

    *end = '\t';
    add(t, at, (size_t)(end + 1 - at));
}

void
text_add_int(struct text *t, int64_t v)
{
    char room[24], *end = room + sizeof(room), *at = digits(v, end);

    add(t, at, (size_t)(end - at));
}

void
text_bool(struct text *t, bool v)
{
    add(t, v ? "t\t" : "f\t", 2);
}

void
text_uuid(struct text *t, const unsigned char id[static 16])
{
    char room[38];

    uuid_format(id, room);
    room[36] = '\t';
    add(t, room, 37);
}

void
text_time(struct text *t, int64_t wall_ms)
{
    char room[33];
    size_t n;

    clock_rfc3339(wall_ms, room);
    n = strlen(room);
    room[n] = '\t';
    add(t, room, n + 1);
}

void
text_end_row(struct text *t)
{
    if (!t->err)
        t->buf.at[t->buf.len - 1] = '\n';
}

void
text_add(struct text *t, const char *plain)
{
    add(t, plain, strlen(plain));
}
