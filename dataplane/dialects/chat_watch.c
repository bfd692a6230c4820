/* What goes by of a chat answer on the untouched way: usage, errors, the end. */
#include "dataplane/dialects/chat_internal.h"
#include "dataplane/dialects/openai.h"

#include <string.h>

enum { SEEN_USAGE, SEEN_ERROR, SEEN_CHOICES, SEEN_OBJECT, SEEN_GROQ, SEEN_TIER, SEEN_NAMES };
static const char *const seen_names[SEEN_NAMES] = {"usage",  "error",  "choices",
                                                   "object", "x_groq", "service_tier"};

static bool
is_given(struct json_span at)
{
    return at.kind != JSON_ABSENT && at.kind != JSON_NULL_;
}

/* In whichever clothes it comes: an error member, or (older vLLM) an object of that name. */
static bool
is_error(struct slice data, const struct json_span *at)
{
    return is_given(at[SEEN_ERROR]) || (at[SEEN_OBJECT].kind == JSON_TEXT &&
                                        slice_is(json_raw(data, at[SEEN_OBJECT]), "\"error\""));
}

static bool
is_empty_list(struct slice data, struct json_span list)
{
    size_t cursor = list.start;
    struct json_span name, value;
    return list.kind == JSON_LIST && !json_next(data, list, &cursor, &name, &value);
}

/* A member of a map that lies in valid text. */
static struct json_span
member_of(struct slice data, struct json_span map, const char *quoted)
{
    size_t cursor = map.start;
    struct json_span name, value, found = {.kind = JSON_ABSENT};
    while (map.kind == JSON_MAP && json_next(data, map, &cursor, &name, &value))
        if (slice_is(json_raw(data, name), quoted))
            found = value;
    return found;
}

/* Usage where it should be, or where Groq and Moonshot put it. */
static void
read_usage(struct slice data, const struct json_span *at, struct usage_report *report)
{
    struct json_span usage = at[SEEN_USAGE], name, choice;
    size_t cursor = at[SEEN_CHOICES].start;
    if (usage.kind != JSON_MAP)
        usage = member_of(data, at[SEEN_GROQ], "\"usage\"");
    if (usage.kind != JSON_MAP && at[SEEN_CHOICES].kind == JSON_LIST) {
        struct slice choices = json_raw(data, at[SEEN_CHOICES]);
        if (memmem(choices.at, choices.len, "\"usage\"", 7) &&
            json_next(data, at[SEEN_CHOICES], &cursor, &name, &choice))
            usage = member_of(data, choice, "\"usage\"");
    }
    if (usage.kind == JSON_MAP)
        openai_read_usage(json_raw(data, usage), report);
}

/* "default", or whose prices apply; a tier that we do not know changes nothing. */
static void
read_tier(struct slice data, const struct json_span *at, struct usage_report *report)
{
    struct slice text = json_raw(data, at[SEEN_TIER]);
    enum service_tier tier;
    if (at[SEEN_TIER].kind == JSON_TEXT &&
        service_tier_parse(slice_make(text.at + 1, text.len - 2), &tier) == 0)
        report->tier = tier;
}

/* Whether a choice says why it ended. */
static bool
has_finish(struct slice data, struct json_span choices)
{
    size_t cursor = choices.start;
    struct json_span name, choice;
    while (choices.kind == JSON_LIST && json_next(data, choices, &cursor, &name, &choice)) {
        struct json_span reason = member_of(data, choice, "\"finish_reason\"");
        if (reason.kind == JSON_TEXT && reason.end - reason.start > 2)
            return true;
    }
    return false;
}

int
chat_watch(struct watched *w, struct slice name, struct slice data, enum watch_verdict *ret)
{
    struct json_span at[SEEN_NAMES];
    struct json_error why;
    *ret = WATCH_PASS;
    if (slice_is(data, "[DONE]")) {
        *ret = WATCH_DONE;
        return 0;
    }
    if (slice_is(name, "error")) {
        *ret = WATCH_BROKEN;
        return 0;
    }
    if (json_scan(data, &json_limits_default, seen_names, SEEN_NAMES, at, NULL, &why))
        return ERR_PROTOCOL;
    if (is_error(data, at)) {
        *ret = WATCH_BROKEN;
        return 0;
    }
    read_usage(data, at, w->report);
    read_tier(data, at, w->report);
    if (w->strip_usage && at[SEEN_USAGE].kind == JSON_MAP &&
        is_empty_list(data, at[SEEN_CHOICES])) {
        *ret = WATCH_DROP; /* the chunk that only we had asked for */
    } else if (w->strip_usage && at[SEEN_USAGE].kind == JSON_NULL_) {
        w->cut = at[SEEN_USAGE];
        *ret = WATCH_CUT;
    } else if (w->done_is_optional && !w->may_end && has_finish(data, at[SEEN_CHOICES])) {
        w->may_end = true;
        *ret = WATCH_MAY_END;
    }
    return 0;
}

int
chat_look(struct slice body, struct usage_report *report, bool *ret_error)
{
    struct json_span at[SEEN_NAMES], root;
    struct json_error why;
    *ret_error = false;
    if (json_scan(body, &json_limits_default, seen_names, SEEN_NAMES, at, &root, &why) ||
        root.kind != JSON_MAP)
        return ERR_PROTOCOL;
    *ret_error = is_error(body, at);
    if (*ret_error)
        return 0;
    read_usage(body, at, report);
    read_tier(body, at, report);
    return 0;
}
