#include "lib/base/encode.h"

#include <pthread.h>
#include <stdbool.h>

void
hex_encode(const void *bytes, size_t n, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = bytes;
    for (size_t i = 0; i < n; i++) {
        ret_text[2 * i] = digits[in[i] >> 4];
        ret_text[2 * i + 1] = digits[in[i] & 15];
    }
    ret_text[2 * n] = '\0';
}

/* -1: no digit. */
static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int
hex_decode(struct slice text, void *ret_bytes, size_t n)
{
    unsigned char *out = ret_bytes;
    if (text.len != 2 * n)
        return ERR_SYNTAX;
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(text.at[2 * i]), low = hex_digit(text.at[2 * i + 1]);
        if (high < 0 || low < 0)
            return ERR_SYNTAX;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return 0;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t
encode64(const unsigned char *in, size_t n, const char *digits, bool pad, char *out)
{
    size_t len = 0;
    for (; n >= 3; in += 3, n -= 3) {
        unsigned v = (unsigned)in[0] << 16 | (unsigned)in[1] << 8 | in[2];
        out[len++] = digits[v >> 18];
        out[len++] = digits[v >> 12 & 63];
        out[len++] = digits[v >> 6 & 63];
        out[len++] = digits[v & 63];
    }
    if (n > 0) {
        unsigned v = (unsigned)in[0] << 16 | (n == 2 ? (unsigned)in[1] << 8 : 0);
        out[len++] = digits[v >> 18];
        out[len++] = digits[v >> 12 & 63];
        if (n == 2)
            out[len++] = digits[v >> 6 & 63];
        for (size_t i = n; pad && i < 3; i++)
            out[len++] = '=';
    }
    out[len] = '\0';
    return len;
}

size_t
base64_encode(const void *bytes, size_t n, char *ret_text)
{
    return encode64(bytes, n, alphabet, true, ret_text);
}

size_t
base64url_encode(const void *bytes, size_t n, char *ret_text)
{
    return encode64(bytes, n, url_alphabet, false, ret_text);
}

/* -1: no digit of either alphabet. */
static int
digit64(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

/* Without the padding, which must make the length a multiple of four where there is one. */
static int
strip_padding(struct slice *text)
{
    size_t whole = text->len, pads = 0;
    while (text->len > 0 && pads < 2 && text->at[text->len - 1] == '=') {
        text->len--;
        pads++;
    }
    if ((pads > 0 && whole % 4 != 0) || text->len % 4 == 1)
        return ERR_SYNTAX;
    return 0;
}

int
base64_decode(struct slice text, void *ret_bytes, size_t *ret_len)
{
    unsigned char *out = ret_bytes;
    unsigned held = 0, bits = 0;
    size_t len = 0;
    if (strip_padding(&text) < 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < text.len; i++) {
        int d = digit64(text.at[i]);
        if (d < 0)
            return ERR_SYNTAX;
        held = held << 6 | (unsigned)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[len++] = (unsigned char)(held >> bits);
        }
    }
    if (held & ((1u << bits) - 1))
        return ERR_SYNTAX; /* bits that no encoder sets: two texts for the same bytes */
    *ret_len = len;
    return 0;
}

/* --- CRC-32C, CRC-32 -------------------------------------------------------------------------- */

typedef uint32_t (*crc_function)(uint32_t crc, const unsigned char *at, size_t n);

/* Reflected polynomials: Castagnoli's, and that of IEEE 802.3. */
#define CASTAGNOLI 0x82f63b78u
#define ETHERNET 0xedb88320u

static uint32_t crc_table[256], ethernet_table[256];

static uint32_t
crc_with(const uint32_t table[static 256], uint32_t crc, const unsigned char *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        crc = crc >> 8 ^ table[(crc ^ at[i]) & 255];
    return crc;
}

static uint32_t
crc_by_table(uint32_t crc, const unsigned char *at, size_t n)
{
    return crc_with(crc_table, crc, at, n);
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t
crc_by_instruction(uint32_t crc, const unsigned char *at, size_t n)
{
    uint64_t wide = crc;
    for (; n >= 8; at += 8, n -= 8) {
        uint64_t v;
        __builtin_memcpy(&v, at, 8);
        wide = __builtin_ia32_crc32di(wide, v);
    }
    crc = (uint32_t)wide;
    for (; n > 0; at++, n--)
        crc = __builtin_ia32_crc32qi(crc, *at);
    return crc;
}
#endif

static crc_function crc_best = crc_by_table;
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void
fill_table(uint32_t table[static 256], uint32_t polynomial)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t v = i;
        for (int bit = 0; bit < 8; bit++)
            v = v & 1 ? v >> 1 ^ polynomial : v >> 1;
        table[i] = v;
    }
}

static void
crc_prepare(void)
{
    fill_table(crc_table, CASTAGNOLI);
    fill_table(ethernet_table, ETHERNET);
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        crc_best = crc_by_instruction;
#endif
}

uint32_t
crc32c(uint32_t crc, const void *bytes, size_t n)
{
    pthread_once(&crc_once, crc_prepare);
    return ~crc_best(~crc, bytes, n);
}

uint32_t
crc32(uint32_t crc, const void *bytes, size_t n)
{
    pthread_once(&crc_once, crc_prepare);
    return ~crc_with(ethernet_table, ~crc, bytes, n);
}
