/*
 * What the files of the Responses dialect share. The dialect has two sides: as clients speak it
 * (responses_request.c, responses_items.c, responses_encode.c, responses_object.c) and as providers
 * speak it (responses_order.c, responses_input.c, responses_answer.c, responses_stream.c).
 */
#ifndef DATAPLANE_DIALECTS_RESPONSES_INTERNAL_H
#define DATAPLANE_DIALECTS_RESPONSES_INTERNAL_H

#include "dataplane/dialects/dialect.h"
#include "lib/json/emit.h"
#include "lib/json/view.h"

/* --- usage (responses_usage.c) ---------------------------------------------------------------- */

/* What a response object reports: usage, the tier, calls of the provider's own search. */
void responses_read_usage(struct json_view response, struct usage_report *report);

/* --- the untouched way (responses.c) ---------------------------------------------------------- */

int responses_brief(struct slice body, const struct dialect_call *call, struct arena *a,
                    struct request_brief *ret, struct dialect_refusal *why);
int responses_limit_output(struct slice body, const struct dialect_target *t, int64_t n,
                           struct arena *a, struct output_edits *ret);
int responses_address(const struct dialect_target *t, bool stream, struct arena *a,
                      struct dialect_address *ret);
int responses_watch(struct watched *w, struct slice name, struct slice data,
                    enum watch_verdict *ret);
int responses_look(struct slice body, struct usage_report *report, bool *ret_error);

/* --- items (responses_parts.c) ---------------------------------------------------------------- */

/* A list that grows in an arena. */
struct responses_parts {
    struct canon_part *at;
    size_t count, cap;
};
/* The new last part, zeroed; NULL: no memory. */
struct canon_part *responses_add(struct responses_parts *list, struct arena *a);

/* The members of a map that are neither null nor one of `known` (NULL-ended), as one JSON object;
 * empty when there is none. 0 or ERR_NOMEM. */
MUST_CHECK int responses_leftover(struct json_view map, const char *const *known, struct arena *a,
                                  struct slice *ret_raw);
/* The texts of a list of {"text":...} joined without anything between them. 0 or ERR_NOMEM. */
MUST_CHECK int responses_join_texts(struct json_view list, struct arena *a, struct slice *ret_text);
/* What may be read of a reasoning item: its summary, else its content. 0 or ERR_NOMEM. */
MUST_CHECK int responses_reasoning_text(struct json_view item, struct arena *a,
                                        struct slice *ret_text);
/* An annotation of a text; what it lacks is empty. 0 or ERR_NOMEM. */
MUST_CHECK int responses_read_citation(struct json_view annotation, struct arena *a,
                                       struct canon_citation *ret);
/* A piece of a message's content that is text or a refusal, with its citations. 0; ERR_NOT_FOUND:
 * it is something else; ERR_NOMEM. */
MUST_CHECK int responses_read_text(struct json_view piece, struct arena *a, struct canon_part *ret);
/* Whether an item of the output is a message of the model's (a compaction repeats the user's). */
bool responses_is_said(struct json_view item);
/* {"phase":...} of a message, empty when it has none. 0 or ERR_NOMEM. */
MUST_CHECK int responses_message_extra(struct json_view item, struct arena *a, struct slice *ret);
/* A function_call or custom_tool_call, of which *ret is made. 0; ERR_NOT_FOUND: another item;
 * ERR_NOMEM. */
MUST_CHECK int responses_read_call(struct json_view item, struct arena *a, struct canon_part *ret);

/* --- requests of clients (responses_request.c, responses_items.c, responses_tools.c) -----------
 */

/* What a request is read with. Texts for refusals are made where they are needed. */
struct responses_reader {
    struct arena *a;
    struct dialect_refusal *why;
    struct canon_request *q;
    struct canon_extra *extras; /* of q, growing */
    size_t extra_cap;
};
/* "'MEMBER' must be WHAT." ERR_SYNTAX. */
MUST_CHECK int responses_must(const struct responses_reader *r, const char *member,
                              const char *what);
/* Text, absent or null; else refused as member. */
MUST_CHECK int responses_opt_text(const struct responses_reader *r, const char *member,
                                  struct json_view v, struct slice *ret);
/* The same for a member of a map; its name in a refusal is OUTER.NAME. */
MUST_CHECK int responses_get_text(const struct responses_reader *r, const char *outer,
                                  struct json_view map, const char *name, struct slice *ret);
/* Keeps a member that has no canonical meaning. name is static or in the arena. 0 or ERR_NOMEM. */
MUST_CHECK int responses_keep(struct responses_reader *r, struct slice name, struct slice raw);
/* The raw text of an extra; empty when the request has none of that name. */
struct slice responses_extra(const struct canon_request *q, const char *name);

/* instructions and input, as q's messages. */
MUST_CHECK int responses_read_input(struct responses_reader *r, struct json_view instructions,
                                    struct json_view input);
/* tools and tool_choice; a choice among some tools leaves the others out. */
MUST_CHECK int responses_read_tools(struct responses_reader *r, struct json_view tools,
                                    struct json_view choice);
int responses_read_request(struct slice body, const struct dialect_call *call, struct arena *a,
                           struct canon_request *ret, struct dialect_refusal *why);

/* --- requests to providers (responses_order.c, responses_input.c) ------------------------------
 */

/* What a request is written with. */
struct responses_order {
    const struct canon_request *q;
    struct dialect_writer *w;
    struct json_emit e;
};
/* The list of the input's items, from message `first` on. 0; ERR_DENIED: *w->why says why; or
 * another error; that of e comes on top. */
MUST_CHECK int responses_write_input(struct responses_order *o, size_t first);
int responses_write_request(const struct canon_request *q, struct dialect_writer *w,
                            struct buf *into);
/* A tool as it stands in requests and is repeated in answers; with strict: null where absent. */
void responses_emit_tool(struct json_emit *e, const struct canon_tool *t, bool in_answer);
void responses_emit_format(struct json_emit *e, const struct canon_request *q);
void responses_emit_choice(struct json_emit *e, const struct canon_request *q);

/* --- answers for clients (responses_object.c, responses_encode.c, responses_error.c) -----------
 */

/* What a response object says besides what its request said. */
struct responses_object {
    struct slice id, model, service_tier;
    int64_t created_unix_s;
    const char *status;            /* "in_progress", "completed", "incomplete", "failed" */
    const char *incomplete_reason; /* NULL: none */
    struct slice output;           /* the items, joined by commas */
    struct usage_report usage;     /* not seen: null */
};
void responses_emit_object(struct json_emit *e, const struct canon_request *q,
                           const struct responses_object *o);
/* One annotation of a text that has `length` characters so far. */
void responses_emit_citation(struct json_emit *e, const struct canon_citation *c, int64_t length);
int responses_write_answer(const struct canon_request *q, const struct canon_answer *answer,
                           const struct answer_names *names, struct buf *into);
extern const struct dialect_encoder responses_encoder;

/* What an encoder keeps of the answer that goes by (responses_output.c): its terminal repeats all.
 */
#define LIMIT_ENCODED_BYTES ((size_t)32 << 20)
#define LIMIT_ENCODED_PARTS 4096

/* A part, and what of it goes into its item. */
struct responses_piece {
    unsigned item;              /* whose it is */
    unsigned content;           /* its place in a message */
    struct canon_part of;       /* its texts lie in the encoder's arena; not those that grow */
    struct buf text, signature; /* text: arguments, base64 too */
    struct buf notes, logprobs; /* the elements of lists, joined by commas */
    unsigned note_count;
    bool begun, ended; /* begun: something of it was told beyond its item */
};

enum responses_item_kind { ITEM_MESSAGE, ITEM_REASONING, ITEM_CALL, ITEM_IMAGE, ITEM_OPAQUE };

struct responses_item {
    enum responses_item_kind kind;
    struct slice id, phase; /* phase: members of the message, {"phase":...} */
    size_t first;           /* of its pieces */
    unsigned pieces;
    bool done;
    struct buf json; /* when done */
};

struct responses_encoding {
    const struct canon_request *q;
    struct answer_names names;
    struct arena own;
    struct responses_piece *pieces; /* by the number of the part */
    size_t piece_count, piece_cap;
    struct responses_item *items;
    size_t item_count, item_cap;
    size_t bytes; /* held in buffers */
    int64_t sequence;
    struct responses_object object;
    enum canon_finish finish;
    struct buf logprobs;          /* that wait for a text */
    size_t object_at, object_len; /* of the terminal's response, in what it was written into */
    bool started, ended;
};
/* Adds to a buffer of the encoding's, counted. 0, ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK int responses_hold(struct responses_encoding *s, struct buf *b, struct slice text);
/* The same for the next element of a list. */
MUST_CHECK int responses_hold_element(struct responses_encoding *s, struct buf *list,
                                      struct slice element);
/* Moves a text into the encoding's arena, counted. */
MUST_CHECK int responses_keep_slice(struct responses_encoding *s, struct slice *text);
/* The new last item; an id is made where none is given. 0, ERR_LIMIT, ERR_NOMEM. */
MUST_CHECK int responses_new_item(struct responses_encoding *s, enum responses_item_kind kind,
                                  const char *prefix, struct slice given);
/* The part that PART_START tells of. 0, ERR_LIMIT, ERR_PROTOCOL: it was told before; ERR_NOMEM. */
MUST_CHECK int responses_new_piece(struct responses_encoding *s, const struct canon_event *e,
                                   struct responses_piece **ret);
/* NULL: it has not begun. */
struct responses_piece *responses_piece_of(struct responses_encoding *s, unsigned part);
void responses_emit_list(struct json_emit *e, const char *name, const struct buf *elements);
/* A piece of a message; not whole: without what it says. */
void responses_emit_piece(struct json_emit *e, const struct responses_piece *p, bool whole);
MUST_CHECK int responses_emit_item(struct responses_encoding *s, struct json_emit *e,
                                   const struct responses_item *item, const char *status);

int responses_write_error(const struct canon_error *e, struct buf *into);
int responses_write_error_event(const struct canon_error *e, struct buf *into);
/* The error event with its place in the stream. */
MUST_CHECK int responses_add_error_event(const struct canon_error *e, int64_t sequence,
                                         struct buf *into);

/* --- answers of providers (responses_answer.c, responses_stream.c) ---------------------------- */

int responses_read_answer(struct slice body, const struct dialect_exchange *x, struct arena *a,
                          struct canon_answer *ret, const char **ret_why);
int responses_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret);
/* Of {"code":...,"message":...,"type":...,"param":...} in a stream, or in a response that failed:
 * *ret is filled, status and all. 0 or ERR_NOMEM. */
MUST_CHECK int responses_read_failure(struct json_view error, struct arena *a,
                                      struct canon_error *ret);
enum canon_finish responses_finish(struct json_view response, bool has_calls,
                                   struct slice *ret_native);
extern const struct dialect_decoder responses_decoder;

#endif
