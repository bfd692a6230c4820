/* See rule.h. */
#include "controlplane/rules/rule.h"

#include <stdarg.h>

int
rule_refuse(struct buf *why, const char *path, const char *member, const char *format, ...)
{
    va_list args;
    buf_clear(why);
    int err = buf_addf(why, "%s%s%s%s", path, path[0] && member[0] ? "." : "", member,
                       path[0] || member[0] ? ": " : "");
    va_start(args, format);
    if (!err)
        err = buf_vaddf(why, format, args);
    va_end(args);
    return err ? err : ERR_SYNTAX;
}
