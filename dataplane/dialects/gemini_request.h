/* Reading a client's request: what its files share. */
#ifndef DATAPLANE_DIALECTS_GEMINI_REQUEST_H
#define DATAPLANE_DIALECTS_GEMINI_REQUEST_H

#include "dataplane/dialects/gemini_internal.h"

/* Of one request: results are looked for among all of them. */
#define LIMIT_HISTORY_CALLS 4096

/* A call of the history, to be matched with its result. */
struct gemini_call {
    struct slice id, name;
    bool answered;
};

struct gemini_reader {
    struct arena *a;
    struct canon_request *q;
    struct dialect_refusal *why;
    struct canon_message *messages;
    struct gemini_call *calls;
    size_t call_count;
    struct canon_extra *extras;
    size_t extra_count, extra_cap;
};

/* ERR_SYNTAX, the message of which begins with the member; `rule` ends it ("must be a list"). */
MUST_CHECK int gemini_refuse(struct gemini_reader *r, const char *member, const char *rule);
/* A text that may be absent or null; anything else is refused. */
MUST_CHECK int gemini_text_at(struct gemini_reader *r, struct json_view v, const char *member,
                              struct slice *ret);
/* Keeps a member without canonical meaning. */
MUST_CHECK int gemini_keep_extra(struct gemini_reader *r, const char *below, struct slice name,
                                 struct json_view v);

/* contents and systemInstruction to messages (gemini_contents.c). */
MUST_CHECK int gemini_read_contents(struct gemini_reader *r, struct json_view contents,
                                    struct json_view system);
/* tools, toolConfig (gemini_tools.c). */
MUST_CHECK int gemini_read_tools(struct gemini_reader *r, struct json_view tools,
                                 struct json_view config);

#endif
