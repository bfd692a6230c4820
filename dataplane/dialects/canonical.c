#include "dataplane/dialects/canonical.h"

#include "lib/base/encode.h"
#include "lib/base/hash.h"
#include "lib/base/rand.h"

#include <string.h>

#define ID_LETTERS 24
#define SIGNATURE_MARK "__sig_"

enum canon_error_class
canon_class_of_status(int status)
{
    switch (status) {
    case 401:
        return ERROR_AUTH;
    case 402:
        return ERROR_BILLING;
    case 403:
        return ERROR_DENIED;
    case 404:
        return ERROR_NOT_FOUND;
    case 413:
        return ERROR_TOO_LARGE;
    case 429:
        return ERROR_RATE;
    case 408:
    case 504:
        return ERROR_TIMEOUT;
    case 502:
        return ERROR_UPSTREAM;
    case 503:
    case 529:
        return ERROR_OVERLOAD;
    default:
        return status >= 500 ? ERROR_SERVER : ERROR_INVALID;
    }
}

/* --- ids -------------------------------------------------------------------------------------- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

struct slice
canon_mint_id(struct arena *a, const char *prefix)
{
    size_t n = strlen(prefix);
    char *at = arena_alloc(a, n + ID_LETTERS);
    if (!at)
        return (struct slice){0};
    memcpy(at, prefix, n);
    for (size_t i = 0; i < ID_LETTERS; i++)
        at[n + i] = letters[rand_below(sizeof(letters) - 1)];
    return slice_make(at, n + ID_LETTERS);
}

static const char origin_letters[DIALECTS + 1] = "crabeh"; /* in the order of enum dialect_id */

int
canon_pack_id(struct arena *a, struct slice id, enum dialect_id origin, struct slice signature,
              struct slice *ret_packed)
{
    size_t mark = sizeof(SIGNATURE_MARK) - 1;
    if (signature.len == 0) {
        *ret_packed = id;
        return 0;
    }
    char *at = arena_alloc(a, id.len + mark + 1 + BASE64_BYTES(signature.len));
    if (!at)
        return ERR_NOMEM;
    memcpy(at, id.at, id.len);
    memcpy(at + id.len, SIGNATURE_MARK, mark);
    at[id.len + mark] = origin_letters[origin];
    size_t n = base64url_encode(signature.at, signature.len, at + id.len + mark + 1);
    *ret_packed = slice_make(at, id.len + mark + 1 + n);
    return 0;
}

bool
canon_unpack_id(struct arena *a, struct slice packed, struct slice *ret_id,
                enum dialect_id *ret_origin, struct slice *ret_signature)
{
    static const char mark[] = SIGNATURE_MARK;
    size_t len = 0;
    *ret_id = packed;
    *ret_signature = (struct slice){0};
    const char *at = packed.len ? memmem(packed.at, packed.len, mark, sizeof(mark) - 1) : NULL;
    if (!at || at == packed.at) /* a call has an id */
        return false;
    struct slice rest = slice_from(packed, (size_t)(at - packed.at) + sizeof(mark) - 1);
    const char *letter = rest.len > 1 ? memchr(origin_letters, rest.at[0], DIALECTS) : NULL;
    char *bytes = letter ? arena_alloc(a, rest.len) : NULL;
    if (!bytes || base64_decode(slice_from(rest, 1), bytes, &len) != 0 || len == 0)
        return false;
    *ret_signature = slice_make(bytes, len);
    *ret_id = slice_make(packed.at, (size_t)(at - packed.at));
    *ret_origin = (enum dialect_id)(letter - origin_letters);
    return true;
}

static bool
is_plain(struct slice id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.at[i];
        if (!(c == '_' || c == '-' || memchr(letters, c, sizeof(letters) - 1)))
            return false;
    }
    return id.len > 0;
}

struct slice
canon_fit_id(struct arena *a, struct slice id, size_t max)
{
    unsigned char digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    if (id.len <= max && is_plain(id))
        return id;
    hash_sha256(id.at, id.len, digest);
    hex_encode(digest, sizeof(digest), hex);
    return arena_copy(a, slice_make(hex, max < 32 ? max : 32));
}

/* --- texts ------------------------------------------------------------------------------------ */

bool
canon_data_url(struct slice url, struct slice *ret_mime, struct slice *ret_data)
{
    if (url.len < 5 || !slice_eq_nocase(slice_make(url.at, 5), SLICE("data:")))
        return false;
    struct slice rest = slice_from(url, 5), head = slice_cut(&rest, ',');
    if (!rest.at || !slice_ends(head, SLICE(";base64")))
        return false;
    head.len -= sizeof(";base64") - 1;
    *ret_mime = slice_cut(&head, ';');
    *ret_data = rest;
    return true;
}

struct slice
canon_joined_text(struct arena *a, const struct canon_part *parts, size_t count)
{
    size_t len = 0, texts = 0, last = 0, n = 0;
    for (size_t i = 0; i < count; i++)
        if (parts[i].kind == PART_TEXT) {
            len += parts[i].text.len;
            texts++;
            last = i;
        }
    if (texts == 0)
        return SLICE("");
    if (texts == 1)
        return parts[last].text.at ? parts[last].text : SLICE("");
    char *at = arena_alloc(a, len + 1);
    if (!at)
        return (struct slice){0};
    for (size_t i = 0; i < count; i++)
        if (parts[i].kind == PART_TEXT && parts[i].text.len) {
            memcpy(at + n, parts[i].text.at, parts[i].text.len);
            n += parts[i].text.len;
        }
    return slice_make(at, n);
}

/* --- effort ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int64_t budget;
} efforts[] = {
    {"none", 0},     {"minimal", 1024}, {"low", 2048},  {"medium", 8192},
    {"high", 16384}, {"xhigh", 32768},  {"max", 32768},
};
#define EFFORTS (sizeof(efforts) / sizeof(efforts[0]))

int64_t
canon_budget_of_effort(struct slice effort)
{
    for (size_t i = 0; i < EFFORTS; i++)
        if (slice_is(effort, efforts[i].name))
            return efforts[i].budget;
    return -1;
}

const char *
canon_effort_of_budget(int64_t budget)
{
    const char *name = efforts[0].name;
    for (size_t i = 1; i < EFFORTS - 1 && budget > efforts[i - 1].budget; i++)
        name = efforts[i].name;
    return name;
}
