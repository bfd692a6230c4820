/*
 * A request: what the runner knows, and one group of fields for each stage.
 *
 * Each group is written by the file named beside it, and read by those that come after. A request
 * is made by front/ when a head has arrived, pins the policy of that moment, and is buried by
 * story.c when the story has ended. What it allocates lives in its arena; the body and a held
 * answer are large and have memory of their own, drawn from the worker's budget.
 */
#ifndef DATAPLANE_REQUEST_REQUEST_H
#define DATAPLANE_REQUEST_REQUEST_H

#include "dataplane/dialects/dialect.h"
#include "dataplane/dialects/openai.h"
#include "dataplane/endpoints/codec.h"
#include "dataplane/request/reply.h"
#include "dataplane/request/story.h"
#include "dataplane/request/tags.h"
#include "dataplane/state/lease.h"
#include "dataplane/state/services.h"
#include "dataplane/state/spool.h"
#include "dataplane/stream/passage.h"
#include "dataplane/upstream/attempt.h"
#include "lib/base/arena.h"
#include "lib/http/server.h"

#include <sys/queue.h>

#define REQUEST_ID_BYTES 37      /* "req_", 32 digits, NUL */
#define LIMIT_PROVIDER_FIELDS 32 /* of a provider's configuration */
#define LIMIT_ANSWER_FIELDS 24

/* What can be asked for: the rows of front/routes.c. */
enum endpoint_kind {
    ENDPOINT_CHAT,
    ENDPOINT_COMPLETIONS,
    ENDPOINT_EMBEDDINGS,
    ENDPOINT_MODELS,
    ENDPOINT_RESPONSES,
    ENDPOINT_MESSAGES,
    ENDPOINT_GENERATE,
    ENDPOINT_CAPABILITIES,
    ENDPOINT_RERANK,
    ENDPOINT_COUNT_TOKENS,
    ENDPOINT_MODERATIONS,
    ENDPOINT_IMAGES,
    ENDPOINT_IMAGE_EDITS,
    ENDPOINT_IMAGE_VARIATIONS,
    ENDPOINT_SPEECH,
    ENDPOINT_TRANSCRIPTIONS,
    ENDPOINT_TRANSLATIONS,
    ENDPOINT_FILES,
    ENDPOINT_BATCHES,
    ENDPOINT_PASSTHROUGH,
    ENDPOINT_KINDS
};
enum endpoint_way {
    WAY_OWN,   /* the gateway answers it */
    WAY_CHAT,  /* a turn of a conversation: any provider, in its own dialect */
    WAY_PLAIN, /* OpenAI's shape, for providers who have it: never translated */
    WAY_CODEC, /* as its codec says */
};
struct endpoint {
    enum endpoint_kind kind;
    const char *name; /* in records and metrics: "chat.completions" */
    enum endpoint_way way;
    enum dialect_id dialect; /* the client's: of requests, answers and errors */
    const char *path;        /* WAY_PLAIN: below a provider's prefix */
    bool can_stream;
    bool streams;              /* whatever the body says: the path asks for a stream */
    const struct codec *codec; /* WAY_CODEC */
};

/* A request that changes dialect, or whose answer must; in its arena, but for the body. */
struct translated {
    struct canon_request request;
    struct dialect_exchange exchange;
    struct dialect_target target;
    struct answer_names names;
    struct buf body;    /* in the provider's dialect; empty where the client's own goes up */
    size_t body_charge; /* of the worker's budget */
    void *asked;        /* WAY_CODEC: what its read() must know of its write() */
};

enum answer_mode {
    ANSWER_NONE,
    ANSWER_STREAM, /* server-sent events, through the passage */
    ANSWER_WHOLE,  /* complete in `held` before the client sees any of it */
    ANSWER_LONG,   /* too long to hold: passed on as it comes */
    ANSWER_ERROR,  /* the provider's own: it becomes a reply */
};

enum recall_state { RECALL_BYPASS, RECALL_MISS, RECALL_HIT };

/* A request whose model has a cache; in its arena. */
struct recall {
    enum recall_state state;
    unsigned char key[SHA256_BYTES];
    const struct cached *hit; /* RECALL_HIT: a reference */
    struct buf tape;          /* of a stream that may be kept: what the client was given */
    size_t charge;            /* of the worker's budget */
    bool torn;                /* it was too long */
};

/* What a request takes of the limits that count it; in its arena. */
struct admission {
    struct quota_claim *claims;
    size_t count, budgets;
    struct quota_hold hold; /* its parts stand beside the claims, once held */
    struct usage_draw *draws;
    size_t draw_count;
    struct lease_waiter waiter;
    unsigned lowered; /* how often the limit of the output was lowered to fit */
    bool asked;       /* the claims wait for the leader: they must be withdrawn */
    bool held;        /* settle gives it back */

    /* request/overrun.c: of a stream */
    int64_t look_at;                   /* tokens: below it no budget can have been passed */
    const struct policy_limit *passed; /* the budget that was */
    uint64_t chunks;                   /* how many had come at the last look */
};

struct request {
    /* the runner: story.c */
    unsigned at;
    bool walking, waiting, finished;
    uint32_t mark_ms[END + 1]; /* when each stage was entered, after started_ms */

    /* front/ */
    struct services *svc;
    struct http_stream *client; /* NULL once the answer has ended, or the client has gone */
    const struct endpoint *endpoint;
    struct slice subject;  /* the {id} of /v1/models/{id}; at == NULL: none */
    struct slice below;    /* the path below its mount, with the query; in the client's head */
    struct policy *policy; /* one reference; NULL: there is none yet */
    struct arena arena;
    int64_t started_ms; /* monotonic, of the loop's turn */
    int64_t started_wall_ms;
    char id[REQUEST_ID_BYTES];
    bool client_gone;   /* but the upstream call goes on for its usage */
    struct timer drain; /* how long it may */
    TAILQ_ENTRY(request) link;

    struct {                          /* stages/authenticate.c */
        const struct policy_key *key; /* NULL until the key was found good */
        struct policy_key found;
    } who;

    struct { /* stages/receive.c */
        char *at;
        size_t len, cap; /* cap is what the budget was charged with */
        bool passes;     /* nothing is held: it goes up as it comes */
        bool is_whole;   /* and all of it came */
        size_t charge;   /* for what waits of it */
        struct dialect_call call;
        struct request_brief brief;
        struct codec_units *units; /* WAY_CODEC, in the arena; else NULL */
        struct tag_set *tags;      /* the request's own; NULL: none */
    } body;

    struct {               /* stages/authorize.c */
        struct slice name; /* as the client spelt it, decoded */
        const struct policy_model *model;
        struct policy_model scratch; /* where `model` points for "provider/model" */
        struct policy_target scratch_target;
    } grant;

    struct recall *recall; /* stages/recall.c; NULL: its model has no cache */

    struct { /* stages/route.c */
        const struct policy_target *target;
        const struct policy_price *price; /* NULL: the model is free on purpose */
    } plan;

    struct admission *quota; /* stages/admit.c; NULL: no limit counts it */
    int64_t output_limit; /* stages/admit.c: that goes up, for a strict budget; 0: the client's */

    struct {                           /* stages/translate.c */
        const struct dialect *dialect; /* the provider's */
        struct dialect_address address;
        struct http_field *fields;
        size_t field_count;
        const char *method;   /* NULL: POST */
        struct slice *pieces; /* of the body that goes up */
        size_t piece_count;
        bool usage_added; /* stream_options.include_usage is ours */
        struct slice directives;
        struct slice degraded; /* members that were left out: "a, b"; empty: none */
        unsigned char attempt_id[ATTEMPT_ID_BYTES];
        struct media_fetch *media; /* what a URL names is being fetched */
        unsigned fetches;
        struct translated *translated; /* NULL: body and answer pass untouched */
    } wire;

    struct { /* stages/exchange.c; deliver.c feeds passage, tail and report once it has taken over
              */
        struct attempt attempt;
        struct oauth_wait *token; /* waited for before the attempt */
        struct spool_hold hold;   /* settle lets it go */
        bool reserved;            /* the attempt is in the spool: it must be settled or voided */
        enum answer_mode mode;
        int status; /* the upstream's; 0: none came */
        int64_t content_length;
        struct http_field *fields; /* allow-listed, copied */
        size_t field_count;
        struct slice upstream_id, error_type;
        int64_t first_byte_ms; /* monotonic; 0: no byte of a body came */
        struct buf held;       /* bytes not given to the client yet */
        size_t held_charge;    /* of the worker's budget */
        struct passage passage;
        struct usage_report report;
        int err; /* why the attempt failed or was stopped */
    } answer;

    struct reply reply; /* request/reply.c: an answer of our own */

    struct {                        /* stages/deliver.c */
        int status;                 /* that the client was given; 0: none */
        enum usage_outcome outcome; /* USAGE_DONE unless delivery ended badly; 0: not delivered */
        const char *error_code;     /* static; of a failure after the answer began */
        struct timer timer;         /* waits for an end after [DONE]; or ends what cannot go on */
        struct buf tail;            /* of an ANSWER_LONG: where the usage is */
        uint64_t passed;            /* its bytes */
    } sent;

    struct {       /* request/settle.c */
        bool made; /* by settle_tally */
        struct tokens tokens;
        nanos cost, reserved;
        bool estimated, incomplete;
    } tally;
};

/* NULL: no memory, or more requests than the worker may have. */
struct request *request_new(struct services *svc, struct http_stream *client,
                            const struct endpoint *endpoint);
/* Notes the time at which r->at is entered. */
void request_mark(struct request *r);
/* Takes r out of the worker's list; frees it after the current callback. story.c only. */
void request_bury(struct request *r);

/* The answer given before that this request gets, or NULL. */
static inline const struct cached *
recall_hit(const struct request *r)
{
    return r->recall ? r->recall->hit : NULL;
}

/* The client's head while it is there; its fields are empty afterwards. */
const struct http_head *request_head(const struct request *r);

#endif
