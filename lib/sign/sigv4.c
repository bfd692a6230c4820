#include "lib/sign/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/buf.h"
#include "lib/base/encode.h"
#include "lib/base/hash.h"
#include "lib/base/secret.h"
#include "lib/sign/sigv4_canonical.h"

#define OWN_HEADERS 4
#define LIMIT_SECRET_BYTES 512
#define LIMIT_SCOPE_BYTES 256
#define DAY_DIGITS 8

static const char algorithm[] = "AWS4-HMAC-SHA256";

static int
format_date(int64_t wall_ms, char into[static 17])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    if (wall_ms < 0 || !gmtime_r(&seconds, &tm) || tm.tm_year > 9999 - 1900)
        return ERR_RANGE;
    return strftime(into, 17, "%Y%m%dT%H%M%SZ", &tm) == 16 ? 0 : ERR_RANGE;
}

static int
mac_with(const void *key, size_t key_len, struct slice message, unsigned char mac[SHA256_BYTES])
{
    struct hmac *h = hmac_new(key, key_len);
    if (!h)
        return ERR_NOMEM;
    hmac_sha256(h, message.at, message.len, mac);
    hmac_free(h);
    return 0;
}

/* The key of one day, region and service, then its MAC of the text. */
static int
mac_chain(struct slice secret_key, const struct slice steps[static 5], unsigned char *mac)
{
    char first[4 + LIMIT_SECRET_BYTES];
    if (secret_key.len > LIMIT_SECRET_BYTES)
        return ERR_LIMIT;
    memcpy(first, "AWS4", 4);
    memcpy(first + 4, secret_key.at, secret_key.len);
    int err = mac_with(first, 4 + secret_key.len, steps[0], mac);
    for (size_t i = 1; i < 5 && err == 0; i++)
        err = mac_with(mac, SHA256_BYTES, steps[i], mac);
    secret_wipe(first, sizeof first);
    return err;
}

static int
sign_text(const struct sigv4_request *r, const struct sigv4_key *key, const char *date,
          struct slice canonical, char scope[static LIMIT_SCOPE_BYTES],
          unsigned char mac[static SHA256_BYTES])
{
    unsigned char digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1], text[LIMIT_SCOPE_BYTES + 128];
    int n = snprintf(scope, LIMIT_SCOPE_BYTES, "%.*s/%.*s/%.*s/aws4_request", DAY_DIGITS, date,
                     SLICE_ARG(r->region), SLICE_ARG(r->service));
    if (n < 0 || n >= LIMIT_SCOPE_BYTES)
        return ERR_LIMIT;
    hash_sha256(canonical.at, canonical.len, digest);
    hex_encode(digest, sizeof digest, hex);
    n = snprintf(text, sizeof text, "%s\n%s\n%s\n%s", algorithm, date, scope, hex);
    struct slice steps[5] = {{date, DAY_DIGITS},
                             r->region,
                             r->service,
                             SLICE("aws4_request"),
                             slice_make(text, (size_t)n)};
    return mac_chain(key->secret_key, steps, mac);
}

static size_t
gather_headers(const struct sigv4_request *r, const struct sigv4_key *key,
               const struct sigv4_signature *s, struct sigv4_header *into)
{
    size_t count = r->header_count;
    if (count > 0)
        memcpy(into, r->headers, count * sizeof into[0]);
    into[count++] = (struct sigv4_header){SLICE("host"), r->host};
    into[count++] = (struct sigv4_header){SLICE("x-amz-date"), slice_of(s->date)};
    if (key->session_token.len > 0)
        into[count++] = (struct sigv4_header){SLICE("x-amz-security-token"), key->session_token};
    if (r->sign_content)
        into[count++] =
            (struct sigv4_header){SLICE("x-amz-content-sha256"), slice_of(s->content_sha256)};
    return count;
}

static int
write_authorization(const struct sigv4_key *key, const char *scope, struct slice names,
                    const unsigned char mac[static SHA256_BYTES], struct sigv4_signature *s)
{
    char hex[2 * SHA256_BYTES + 1];
    hex_encode(mac, SHA256_BYTES, hex);
    int n = snprintf(s->authorization, sizeof s->authorization,
                     "%s Credential=%.*s/%s, SignedHeaders=%.*s, Signature=%s", algorithm,
                     SLICE_ARG(key->access_key), scope, SLICE_ARG(names), hex);
    return n < 0 || (size_t)n >= sizeof s->authorization ? ERR_LIMIT : 0;
}

static int
sign_canonical(const struct sigv4_request *r, const struct sigv4_key *key, struct buf *canonical,
               struct sigv4_signature *s)
{
    struct sigv4_header headers[LIMIT_SIGV4_HEADERS];
    unsigned char mac[SHA256_BYTES];
    char scope[LIMIT_SCOPE_BYTES];
    size_t names_at = 0, names_len = 0, count = gather_headers(r, key, s, headers);
    int err =
        sigv4_canonical(r, headers, count, s->content_sha256, canonical, &names_at, &names_len);
    if (err == 0)
        err = sign_text(r, key, s->date, buf_slice(canonical), scope, mac);
    if (err == 0)
        err = write_authorization(key, scope, slice_make(canonical->at + names_at, names_len), mac,
                                  s);
    secret_wipe(mac, sizeof mac);
    return err;
}

int
sigv4_sign(const struct sigv4_request *r, const struct sigv4_key *key,
           struct sigv4_signature *ret_signature)
{
    unsigned char digest[SHA256_BYTES];
    struct buf canonical;
    if (r->method.len == 0 || r->host.len == 0 || r->region.len == 0 || r->service.len == 0 ||
        key->access_key.len == 0 || key->secret_key.len == 0)
        return ERR_SYNTAX;
    if (r->header_count > LIMIT_SIGV4_HEADERS - OWN_HEADERS)
        return ERR_LIMIT;
    int err = format_date(r->wall_ms, ret_signature->date);
    if (err != 0)
        return err;
    hash_sha256_pieces(r->body, r->body_count, digest);
    hex_encode(digest, sizeof digest, ret_signature->content_sha256);
    buf_init(&canonical, LIMIT_SIGV4_CANONICAL_BYTES);
    err = sign_canonical(r, key, &canonical, ret_signature);
    buf_wipe(&canonical); /* the session token is in it */
    return err;
}
