/* What the files of the Anthropic dialect share. */
#ifndef DATAPLANE_DIALECTS_ANTHROPIC_INTERNAL_H
#define DATAPLANE_DIALECTS_ANTHROPIC_INTERNAL_H

#include "dataplane/dialects/dialect.h"
#include "lib/json/emit.h"
#include "lib/json/view.h"

/* --- untouched (anthropic_brief.c) ------------------------------------------------------------ */

int anthropic_limit_output(struct slice body, const struct dialect_target *t, int64_t n,
                           struct arena *a, struct output_edits *ret);
int anthropic_brief(struct slice body, const struct dialect_call *call, struct arena *a,
                    struct request_brief *ret, struct dialect_refusal *why);
int anthropic_watch(struct watched *w, struct slice name, struct slice data,
                    enum watch_verdict *ret);
int anthropic_look(struct slice body, struct usage_report *report, bool *ret_error);

enum anthropic_event {
    ANTHROPIC_UNKNOWN, /* a later one: clients are told to pass over it */
    ANTHROPIC_MESSAGE_START,
    ANTHROPIC_BLOCK_START,
    ANTHROPIC_BLOCK_DELTA,
    ANTHROPIC_BLOCK_STOP,
    ANTHROPIC_MESSAGE_DELTA,
    ANTHROPIC_MESSAGE_STOP,
    ANTHROPIC_PING,
    ANTHROPIC_ERROR,
    ANTHROPIC_EVENTS
};
/* By the "type" of its data; where there is none, by the name of the event. */
enum anthropic_event anthropic_event_of(struct json_view type, struct slice name);

/* --- usage (anthropic_usage.c) ---------------------------------------------------------------- */

/* Takes a usage object into *report: what it states stands for what was stated before, member by
 * member (the counts of message_delta are cumulative and may be smaller than those of
 * message_start). */
void anthropic_take_usage(struct json_view usage, struct usage_report *report);
/* The same of message_start's message, whose output is what there was at that moment: a stream that
 * ends without more has not said what it gave, and has_output stays as it was. So does has_input
 * where there was none: nobody answers nothing, but who counts later says so (gateways). A message
 * that comes whole, with its stop_reason (programmatic tool calls do), has counted all. */
void anthropic_begin_usage(struct json_view message, struct usage_report *report);

/* --- answers (anthropic_answer.c, anthropic_stream.c) ----------------------------------------- */

/* A block of an answer. 0, ERR_SYNTAX, ERR_NOMEM. */
MUST_CHECK int anthropic_read_block(struct json_view block, struct arena *a,
                                    struct canon_part *ret);
MUST_CHECK int anthropic_read_citation(struct json_view v, struct arena *a,
                                       struct canon_citation *ret);
/* Whether it is the call that stands for structured output. */
bool anthropic_is_json_call(const struct canon_part *part);
enum canon_finish anthropic_finish_of(struct slice reason, bool has_calls);
int anthropic_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                          struct canon_answer *ret, const char **ret_why);
extern const struct dialect_decoder anthropic_decoder;

/* --- errors (anthropic_error.c) --------------------------------------------------------------- */

int anthropic_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret);
int anthropic_write_error(const struct canon_error *e, struct buf *into);
int anthropic_write_error_event(const struct canon_error *e, struct buf *into);

/* --- requests to a provider ------------------------------------------------------------------- */

struct anthropic_model {
    const char *begins; /* names that begin so */
    int64_t max_output;
    bool thinks;
    bool manual;   /* thinking with a budget */
    bool adaptive; /* thinking as much as it sees fit */
    bool unasked;  /* thinks when nothing is said about it */
    bool sampling; /* takes temperature, top_p, top_k */
    bool both;     /* temperature and top_p together */
    bool schema;   /* output_config.format, strict tools */
    bool effort;   /* output_config.effort: low, medium, high, and: */
    bool xhigh, max;
};
const struct anthropic_model *anthropic_model_of(struct slice name);

/* Whether a schema can be said as structured output takes it: only closed objects. */
bool anthropic_schema_fits(struct json_view schema);
void anthropic_emit_schema(struct json_emit *e, struct json_view schema, struct arena *a);

/* A search of the web as other dialects ask for it (anthropic_search.c): by a tool or, in chat
 * completions, by a member. *ret_options: where it says more about it. */
bool anthropic_is_search(const struct canon_tool *t);
bool anthropic_is_search_option(const struct canon_request *q, const struct canon_extra *x);
bool anthropic_asks_search(const struct canon_request *q, struct json_view *ret_options);
void anthropic_emit_search(struct json_emit *e, struct json_view options);

/* What is decided before anything is written (anthropic_plan.c). */
struct anthropic_plan {
    const struct anthropic_model *model;
    enum { THINK_UNSAID, THINK_OFF, THINK_BUDGET, THINK_ADAPTIVE } thinking;
    int64_t budget, max_tokens;
    const char *effort; /* NULL: unsaid */
    enum { JSON_UNSAID, JSON_NATIVE, JSON_TOOL, JSON_IN_WORDS } json;
    size_t lead;         /* messages that are the system prompt */
    bool frames;         /* system messages behind them stand in the user's turns, in a frame */
    unsigned char *sent; /* one for each part of each message, in order: whether it is written */
    size_t skip_caches;  /* breakpoints beyond what is allowed: the first ones are left out */
};
/* 0, ERR_DENIED, ERR_NOMEM. */
MUST_CHECK int anthropic_make_plan(const struct canon_request *q, struct dialect_writer *w,
                                   struct anthropic_plan *ret);
/* What the client calls a member: for refusals. */
enum anthropic_said {
    SAID_REASONING,
    SAID_TEMPERATURE,
    SAID_TOP_P,
    SAID_TOP_K,
    SAID_FREQUENCY,
    SAID_PRESENCE,
    SAID_SEED,
    SAID_CHOICES,
    SAID_STOP,
    SAID_TIER,
    SAID_MEMBERS
};
const char *anthropic_said(const struct canon_request *q, enum anthropic_said what);
/* Whether a number's text says just that. */
bool anthropic_number_is(struct slice number, double value);
bool anthropic_number_above(struct slice number, double value);
bool anthropic_has_words(struct slice text); /* more than white space */

int anthropic_write_request(const struct canon_request *q, struct dialect_writer *w,
                            struct buf *into);
bool anthropic_wants_inline(const struct dialect_target *t, const struct canon_part *part);
/* The "system" and "messages" members (anthropic_turns.c). 0 or a failure of the emitter. */
void anthropic_emit_turns(struct json_emit *e, const struct canon_request *q,
                          struct anthropic_plan *p, struct arena *a);
/* Whether a media part can be sent: 0; 1 left out; ERR_DENIED. */
MUST_CHECK int anthropic_check_media(const struct canon_part *part, struct dialect_writer *w,
                                     const char *member);
bool anthropic_media_fits(const struct canon_part *part);
void anthropic_emit_media(struct json_emit *e, const struct canon_part *part, struct arena *a);
/* How many breakpoints would be written if none were left out. */
size_t anthropic_count_caches(const struct canon_request *q, const struct anthropic_plan *p);
/* The member cache_control, when the part is to have one. */
void anthropic_emit_cache(struct json_emit *e, struct anthropic_plan *p, enum canon_cache cache);

/* --- requests of a client --------------------------------------------------------------------- */

/* All that is read: none may appear twice. */
enum anthropic_member {
    ANTHROPIC_MODEL,
    ANTHROPIC_STREAM,
    ANTHROPIC_MAX_TOKENS,
    ANTHROPIC_MESSAGES,
    ANTHROPIC_TOOLS,
    ANTHROPIC_METADATA,
    ANTHROPIC_SYSTEM,
    ANTHROPIC_TEMPERATURE,
    ANTHROPIC_TOP_P,
    ANTHROPIC_TOP_K,
    ANTHROPIC_TOOL_CHOICE,
    ANTHROPIC_STOPS,
    ANTHROPIC_THINKING,
    ANTHROPIC_OUTPUT_CONFIG,
    ANTHROPIC_OUTPUT_FORMAT,
    ANTHROPIC_TIER,
    ANTHROPIC_CACHE,
    ANTHROPIC_MEMBERS
};
extern const char *const anthropic_members[ANTHROPIC_MEMBERS];

int anthropic_read_request(struct slice body, const struct dialect_call *call, struct arena *a,
                           struct canon_request *ret, struct dialect_refusal *why);
/* "system" and "messages" (anthropic_blocks.c); `cache`: the top-level cache_control, a marker on
 * the last block that may have one. */
MUST_CHECK int anthropic_read_messages(struct json_view system, struct json_view messages,
                                       struct json_view cache, struct arena *a,
                                       struct canon_request *ret, struct dialect_refusal *why);
/* {"type":"ephemeral","ttl":...} or null: 0 or ERR_SYNTAX. */
MUST_CHECK int anthropic_read_cache(struct json_view v, enum canon_cache *ret);

/* --- answers to a client ---------------------------------------------------------------------- */

int anthropic_write_answer(const struct canon_request *q, const struct canon_answer *answer,
                           const struct answer_names *names, struct buf *into);
extern const struct dialect_encoder anthropic_encoder;
/* "end_turn", ... */
const char *anthropic_reason_of(enum canon_finish finish, bool has_refusal);
/* Anthropic tells why it refused outside the content: the member stop_details. */
void anthropic_emit_details(struct json_emit *e, struct slice explanation);
/* The id of a message: the provider's own where it is Anthropic's, else "msg_" and ours. */
void anthropic_emit_id(struct json_emit *e, struct slice own, enum dialect_id origin,
                       const struct answer_names *names);
/* The usage object; of message_delta where it is not `whole`. */
void anthropic_emit_usage(struct json_emit *e, const struct usage_report *u, bool whole);
void anthropic_emit_citation(struct json_emit *e, const struct canon_citation *c);
/* The members of a call's block, with `input` as an object, or empty when its pieces follow. */
void anthropic_emit_call(struct json_emit *e, const struct canon_part *p, bool pieces_follow,
                         struct arena *a);
/* What of foreign reasoning or of a foreign item must come back, packed. 0, ERR_LIMIT, ERR_NOMEM.
 */
MUST_CHECK int anthropic_pack_foreign(const struct canon_part *p, struct arena *a,
                                      struct slice *ret);
/* The arguments as an object: what the model wrote, unless it is none. */
void anthropic_emit_input(struct json_emit *e, const struct canon_part *p);

#endif
