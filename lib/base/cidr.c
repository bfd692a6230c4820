#include "lib/base/cidr.h"

#include <arpa/inet.h>
#include <string.h>

#define ADDRESS_TEXT_BYTES 64

/* How many bytes of address: 4, 16, or 0 when it is none. */
static size_t
parse_address(struct slice text, unsigned char ret[static 16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    char copy[ADDRESS_TEXT_BYTES];
    struct slice address = slice_make(text.at, slice_find(text, '%', 0)); /* without its zone */

    if (address.len == 0 || address.len >= sizeof(copy) ||
        memchr(address.at, '\0', address.len) != NULL)
        return 0;
    memcpy(copy, address.at, address.len);
    copy[address.len] = '\0';
    if (inet_pton(AF_INET, copy, ret) == 1)
        return 4;
    if (inet_pton(AF_INET6, copy, ret) != 1)
        return 0;
    if (memcmp(ret, mapped, sizeof(mapped)) != 0)
        return 16;
    memmove(ret, ret + sizeof(mapped), 4);
    return 4;
}

static bool
same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
    unsigned bytes = bits / 8, rest = bits % 8;

    return memcmp(a, b, bytes) == 0 && (rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0);
}

/* Whether all bits behind the prefix are zero. */
static bool
is_network(const unsigned char *address, size_t len, unsigned bits)
{
    for (size_t i = bits; i < 8 * len; i++)
        if (address[i / 8] & (0x80 >> i % 8))
            return false;
    return true;
}

int
cidr_parse(struct slice text, struct cidr *ret, const char **ret_why)
{
    struct slice rest = text;
    struct slice address = slice_cut(&rest, '/');
    unsigned char bytes[16];
    size_t len = slice_find(address, '%', 0) < address.len ? 0 : parse_address(address, bytes);
    unsigned long long bits = 8 * len;

    *ret_why = "an address or a range of addresses, such as 10.0.0.0/8 or 2001:db8::/32";
    if (len == 0 || (rest.at && (rest.len == 0 || slice_to_u64(rest, &bits) != 0)))
        return ERR_SYNTAX;
    if (len == 4 && memchr(address.at, ':', address.len) && rest.at)
        return ERR_SYNTAX; /* of which of the two would the prefix be? */
    *ret_why = "the prefix is longer than the address";
    if (bits > 8 * len)
        return ERR_SYNTAX;
    *ret_why = "the address has bits behind its prefix: 10.1.2.3/8 is 10.0.0.0/8";
    if (!is_network(bytes, len, (unsigned)bits))
        return ERR_SYNTAX;
    ret->at[0] = (unsigned char)bits;
    memcpy(ret->at + 1, bytes, len);
    ret->len = 1 + len;
    return 0;
}

bool
cidr_is_valid(struct slice packed)
{
    return (packed.len == 5 || packed.len == 17) &&
           (unsigned char)packed.at[0] <= 8 * (packed.len - 1);
}

bool
cidr_has(struct slice packed, struct slice address)
{
    unsigned char bytes[16];
    size_t len = parse_address(address, bytes);

    return len > 0 && cidr_is_valid(packed) && packed.len == 1 + len &&
           same_prefix((const unsigned char *)packed.at + 1, bytes, (unsigned char)packed.at[0]);
}
