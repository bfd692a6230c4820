/*
 * Private to chat*.c: the parts of the chat-completions dialect, one file each.
 */
#ifndef DATAPLANE_DIALECTS_CHAT_INTERNAL_H
#define DATAPLANE_DIALECTS_CHAT_INTERNAL_H

#include "dataplane/dialects/dialect.h"
#include "lib/json/emit.h"
#include "lib/json/view.h"

/* --- untouched: chat_brief.c, chat_watch.c ---------------------------------------------------- */

int chat_brief(struct slice body, const struct dialect_call *call, struct arena *a,
               struct request_brief *ret, struct dialect_refusal *why);
int chat_limit_output(struct slice body, const struct dialect_target *t, int64_t n, struct arena *a,
                      struct output_edits *ret);
int chat_address(const struct dialect_target *t, bool stream, struct arena *a,
                 struct dialect_address *ret);
int chat_watch(struct watched *w, struct slice name, struct slice data, enum watch_verdict *ret);
int chat_look(struct slice body, struct usage_report *report, bool *ret_error);

/* --- reading a client's request --------------------------------------------------------------- */

/* What the readers of a request share. */
struct chat_reader {
    struct arena *arena;
    struct dialect_refusal *why;
    struct canon_request *q;
};

/* Refuses the member at `path` (printf), with a sentence about it. */
#define CHAT_PATH_BYTES 96
MUST_CHECK int chat_refuse(struct chat_reader *r, const char *path, const char *sentence);

/* chat_request.c */
int chat_read_request(struct slice body, const struct dialect_call *call, struct arena *a,
                      struct canon_request *ret, struct dialect_refusal *why);
/* chat_messages.c: the list of messages into r->q. */
MUST_CHECK int chat_read_messages(struct chat_reader *r, struct json_view list);
/* chat_parts.c: content (text, list or null) into at[0..*count), of which there are cap.
 * *count goes up. */
MUST_CHECK int chat_read_content(struct chat_reader *r, struct json_view content, const char *path,
                                 struct canon_part *at, size_t *count);
/* How many parts content may become. */
size_t chat_count_content(struct json_view content);
enum canon_cache chat_read_cache(struct json_view cache_control);
/* chat_reasoning.c: reasoning of an assistant's message, as it stands in a request. The parts are
 * appended to at[0..*count); `position` gets each one's place in the message, or -1. */
MUST_CHECK int chat_read_reasoning(struct chat_reader *r, struct json_view message,
                                   const char *path, struct canon_part *at, int64_t *position,
                                   size_t *count);
/* An entry of reasoning_details without its text, signature and data. */
MUST_CHECK int chat_detail_rest(struct arena *a, struct json_view entry, struct slice *ret);
size_t chat_count_reasoning(struct json_view message);
/* Annotations ([{"type":"url_citation",...}]) as citations. */
MUST_CHECK int chat_read_annotations(struct arena *a, struct json_view list,
                                     const struct canon_citation **ret, size_t *ret_count);

/* --- writing for a client: chat_write.c, chat_encode.c, chat_details.c -------------------------
 */

int chat_write_answer(const struct canon_request *q, const struct canon_answer *answer,
                      const struct answer_names *names, struct buf *into);
extern const struct dialect_encoder chat_encoder;
const char *chat_finish_name(enum canon_finish f);
void chat_emit_usage(struct json_emit *e, const struct usage_report *u);
void chat_emit_citation(struct json_emit *e, const struct canon_citation *c);
/* The members of a tool call: id, type, function or custom, and a signature where it has one.
 * arguments: at == NULL: "" (they come later). */
MUST_CHECK int chat_emit_call(struct json_emit *e, struct arena *a, const struct canon_part *call,
                              struct slice arguments);
/* The same with an id that is written as it is, and all arguments. */
void chat_emit_call_as(struct json_emit *e, const struct canon_part *call, struct slice id);
/* Whether a part has what only reasoning_details can take: a signature, encrypted text, an item. */
bool chat_needs_detail(const struct canon_part *p);
/* That entry. index: of chat_place(), so that it comes back where it was. */
void chat_emit_detail(struct json_emit *e, const struct canon_part *p, size_t index);
/* The place that the next part has in a message, where all texts are one. */
struct chat_places {
    size_t next;
    bool has_text;
};
size_t chat_place(struct chat_places *places, enum canon_part_kind kind);

/* --- errors: chat_error.c --------------------------------------------------------------------- */

int chat_write_error(const struct canon_error *e, struct buf *into);
int chat_write_error_event(const struct canon_error *e, struct buf *into);
int chat_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret);

/* --- writing for a provider: chat_order.c, chat_turns.c --------------------------------------- */

struct compat;
struct chat_writer {
    const struct canon_request *q;
    struct dialect_writer *w;
    struct json_emit *e;
    enum provider_kind kind;
    const struct compat *compat;
    bool is_openai;       /* OpenAI's own API, Azure's included */
    const char *required; /* the word for it in tool_choice */
    bool media_begun;     /* a message for the pictures of results is open */
};
MUST_CHECK int chat_emit_messages(struct chat_writer *o);
/* A cache marker, where the provider knows them. */
void chat_emit_cache(struct chat_writer *o, enum canon_cache cache);

/* --- as providers speak it: chat_order.c, chat_answer.c, chat_stream.c -------------------------
 */

int chat_write_request(const struct canon_request *q, struct dialect_writer *w, struct buf *into);
bool chat_wants_inline(const struct dialect_target *t, const struct canon_part *part);
int chat_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                     struct canon_answer *ret, const char **ret_why);
extern const struct dialect_decoder chat_decoder;
bool chat_is_error(struct json_view root);
/* A whole answer as events. The texts told lie in `root` or the arena. */
MUST_CHECK int chat_tell_answer(struct json_view root, const struct dialect_exchange *x,
                                struct arena *a, const struct canon_sink *sink);

#endif
