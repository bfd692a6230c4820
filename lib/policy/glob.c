#include "lib/policy/policy.h"

#include <string.h>

/* Each piece between stars is searched once, from the end of the piece before: the leftmost place
 * is always as good as any. memmem() is linear, so all of it is. */
bool
glob_match(struct slice pattern, struct slice text)
{
    size_t star = slice_find(pattern, '*', 0);
    struct slice piece;

    if (star == pattern.len)
        return slice_eq(pattern, text);
    if (!slice_starts(text, slice_make(pattern.at, star)))
        return false;
    text = slice_from(text, star);
    pattern = slice_from(pattern, star + 1);
    while ((star = slice_find(pattern, '*', 0)) < pattern.len) {
        const char *hit;

        piece = slice_make(pattern.at, star);
        pattern = slice_from(pattern, star + 1);
        if (piece.len == 0)
            continue;
        if (text.len == 0 || !(hit = memmem(text.at, text.len, piece.at, piece.len)))
            return false;
        text = slice_from(text, (size_t)(hit - text.at) + piece.len);
    }
    return slice_ends(text, pattern);
}
