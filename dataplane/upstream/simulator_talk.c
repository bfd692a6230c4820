#include "dataplane/upstream/simulator_talk.h"

#include "dataplane/upstream/simulator_demand.h"
#include "dataplane/upstream/simulator_write.h"

#include <stdlib.h>

#define CREATED 1767225600 /* the same answer every time: its date as well */
#define LIMIT_CHOICES 8
#define LIMIT_ALTERNATIVES 20
#define PIXEL                                                                                      \
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNgYGBgAAAA"   \
    "BQABpfZFQAAAAABJRU5ErkJggg=="

/* --- what whole answers and streams share ----------------------------------------------------- */

static void
add_head(struct sim_writer *w, const struct simulator_talk *t, bool chunk)
{
    struct slice tier = json_str(json_get(t->request, "service_tier"));
    if (t->kind == SIMULATE_CHAT)
        sim_add(w, "{\"id\":\"chatcmpl-sim%08x\",\"object\":\"chat.completion%s\"", t->seed,
                chunk ? ".chunk" : "");
    else
        sim_add(w, "{\"id\":\"cmpl-sim%08x\",\"object\":\"text_completion\"", t->seed);
    sim_add(w, ",\"created\":%d,\"model\":", CREATED);
    sim_quote(w, t->model);
    if (tier.at && t->kind == SIMULATE_CHAT) {
        sim_add(w, ",\"service_tier\":");
        sim_quote(w, slice_is(tier, "auto") ? SLICE("default") : tier);
    }
    sim_add(w, ",\"system_fingerprint\":\"fp_simulator\",\"choices\":[");
}

static void
add_usage(struct sim_writer *w, const struct simulator_talk *t)
{
    int64_t cached = t->plan.cached_tokens, thought = t->speech.reasoning.tokens * t->choices;
    sim_add(w,
            "{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld,"
            "\"prompt_tokens_details\":{\"cached_tokens\":%lld},"
            "\"completion_tokens_details\":{\"reasoning_tokens\":%lld}}",
            (long long)t->in, (long long)t->out, (long long)t->in + t->out,
            (long long)(cached < t->in ? cached : t->in),
            (long long)(thought < t->out ? thought : t->out));
}

static void
add_signature(struct sim_writer *w, const struct simulator_talk *t, enum sim_signed what,
              struct slice text)
{
    char signature[SIM_SIGNATURE_BYTES];
    simulator_sign(what, t->seed, text, signature);
    sim_add(w, "\"%s\"", signature);
}

/* The end of an entry of reasoning_details. */
static void
end_entry(struct sim_writer *w, const struct simulator_talk *t, int index)
{
    sim_add(w, ",\"format\":\"%s\",\"index\":%d}", t->plan.format, index);
}

/* The entries that have signatures in them; `text` is given in pieces before in a stream. */
static void
add_sealed(struct sim_writer *w, const struct simulator_talk *t, bool with_text)
{
    struct slice text = buf_slice(&t->speech.reasoning.text);
    if (t->plan.signature) {
        sim_add(w, "{\"type\":\"reasoning.text\"");
        if (with_text) {
            sim_add(w, ",\"text\":");
            sim_quote(w, text);
        }
        sim_add(w, ",\"signature\":");
        add_signature(w, t, SIGNED_REASONING, text);
        end_entry(w, t, 0);
    }
    if (t->plan.encrypted) {
        sim_add(w, "%s{\"type\":\"reasoning.encrypted\",\"data\":", t->plan.signature ? "," : "");
        add_signature(w, t, SIGNED_WHOLE, SLICE(""));
        end_entry(w, t, t->plan.signature ? 1 : 0);
    }
}

static bool
has_reasoning(const struct simulator_talk *t)
{
    return t->speech.reasoning.words > 0;
}

static bool
is_sealed(const struct simulator_talk *t)
{
    return has_reasoning(t) && (t->plan.signature || t->plan.encrypted);
}

/* Reasoning that is only there encrypted cannot be read. */
static bool
is_readable(const struct simulator_talk *t)
{
    return has_reasoning(t) && (t->plan.signature || !t->plan.encrypted);
}

/* A call without the brace that ends it. */
static void
begin_call(struct sim_writer *w, const struct simulator_talk *t, size_t i, struct slice arguments)
{
    sim_add(w, "\"id\":\"" SIM_CALL_ID, t->seed);
    if (i)
        sim_add(w, "_%zu", i + 1);
    sim_add(w, "\",\"type\":\"function\",\"function\":{\"name\":");
    sim_quote(w, t->speech.calls[i].name);
    sim_add(w, ",\"arguments\":");
    sim_quote(w, arguments);
    sim_add(w, "}");
    if (i == 0 && t->plan.call_signature) {
        sim_add(w, ",\"extra_content\":{\"google\":{\"thought_signature\":");
        add_signature(w, t, SIGNED_CALL, SLICE(""));
        sim_add(w, "}}");
    }
}

/* Each source is of one of the first words. */
static void
add_annotations(struct sim_writer *w, const struct simulator_talk *t)
{
    const struct sim_text *text = &t->speech.text;
    sim_add(w, "\"annotations\":[");
    for (int64_t i = 0; text->words && i < t->plan.citations; i++) {
        size_t word = (size_t)i % text->words;
        struct slice piece = sim_piece(text, word);
        if (piece.len && piece.at[0] == ' ')
            piece = slice_from(piece, 1);
        size_t from = (size_t)(piece.at - text->text.at);
        sim_add(w,
                "%s{\"type\":\"url_citation\",\"url_citation\":{\"start_index\":%zu,\"end_index\":"
                "%zu,\"title\":\"Source %lld\",\"url\":\"https://example.com/source/%lld\"}}",
                i ? "," : "", from, from + piece.len, (long long)i + 1, (long long)i + 1);
    }
    sim_add(w, "]");
}

static void
add_images(struct sim_writer *w, const struct simulator_talk *t)
{
    sim_add(w, "\"images\":[");
    for (int64_t i = 0; i < t->plan.images; i++)
        sim_add(w, "%s{\"type\":\"image_url\",\"image_url\":{\"url\":\"" PIXEL "\"}}",
                i ? "," : "");
    sim_add(w, "]");
}

/* The pieces [from, to) of the text as logprobs: the chosen one first, then some that were not. */
static void
add_logprobs(struct sim_writer *w, const struct simulator_talk *t, size_t from, size_t to)
{
    sim_add(w, "{\"content\":[");
    for (size_t i = from; i < to; i++) {
        sim_add(w, "%s{\"token\":", i > from ? "," : "");
        sim_quote(w, sim_piece(&t->speech.text, i));
        sim_add(w, ",\"logprob\":-0.125,\"bytes\":null,\"top_logprobs\":[");
        for (int64_t k = 0; k < t->alternatives; k++) {
            sim_add(w, "%s{\"token\":", k ? "," : "");
            if (k == 0)
                sim_quote(w, sim_piece(&t->speech.text, i));
            else
                sim_add(w, "\" other%lld\"", (long long)k);
            sim_add(w, ",\"logprob\":-%lld.125,\"bytes\":null}", 2 * (long long)k);
        }
        sim_add(w, "]}");
    }
    sim_add(w, "],\"refusal\":null}");
}

/* --- whole ------------------------------------------------------------------------------------ */

static void
add_calls(struct sim_writer *w, const struct simulator_talk *t)
{
    sim_add(w, ",\"tool_calls\":[");
    for (size_t i = 0; i < t->speech.call_count; i++) {
        sim_add(w, "%s{", i ? "," : "");
        begin_call(w, t, i, buf_slice(&t->speech.calls[i].arguments.text));
        sim_add(w, "}");
    }
    sim_add(w, "]");
}

static void
add_reasoning(struct sim_writer *w, const struct simulator_talk *t)
{
    if (is_readable(t)) {
        sim_add(w, ",\"reasoning_content\":");
        sim_quote(w, buf_slice(&t->speech.reasoning.text));
    }
    if (is_sealed(t)) {
        sim_add(w, ",\"reasoning_details\":[");
        add_sealed(w, t, true);
        sim_add(w, "]");
    }
}

static void
add_message(struct sim_writer *w, const struct simulator_talk *t)
{
    bool refuses = t->plan.refusal, calls = t->speech.call_count > 0;
    sim_add(w, "\"message\":{\"role\":\"assistant\",\"content\":");
    if (refuses || calls)
        sim_add(w, "null");
    else
        sim_quote(w, buf_slice(&t->speech.text.text));
    sim_add(w, ",\"refusal\":");
    if (refuses)
        sim_quote(w, buf_slice(&t->speech.text.text));
    else
        sim_add(w, "null");
    add_reasoning(w, t);
    if (calls) {
        add_calls(w, t);
    } else {
        sim_add(w, ",");
        add_annotations(w, t);
    }
    if (t->plan.images) {
        sim_add(w, ",");
        add_images(w, t);
    }
    sim_add(w, "}");
}

static void
add_choice(struct sim_writer *w, const struct simulator_talk *t, int64_t index)
{
    sim_add(w, "%s{\"index\":%lld,", index ? "," : "", (long long)index);
    if (t->kind == SIMULATE_COMPLETION) {
        sim_add(w, "\"text\":");
        sim_quote(w, buf_slice(&t->speech.text.text));
    } else {
        add_message(w, t);
    }
    sim_add(w, ",\"logprobs\":");
    if (t->alternatives >= 0)
        add_logprobs(w, t, 0, t->speech.text.words);
    else
        sim_add(w, "null");
    sim_add(w, ",\"finish_reason\":\"%s\"}", t->finish);
}

static void
write_whole(struct sim_writer *w, const struct simulator_talk *t)
{
    add_head(w, t, false);
    for (int64_t i = 0; i < t->choices; i++)
        add_choice(w, t, i);
    sim_add(w, "]");
    if (!t->plan.no_usage) {
        sim_add(w, ",\"usage\":");
        add_usage(w, t);
    }
    sim_add(w, "}");
}

/* --- a stream's events ------------------------------------------------------------------------ */

struct stream {
    struct sim_writer *w;
    const struct simulator_talk *t;
    struct simulator_answer *a;
    bool broken; /* by an error that was asked for: nothing more comes */
};

static void
end_event(struct stream *s)
{
    sim_add(s->w, "\n\n");
    s->a->ends[s->a->count++] = s->w->into->len;
}

static bool
breaks_off(struct stream *s)
{
    int64_t after = s->t->plan.error_after;
    if (s->broken || after < 0 || s->a->count < (size_t)after)
        return s->broken;
    sim_add(s->w, "data: {\"error\":{\"message\":\"The simulated model broke off.\","
                  "\"type\":\"server_error\",\"param\":null,\"code\":\"simulated\"}}");
    end_event(s);
    s->broken = true;
    return true;
}

/* What an event says, its i-th of the kind. */
typedef void say(const struct stream *s, size_t i);

static void
say_role(const struct stream *s, size_t i)
{
    (void)i;
    sim_add(s->w, "\"delta\":{\"role\":\"assistant\",\"content\":%s,\"refusal\":null}",
            s->t->speech.call_count || s->t->plan.refusal ? "null" : "\"\"");
}

static void
say_thought(const struct stream *s, size_t i)
{
    struct slice piece = sim_piece(&s->t->speech.reasoning, i);
    sim_add(s->w, "\"delta\":{\"reasoning_content\":");
    sim_quote(s->w, piece);
    if (s->t->plan.signature) {
        sim_add(s->w, ",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":");
        sim_quote(s->w, piece);
        end_entry(s->w, s->t, 0);
        sim_add(s->w, "]");
    }
    sim_add(s->w, "}");
}

static void
say_sealed(const struct stream *s, size_t i)
{
    (void)i;
    sim_add(s->w, "\"delta\":{\"reasoning_details\":[");
    add_sealed(s->w, s->t, false);
    sim_add(s->w, "]}");
}

static void
say_call(const struct stream *s, size_t i)
{
    sim_add(s->w, "\"delta\":{\"tool_calls\":[{\"index\":%zu,", i);
    begin_call(s->w, s->t, i, SLICE(""));
    sim_add(s->w, "}]}");
}

/* i: the piece times LIMIT_SIMULATED_CALLS, and the call. */
static void
say_argument(const struct stream *s, size_t i)
{
    size_t call = i % LIMIT_SIMULATED_CALLS, piece = i / LIMIT_SIMULATED_CALLS;
    sim_add(s->w, "\"delta\":{\"tool_calls\":[{\"index\":%zu,\"function\":{\"arguments\":", call);
    sim_quote(s->w, sim_piece(&s->t->speech.calls[call].arguments, piece));
    sim_add(s->w, "}}]}");
}

static void
say_word(const struct stream *s, size_t i)
{
    bool is_chat = s->t->kind == SIMULATE_CHAT;
    sim_add(s->w, "%s",
            !is_chat             ? "\"text\":"
            : s->t->plan.refusal ? "\"delta\":{\"refusal\":"
                                 : "\"delta\":{\"content\":");
    sim_quote(s->w, sim_piece(&s->t->speech.text, i));
    sim_add(s->w, "%s", is_chat ? "}" : "");
}

static void
say_annotations(const struct stream *s, size_t i)
{
    (void)i;
    sim_add(s->w, "\"delta\":{");
    add_annotations(s->w, s->t);
    sim_add(s->w, "}");
}

static void
say_images(const struct stream *s, size_t i)
{
    (void)i;
    sim_add(s->w, "\"delta\":{");
    add_images(s->w, s->t);
    sim_add(s->w, "}");
}

static void
say_nothing(const struct stream *s, size_t i)
{
    (void)i;
    sim_add(s->w, "%s", s->t->kind == SIMULATE_COMPLETION ? "\"text\":\"\"" : "\"delta\":{}");
}

/* The same event for each choice. */
static void
write_event(struct stream *s, say *what, size_t i)
{
    for (int64_t c = 0; c < s->t->choices && !breaks_off(s); c++) {
        sim_add(s->w, "data: ");
        add_head(s->w, s->t, true);
        sim_add(s->w, "{\"index\":%lld,", (long long)c);
        what(s, i);
        sim_add(s->w, ",\"logprobs\":");
        if (what == say_word && s->t->alternatives >= 0)
            add_logprobs(s->w, s->t, i, i + 1);
        else
            sim_add(s->w, "null");
        if (what == say_nothing)
            sim_add(s->w, ",\"finish_reason\":\"%s\"}]", s->t->finish);
        else
            sim_add(s->w, ",\"finish_reason\":null}]");
        sim_add(s->w, "%s}", s->t->usage_asked ? ",\"usage\":null" : "");
        end_event(s);
    }
}

static void
write_reasoning(struct stream *s)
{
    for (size_t i = 0; is_readable(s->t) && i < s->t->speech.reasoning.words; i++)
        write_event(s, say_thought, i);
    if (is_sealed(s->t))
        write_event(s, say_sealed, 0);
}

/* Calls begin one after the other; then a piece of each, and again. */
static void
write_calls(struct stream *s)
{
    const struct sim_speech *speech = &s->t->speech;
    bool more = speech->call_count > 0;
    for (size_t c = 0; c < speech->call_count; c++)
        write_event(s, say_call, c);
    for (size_t i = 0; more; i++) {
        more = false;
        for (size_t c = 0; c < speech->call_count; c++) {
            if (i >= speech->calls[c].arguments.words)
                continue;
            write_event(s, say_argument, i * LIMIT_SIMULATED_CALLS + c);
            more = true;
        }
    }
}

static void
write_text(struct stream *s)
{
    for (size_t i = 0; i < s->t->speech.text.words; i++)
        write_event(s, say_word, i);
    if (s->t->kind == SIMULATE_CHAT && s->t->plan.citations && s->t->speech.text.words)
        write_event(s, say_annotations, 0);
    if (s->t->kind == SIMULATE_CHAT && s->t->plan.images)
        write_event(s, say_images, 0);
}

static void
write_usage_event(struct stream *s)
{
    if (!s->t->usage_asked || s->t->plan.no_usage)
        return;
    sim_add(s->w, "data: ");
    add_head(s->w, s->t, true);
    sim_add(s->w, "],\"usage\":");
    add_usage(s->w, s->t);
    sim_add(s->w, "}");
    end_event(s);
}

static void
write_stream(struct stream *s)
{
    if (s->t->kind == SIMULATE_CHAT)
        write_event(s, say_role, 0);
    write_reasoning(s);
    write_calls(s);
    write_text(s);
    write_event(s, say_nothing, 0);
    if (s->broken)
        return;
    write_usage_event(s);
    sim_add(s->w, "data: [DONE]");
    end_event(s);
}

static size_t
most_events(const struct simulator_talk *t)
{
    size_t n = t->speech.reasoning.words + t->speech.text.words + t->speech.call_count;
    for (size_t i = 0; i < t->speech.call_count; i++)
        n += t->speech.calls[i].arguments.words;
    return (n + 5) * (size_t)t->choices + 3; /* role, seal, sources, pictures, finish; the end */
}

/* --- both ------------------------------------------------------------------------------------- */

static int64_t
choices_of(const struct json *request)
{
    int64_t n = 1;
    if (json_to_int(json_get(request, "n"), &n) || n < 1)
        return 1;
    return n > LIMIT_CHOICES ? LIMIT_CHOICES : n;
}

static int64_t
alternatives_of(const struct simulator_talk *t)
{
    int64_t n = 0;
    if (t->kind != SIMULATE_CHAT || !json_is_true(json_get(t->request, "logprobs")))
        return -1;
    if (json_to_int(json_get(t->request, "top_logprobs"), &n) || n < 0)
        return 0;
    return n > LIMIT_ALTERNATIVES ? LIMIT_ALTERNATIVES : n;
}

static int
write_talk(struct simulator_talk *t, struct simulator_answer *a)
{
    struct sim_writer w = {.into = &a->body};
    if (!a->stream) {
        write_whole(&w, t);
        return w.err;
    }
    a->ends = calloc(most_events(t), sizeof(*a->ends));
    if (!a->ends)
        return ERR_NOMEM;
    write_stream(&(struct stream){.w = &w, .t = t, .a = a});
    return w.err;
}

int
simulator_talk_make(struct simulator_talk *t, struct simulator_answer *a)
{
    const struct simulator_plan *plan = &t->plan;
    if (t->kind == SIMULATE_COMPLETION) { /* has a text, and nothing else */
        t->plan.reasoning = 0;
        t->plan.refusal = false;
    }
    t->choices = choices_of(t->request);
    t->alternatives = alternatives_of(t);
    t->usage_asked =
        json_is_true(json_get(json_get(t->request, "stream_options"), "include_usage"));
    int err = sim_speech_make(t->request, plan, t->seed, &t->speech);
    t->finish = plan->finish[0] ? plan->finish : t->speech.finish;
    t->out =
        plan->output_tokens >= 0 ? plan->output_tokens : sim_speech_tokens(&t->speech) * t->choices;
    if (!err)
        err = write_talk(t, a);
    sim_speech_free(&t->speech);
    return err;
}
