/* Which addresses the egress guard takes for public: IANA's special-purpose registries, turned
 * round. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "lib/net/dns.h"

struct range4 {
    uint32_t prefix;
    int bits;
};

/* IANA IPv4 Special-Purpose Address Registry, and multicast. */
static const struct range4 not_public4[] = {
    {0x00000000, 8},  /* this network */
    {0x0a000000, 8},  /* private */
    {0x64400000, 10}, /* carrier-grade NAT */
    {0x7f000000, 8},  /* loopback */
    {0xa9fe0000, 16}, /* link-local, cloud metadata */
    {0xac100000, 12}, /* private */
    {0xc0000000, 24}, /* IETF protocols */
    {0xc0000200, 24}, /* documentation */
    {0xc0586300, 24}, /* 6to4 relays */
    {0xc0a80000, 16}, /* private */
    {0xc6120000, 15}, /* benchmarking */
    {0xc6336400, 24}, /* documentation */
    {0xcb007100, 24}, /* documentation */
    {0xe0000000, 4},  /* multicast */
    {0xf0000000, 4},  /* reserved, broadcast */
};

static bool
is_private4(uint32_t a)
{
    for (size_t i = 0; i < sizeof not_public4 / sizeof *not_public4; i++)
        if ((a >> (32 - not_public4[i].bits)) ==
            (not_public4[i].prefix >> (32 - not_public4[i].bits)))
            return true;
    return false;
}

static uint32_t
read32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool
has_prefix(const uint8_t *a, const char *prefix, int bits)
{
    int bytes = bits / 8, rest = bits % 8;
    if (memcmp(a, prefix, (size_t)bytes) != 0)
        return false;
    return rest == 0 || ((a[bytes] ^ (uint8_t)prefix[bytes]) >> (8 - rest)) == 0;
}

static bool
is_private6(const uint8_t *a)
{
    if (has_prefix(a, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 96)) /* IPv4-mapped */
        return is_private4(read32(a + 12));
    if (has_prefix(a, "\0\x64\xff\x9b\0\0\0\0\0\0\0\0", 96)) /* NAT64 */
        return is_private4(read32(a + 12));
    if ((a[0] & 0xe0) !=
        0x20) /* outside 2000::/3: loopback, unique and link local, multicast, ... */
        return true;
    if (has_prefix(a, "\x20\x02", 16)) /* 6to4 */
        return is_private4(read32(a + 2));
    return has_prefix(a, "\x20\x01\0\0", 23) ||     /* IETF protocols, Teredo, ORCHID */
           has_prefix(a, "\x20\x01\x0d\xb8", 32) || /* documentation */
           has_prefix(a, "\x3f\xff\0\0", 20);       /* documentation */
}

bool
address_is_private(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return is_private4(ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr));
    if (a->sa_family == AF_INET6)
        return is_private6(((const struct sockaddr_in6 *)(const void *)a)->sin6_addr.s6_addr);
    return true;
}

bool
address_is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)a;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    if (a->sa_family != AF_INET6)
        return false;
    const uint8_t *bytes = ((const struct sockaddr_in6 *)(const void *)a)->sin6_addr.s6_addr;
    return has_prefix(bytes, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 128) ||
           (has_prefix(bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 96) && bytes[12] == 127);
}
