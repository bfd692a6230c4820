#include "dataplane/state/estimates.h"

#include "lib/base/map.h"

#include <stdlib.h>

#define MODELS 512
#define WEIGHT 16 /* an answer counts for a sixteenth */

/* Before anything is known: three bytes a token is less than English text has, so that the estimate
 * is rather too high than too low. In thousandths. */
#define FIRST_INPUT_MILLI 3000
#define FIRST_OUTPUT_MILLI 3000
#define FIRST_ANSWER_TOKENS 256

struct estimate {
    uint64_t hash;                     /* of provider and model; 0: free */
    int64_t input_milli, output_milli; /* bytes a token, in thousandths */
    int64_t answer_tokens;
};

struct estimates {
    struct estimate at[MODELS];
};

static const struct estimate first = {
    .input_milli = FIRST_INPUT_MILLI,
    .output_milli = FIRST_OUTPUT_MILLI,
    .answer_tokens = FIRST_ANSWER_TOKENS,
};

struct estimates *
estimates_new(void)
{
    return calloc(1, sizeof(struct estimates));
}

void
estimates_free(struct estimates *e)
{
    free(e);
}

static uint64_t
hash_of(struct slice provider, struct slice model)
{
    uint64_t h = map_hash(provider.at, provider.len) * 31 + map_hash(model.at, model.len);
    return h ? h : 1;
}

static const struct estimate *
find(const struct estimates *e, struct slice provider, struct slice model)
{
    uint64_t h = hash_of(provider, model);
    const struct estimate *m = &e->at[h % MODELS];
    return m->hash == h ? m : &first;
}

/* Moves a running mean towards bytes per token, within what is plausible. */
static void
learn(int64_t *milli, uint64_t bytes, int64_t tokens)
{
    if (bytes == 0 || tokens <= 0 || bytes > (UINT64_C(1) << 40))
        return;
    int64_t seen = (int64_t)(bytes * 1000) / tokens;
    if (seen < 500)
        seen = 500;
    if (seen > 20000)
        seen = 20000;
    *milli += (seen - *milli) / WEIGHT;
}

void
estimates_learn(struct estimates *e, struct slice provider, struct slice model,
                uint64_t input_bytes, int64_t input_tokens, uint64_t output_bytes,
                int64_t output_tokens)
{
    uint64_t h = hash_of(provider, model);
    struct estimate *m = &e->at[h % MODELS];
    if (m->hash != h) {
        *m = first;
        m->hash = h;
    }
    learn(&m->input_milli, input_bytes, input_tokens);
    learn(&m->output_milli, output_bytes, output_tokens);
    if (output_tokens > 0)
        m->answer_tokens += (output_tokens - m->answer_tokens) / WEIGHT;
}

static int64_t
tokens_of(uint64_t bytes, int64_t milli)
{
    if (bytes == 0)
        return 0;
    return (int64_t)((bytes * 1000 + (uint64_t)milli - 1) / (uint64_t)milli);
}

int64_t
estimates_input(const struct estimates *e, struct slice provider, struct slice model,
                uint64_t bytes)
{
    return tokens_of(bytes, find(e, provider, model)->input_milli);
}

int64_t
estimates_output(const struct estimates *e, struct slice provider, struct slice model,
                 uint64_t bytes, uint64_t chunks)
{
    int64_t by_bytes = tokens_of(bytes, find(e, provider, model)->output_milli);
    return by_bytes > (int64_t)chunks ? by_bytes : (int64_t)chunks;
}

int64_t
estimates_answer(const struct estimates *e, struct slice provider, struct slice model)
{
    int64_t n = find(e, provider, model)->answer_tokens;
    return n > 0 ? n : 1;
}
