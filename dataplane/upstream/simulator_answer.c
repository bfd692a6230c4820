#include "dataplane/upstream/simulator_answer.h"

#include "dataplane/upstream/simulator_demand.h"
#include "dataplane/upstream/simulator_talk.h"
#include "dataplane/upstream/simulator_write.h"
#include "lib/base/encode.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT_INPUTS 2048
#define DEFAULT_DIMENSIONS 1536

/* --- usage ------------------------------------------------------------------------------------ */

static int64_t
text_tokens(const struct json *content)
{
    int64_t n = (int64_t)(json_str(content).len + 3) / 4;
    for (size_t i = 0; json_kind(content) == JSON_LIST && i < json_size(content); i++) {
        const struct json *part = json_at(content, i);
        struct slice text = json_str(json_get(part, "text"));
        if (json_kind(part) == JSON_TEXT)
            n += text_tokens(part);
        else
            n += text.at ? (int64_t)(text.len + 3) / 4 : json_kind(part) == JSON_MAP ? 85 : 1;
    }
    return n;
}

static int64_t
input_tokens(const struct json *request)
{
    const struct json *messages = json_get(request, "messages");
    int64_t n = 0;
    for (size_t i = 0; i < json_size(messages); i++)
        n += 4 + text_tokens(json_get(json_at(messages, i), "content"));
    n += text_tokens(json_get(request, "prompt")) + text_tokens(json_get(request, "input"));
    return n ? n : 1;
}

/* --- embeddings ------------------------------------------------------------------------------- */

/* Newton's, so that the vectors do not depend on a mathematics library. */
static double
root(double x)
{
    double r = x > 1 ? x : 1;
    for (int i = 0; i < 60; i++)
        r = (r + x / r) / 2;
    return r;
}

/* A unit vector that depends on the text alone. */
static void
fill_vector(float *v, size_t dims, struct slice text)
{
    uint64_t state = (uint64_t)crc32c(0, text.at, text.len) << 32 | text.len;
    double sum = 0;
    for (size_t i = 0; i < dims; i++) {
        uint64_t z = (state += UINT64_C(0x9E3779B97F4A7C15)); /* splitmix64 */
        z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
        v[i] = (float)((double)(z >> 11) / 4503599627370496.0 - 1.0);
        sum += (double)v[i] * (double)v[i];
    }
    double scale = sum > 0 ? 1.0 / root(sum) : 0;
    for (size_t i = 0; i < dims; i++)
        v[i] = (float)((double)v[i] * scale);
}

static void
add_vector(struct sim_writer *w, const float *v, size_t dims, bool base64)
{
    if (!base64) {
        sim_add(w, "[");
        for (size_t i = 0; i < dims; i++)
            sim_add(w, "%s%.8g", i ? "," : "", (double)v[i]);
        sim_add(w, "]");
        return;
    }
    size_t room =
        BASE64_BYTES(dims * sizeof(float)); /* little-endian, as on every host we run on */
    char *at = w->err ? NULL : buf_reserve(w->into, room + 2);
    if (!at) {
        w->err = w->err ? w->err : ERR_NOMEM;
        return;
    }
    at[0] = '"';
    size_t n = base64_encode(v, dims * sizeof(float), at + 1);
    at[n + 1] = '"';
    buf_commit(w->into, n + 2);
}

static void
add_embedding(struct sim_writer *w, const struct json *input, size_t index, float *v, size_t dims,
              bool base64)
{
    struct buf key;
    buf_init(&key, LIMIT_ANSWER_BYTES);
    if (!w->err)
        w->err = json_write(input, true, 0, &key);
    fill_vector(v, dims, buf_slice(&key));
    buf_free(&key);
    sim_add(w, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", index ? "," : "", index);
    add_vector(w, v, dims, base64);
    sim_add(w, "}");
}

/* A text or a list of tokens is one input; a list of texts or of lists is many. */
static bool
is_many(const struct json *input)
{
    enum json_kind first = json_kind(json_at(input, 0));
    return json_kind(input) == JSON_LIST && (first == JSON_TEXT || first == JSON_LIST);
}

static int
embed(const struct json *request, struct slice model, const struct simulator_plan *plan,
      struct simulator_answer *a)
{
    struct sim_writer w = {.into = &a->body};
    const struct json *input = json_get(request, "input");
    bool base64 = slice_is(json_str(json_get(request, "encoding_format")), "base64");
    size_t count = is_many(input) ? json_size(input) : 1;
    int64_t dims = DEFAULT_DIMENSIONS, in = input_tokens(request);
    if (json_to_int(json_get(request, "dimensions"), &dims) == 0 && (dims < 1 || dims > 4096))
        dims = DEFAULT_DIMENSIONS;
    if (plan->dims)
        dims = plan->dims;
    if (plan->input_tokens >= 0)
        in = plan->input_tokens;
    float *v = calloc((size_t)dims, sizeof(*v));
    if (!v)
        return ERR_NOMEM;
    sim_add(&w, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < count && i < LIMIT_INPUTS; i++)
        add_embedding(&w, is_many(input) ? json_at(input, i) : input, i, v, (size_t)dims, base64);
    free(v);
    sim_add(&w, "],\"model\":");
    sim_quote(&w, model);
    if (!plan->no_usage)
        sim_add(&w, ",\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld}", (long long)in,
                (long long)in);
    sim_add(&w, "}");
    return w.err;
}

/* --- any -------------------------------------------------------------------------------------- */

static int
refuse(struct simulator_answer *a, int status, const char *type, const char *code,
       const char *message)
{
    a->status = status;
    a->stream = false;
    return buf_addf(
        &a->body, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}",
        message, type, code);
}

static int
refuse_as_told(struct simulator_answer *a, int status)
{
    const char *type = status == 429   ? "requests"
                       : status >= 500 ? "server_error"
                                       : "invalid_request_error";
    return refuse(a, status, type, status == 429 ? "rate_limit_exceeded" : "simulated",
                  "The simulator was asked for this error.");
}

static const char *
fault_of(enum simulator_kind kind, const struct json *request)
{
    const struct json *messages = json_get(request, "messages");
    switch (kind) {
    case SIMULATE_CHAT:
        if (json_kind(messages) != JSON_LIST || json_size(messages) == 0)
            return "'messages' must be a list with at least one message.";
        break;
    case SIMULATE_COMPLETION:
        if (!json_get(request, "prompt"))
            return "'prompt' is missing.";
        break;
    case SIMULATE_EMBEDDINGS:
        if (!json_get(request, "input"))
            return "'input' is missing.";
        if (is_many(json_get(request, "input")) &&
            json_size(json_get(request, "input")) > LIMIT_INPUTS)
            return "'input' has more than 2048 items.";
        break;
    }
    return NULL;
}

static uint32_t
seed_of(const struct json *request)
{
    static const char *const names[] = {"messages", "prompt", "input"};
    struct buf text;
    uint32_t seed = 0;
    buf_init(&text, LIMIT_ANSWER_BYTES);
    for (size_t i = 0; i < 3; i++)
        if (json_get(request, names[i]) &&
            json_write(json_get(request, names[i]), true, 0, &text) == 0)
            seed = crc32c(seed, text.at, text.len);
    buf_free(&text);
    return seed;
}

int
simulator_answer_make(enum simulator_kind kind, const struct json *request, struct slice model,
                      const struct simulator_plan *plan, struct simulator_answer *a)
{
    *a = (struct simulator_answer){.status = 200};
    buf_init(&a->body, LIMIT_ANSWER_BYTES);
    const char *fault = fault_of(kind, request);
    if (plan->status >= 400)
        return refuse_as_told(a, (int)plan->status);
    if (fault)
        return refuse(a, 400, "invalid_request_error", "invalid_value", fault);
    if (kind == SIMULATE_EMBEDDINGS)
        return embed(request, model, plan, a);
    if (plan->demand_signature && kind == SIMULATE_CHAT) {
        const char *lack = simulator_demand(request, plan);
        if (lack)
            return refuse(a, 400, "invalid_request_error", "invalid_signature", lack);
    }
    a->stream = json_is_true(json_get(request, "stream"));
    struct simulator_talk t = {.kind = kind,
                               .plan = *plan,
                               .model = model,
                               .request = request,
                               .seed = seed_of(request),
                               .in = plan->input_tokens >= 0 ? plan->input_tokens
                                                             : input_tokens(request)};
    return simulator_talk_make(&t, a);
}

void
simulator_answer_free(struct simulator_answer *a)
{
    buf_free(&a->body);
    free(a->ends);
    a->ends = NULL;
}
