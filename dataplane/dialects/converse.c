/* AWS Bedrock's Converse: what ties the dialect's files together. Providers alone speak it. */
#include "dataplane/dialects/converse_internal.h"

#include <string.h>

/* A model's id as one segment of a path: ids have colons, ARNs slashes too. */
static char *
put_escaped(char *at, struct slice id)
{
    static const char digits[] = "0123456789ABCDEF";
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (size_t i = 0; i < id.len; i++) {
        unsigned char c = (unsigned char)id.at[i];
        if (memchr(plain, c, sizeof(plain) - 1)) {
            *at++ = (char)c;
            continue;
        }
        *at++ = '%';
        *at++ = digits[c >> 4];
        *at++ = digits[c & 15];
    }
    return at;
}

static int
address(const struct dialect_target *t, bool stream, struct arena *a, struct dialect_address *ret)
{
    static const struct slice prefix = {"/model/", 7};
    struct slice method = stream ? SLICE("/converse-stream") : SLICE("/converse");
    char *path = arena_alloc(a, prefix.len + 3 * t->model.len + method.len);
    if (!path)
        return ERR_NOMEM;
    memcpy(path, prefix.at, prefix.len);
    char *end = put_escaped(path + prefix.len, t->model);
    memcpy(end, method.at, method.len);
    *ret = (struct dialect_address){.path = slice_make(path, (size_t)(end - path) + method.len)};
    return 0;
}

/* Bedrock fetches from S3 only. */
static bool
wants_inline(const struct dialect_target *t, const struct canon_part *part)
{
    (void)t;
    return (part->kind == PART_IMAGE || part->kind == PART_FILE) && part->media.url.len > 0 &&
           part->media.data.len == 0 && !slice_starts(part->media.url, SLICE("s3://"));
}

const struct dialect dialect_converse = {
    .id = DIALECT_CONVERSE,
    .name = "converse",
    .framing = FRAMING_EVENTSTREAM,
    .address = address,
    .write_request = converse_write_request,
    .wants_inline = wants_inline,
    .read_answer = converse_read_answer,
    .decoder = &converse_decoder,
    .read_error = converse_read_error,
};
