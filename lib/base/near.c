#include "lib/base/near.h"

#include <stdint.h>

#define MAX_BYTES 48

static char
fold(char c)
{
    if (c == '-')
        return '_';
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment, the whole matrix: rows are prefixes of a, columns of b. */
size_t
near_distance(struct slice a, struct slice b)
{
    size_t d[MAX_BYTES + 1][MAX_BYTES + 1];
    if (a.len > MAX_BYTES || b.len > MAX_BYTES)
        return SIZE_MAX;
    for (size_t i = 0; i <= a.len; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= b.len; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        for (size_t j = 1; j <= b.len; j++) {
            char x = fold(a.at[i - 1]), y = fold(b.at[j - 1]);
            size_t best = least(d[i - 1][j] + 1, d[i][j - 1] + 1);
            best = least(best, d[i - 1][j - 1] + (x == y ? 0 : 1));
            if (i > 1 && j > 1 && x == fold(b.at[j - 2]) && fold(a.at[i - 2]) == y)
                best = least(best, d[i - 2][j - 2] + 1);
            d[i][j] = best;
        }
    }
    return d[a.len][b.len];
}

bool
near_enough(struct slice name, struct slice candidate, size_t distance)
{
    size_t longer = name.len > candidate.len ? name.len : candidate.len;
    return distance != SIZE_MAX && distance * 3 <= longer;
}
