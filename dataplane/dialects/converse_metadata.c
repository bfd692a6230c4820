/* What a request says about itself: AWS takes few texts, of few kinds of characters. */
#include "dataplane/dialects/converse_internal.h"

#include <string.h>

#define LIMIT_METADATA 16
#define LIMIT_METADATA_BYTES 256
#define USER_NAME "user_id"
#define RULE "takes at most 16 texts of 256 letters, digits, blanks and :_@$#=/+,-. here"

static bool
is_allowed(struct slice s)
{
    static const char marks[] = " :_@$#=/+,-.";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (c == '\0' || !strchr(marks, c)))
            return false;
    }
    return s.len <= LIMIT_METADATA_BYTES;
}

/* Names and values without escapes, of the characters that AWS allows. */
static bool
is_takeable(struct json_view metadata)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view value;
    while (json_view_next(metadata, &cursor, &name, &value))
        if (name.len == 0 || !is_allowed(name) || value.kind != JSON_TEXT ||
            !is_allowed(slice_make(value.raw.at + 1, value.raw.len - 2)))
            return false;
    return true;
}

static int
leave_out(struct converse_writing *c, const char *member)
{
    int err = dialect_leave_out(c->w, member, RULE);
    return err < 0 ? err : 0;
}

int
converse_write_metadata(struct converse_writing *c)
{
    struct json_view metadata = c->q->metadata_raw.len ? json_view_of(c->q->metadata_raw)
                                                       : (struct json_view){JSON_ABSENT, {0}};
    struct slice user = c->q->user;
    size_t count = json_view_count(metadata);
    int err = 0;
    if (count > LIMIT_METADATA || !is_takeable(metadata)) {
        err = leave_out(c, "metadata");
        count = 0;
    }
    if (!err && user.len && (!is_allowed(user) || count == LIMIT_METADATA)) {
        err = leave_out(c, "user");
        user = (struct slice){0};
    }
    if (err || (count == 0 && user.len == 0))
        return err;
    emit_name(&c->e, "requestMetadata");
    emit_map(&c->e);
    if (count > 0)
        emit_members_of(&c->e, metadata.raw);
    if (user.len && json_view_get(metadata, USER_NAME).kind == JSON_ABSENT)
        emit_text_member(&c->e, USER_NAME, user);
    emit_end_map(&c->e);
    return 0;
}
