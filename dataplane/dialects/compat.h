/*
 * How the OpenAI-compatible providers differ, as data: which members of a chat request they call
 * something else, know under another value, or refuse; how they are asked to think, and to tell
 * usage; what their answers are like. Both ways use the same rows: the untouched one edits the
 * client's body where it must (compat_edits), the translated one writes by them (chat_order.c).
 *
 * Where nothing is known of a provider, its row changes nothing.
 */
#ifndef DATAPLANE_DIALECTS_COMPAT_H
#define DATAPLANE_DIALECTS_COMPAT_H

#include "dataplane/dialects/dialect.h"

/* How reasoning is asked for. */
enum compat_thinking {
    THINK_EFFORT,   /* "reasoning_effort" */
    THINK_SWITCH,   /* "thinking":{"type":"enabled"|"disabled"}, and an effort (DeepSeek) */
    THINK_ENVELOPE, /* "reasoning":{"effort","max_tokens","enabled"} (OpenRouter) */
};

/* How reasoning of earlier turns goes back up. */
enum compat_replay {
    REPLAY_NOTHING, /* it has no place for it */
    REPLAY_CONTENT, /* "reasoning_content" */
    REPLAY_PLAIN,   /* "reasoning" */
    REPLAY_DETAILS, /* "reasoning", and "reasoning_details" byte for byte */
    REPLAY_PARTS,   /* a part of the content, {"type":"thinking",...} (Mistral) */
};

/* Efforts, as bits in the order of canon_budget_of_effort's. */
enum {
    EFFORT_NONE = 1,
    EFFORT_MINIMAL = 2,
    EFFORT_LOW = 4,
    EFFORT_MEDIUM = 8,
    EFFORT_HIGH = 16,
    EFFORT_XHIGH = 32,
    EFFORT_MAX = 64,
};

struct compat {
    const char *max_tokens; /* the spelling that all its models take */
    enum compat_thinking thinking;
    unsigned efforts; /* those it takes; others go to the next */
    enum compat_replay replay;
    bool developer;      /* knows the role; else it is "system" */
    bool asks_usage;     /* streams tell usage when stream_options ask for it; else they always do,
                            or never, and stream_options are refused */
    bool done_optional;  /* some streams end without [DONE] */
    bool think_tags;     /* reasoning stands in the text, in <think> tags, as its vendor says. Where
                            that is a matter of the model, the text stays as it came */
    bool takes_file_url; /* fetches documents by itself */
};
const struct compat *compat_of(enum provider_kind kind);

/* Where a method ("/embeddings", static) is below the provider's prefix: Azure has the deployment
 * or a version in it. 0 or ERR_NOMEM. */
MUST_CHECK int compat_address(const struct dialect_target *t, const char *method, struct arena *a,
                              struct slice *ret_path);

/* A target whose model wants max_completion_tokens and refuses max_tokens (OpenAI's reasoning
 * models, by their names). */
bool compat_is_reasoning_model(const struct dialect_target *t);
/* The member that limits the output at this target. */
const char *compat_max_tokens(const struct dialect_target *t);
/* Whether stream_options may be sent. */
bool compat_asks_usage(const struct dialect_target *t);
/* The provider's word for an effort: the same, the next that it takes, or at == NULL: it cannot be
 * switched off. A word that nobody knows stays. */
struct slice compat_effort(enum provider_kind kind, struct slice effort);

/* What asks for an object of a schema where a provider knows no schemas. at == NULL: no memory. */
struct slice compat_schema_text(struct arena *a, struct slice schema);

enum compat_action {
    COMPAT_RENAME, /* the member is called `with` */
    COMPAT_VALUE,  /* the text `from` is `with` here */
    COMPAT_REFUSE, /* unless it says nothing (null, an empty list, `from`) */
    COMPAT_DROP,   /* changes nothing about the answer, and would be refused: left out */
};
struct compat_rule {
    enum provider_kind kind;
    enum compat_action action;
    const char *member;
    const char *from; /* JSON text */
    const char *with; /* RENAME: a name; VALUE: JSON text */
};
/* All of them, in the order of kinds; for documents and tests. */
const struct compat_rule *compat_rules(size_t *ret_count);

/* Whether compat_edits may have anything to do there: not for most. */
bool compat_has_edits(const struct dialect_target *t);

#define LIMIT_COMPAT_EDITS 32
struct compat_edits {
    struct json_splice at[LIMIT_COMPAT_EDITS]; /* sorted, not overlapping; not at model, stream */
    size_t count;
};
/* What a client's chat body (valid, a map) needs so that the target takes it; nothing for most.
 * Left-out members are noted in w. 0; ERR_DENIED: refused, *w->why names the member; ERR_NOMEM. */
MUST_CHECK int compat_edits(struct slice body, struct dialect_writer *w, struct compat_edits *ret);

#endif
