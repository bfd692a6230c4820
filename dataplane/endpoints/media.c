#include "dataplane/endpoints/media.h"

#define LIKELY_BYTES_OF_A_MS 16 /* 128 kbit/s */
#define MOST_MS_OF_A_BYTE 2     /* 4 kbit/s: the thinnest speech there is */
#define MS_OF_A_TOKEN 50        /* of sound that is listened to */
#define MS_OF_A_SPOKEN_TOKEN 250
#define LEAST_MS_OF_A_SPOKEN_TOKEN 50
#define MAX_MS (INT64_C(1000) * 3600 * 24 * 30)

int
media_route(const struct dialect_target *t, const char *method, struct arena *a,
            struct codec_route *ret, struct dialect_refusal *why)
{
    if (t->provider->kind == PROVIDER_SIMULATOR)
        return codec_refuse(t, method + 1, why);
    return codec_route_openai(t, method, a, ret, why);
}

/* --- what is likely --------------------------------------------------------------------------- */

void
media_pictures(struct codec_units *u, int64_t made, size_t given)
{
    u->unit = CLASS_IMAGES;
    u->exact = true;
    u->likely.images = u->most.images = made;
    u->likely.image_output = made * LIKELY_TOKENS_OF_A_PICTURE;
    u->most.image_output = made * MOST_TOKENS_OF_A_PICTURE;
    u->likely.image_input = (int64_t)given * LIKELY_TOKENS_OF_A_PICTURE;
    u->most.image_input = (int64_t)given * MOST_TOKENS_OF_A_PICTURE;
}

void
media_sound(struct codec_units *u, size_t bytes)
{
    u->unit = CLASS_AUDIO_MS;
    u->likely.audio_ms = (int64_t)(bytes / LIKELY_BYTES_OF_A_MS) + 1;
    u->most.audio_ms = (int64_t)bytes * MOST_MS_OF_A_BYTE + 1;
    u->likely.audio_input = u->likely.audio_ms / MS_OF_A_TOKEN + 1;
    u->most.audio_input = u->most.audio_ms / MS_OF_A_TOKEN + 1;
    u->likely.output = u->likely.audio_ms / MS_OF_A_SPOKEN_TOKEN + 1;
    u->most.output = u->most.audio_ms / LEAST_MS_OF_A_SPOKEN_TOKEN + 1;
}

int
media_read_n(struct slice digits, int64_t *ret_n, struct dialect_refusal *why)
{
    unsigned long long n;
    *ret_n = 1;
    if (!digits.at)
        return 0;
    if (slice_to_u64(digits, &n) || n < 1 || n > LIMIT_PICTURES)
        return dialect_refuse(why, ERR_SYNTAX, "n", "'n' must be an integer from 1 to %d.",
                              LIMIT_PICTURES);
    *ret_n = (int64_t)n;
    return 0;
}

/* --- what is told ----------------------------------------------------------------------------- */

/* A count that can be one; -1: absent. */
static int64_t
count_of(struct json_view v, struct usage_report *report)
{
    if (!json_view_is_set(v))
        return -1;
    int64_t n = json_view_int_or(v, -1);
    if (n < 0 || n > LIMIT_REPORTED_TOKENS) {
        report->suspect = true;
        return -1;
    }
    return n;
}

/* Seconds, whole or with a fraction, as milliseconds rounded up; -1: it is none. */
static int64_t
ms_of(struct slice number)
{
    int64_t ms = 0;
    size_t i = 0, places = 0;
    bool more = false;
    for (; i < number.len && number.at[i] >= '0' && number.at[i] <= '9' && ms < MAX_MS; i++)
        ms = ms * 10 + (number.at[i] - '0');
    ms *= 1000;
    if (i == 0)
        return -1;
    if (i < number.len && number.at[i] == '.')
        for (i++; i < number.len && number.at[i] >= '0' && number.at[i] <= '9'; i++, places++) {
            static const int weights[] = {100, 10, 1};
            if (places < 3)
                ms += (number.at[i] - '0') * weights[places];
            else
                more |= number.at[i] != '0';
        }
    ms += more;
    return i == number.len && ms <= MAX_MS ? ms : -1;
}

static void
report_seconds(struct json_view v, struct usage_report *report)
{
    if (!json_view_is_set(v))
        return;
    struct slice number = v.raw;
    if (v.kind == JSON_TEXT) /* "duration" was one once */
        number = slice_make(v.raw.at + 1, v.raw.len - 2);
    int64_t ms = ms_of(number);
    if (ms < 0) {
        report->suspect = true;
        return;
    }
    report->tokens.audio_ms = ms;
    report->has_units = true;
}

enum { IN_TEXT, IN_IMAGE, IN_AUDIO, IN_CACHED, IN_DETAILS };
static const char *const detail_names[IN_DETAILS] = {"text_tokens", "image_tokens", "audio_tokens",
                                                     "cached_tokens"};

static void
read_details(struct json_view details, struct usage_report *report, int64_t *ret)
{
    struct json_view at[IN_DETAILS];
    json_view_fields(details, detail_names, IN_DETAILS, at);
    for (int i = 0; i < IN_DETAILS; i++) {
        int64_t n = count_of(at[i], report);
        ret[i] = n < 0 ? 0 : n;
    }
}

static int64_t
take(int64_t *rest, int64_t part, bool *suspect)
{
    int64_t n = usage_part(part, *rest, suspect);
    *rest -= n;
    return n;
}

/* OpenAI spells the details in two ways. */
enum {
    U_INPUT,
    U_OUTPUT,
    U_PROMPT,
    U_COMPLETION,
    U_TOTAL,
    U_IN,
    U_OUT,
    U_IN_TOO,
    U_OUT_TOO,
    U_SECONDS,
    U_NAMES
};
static const char *const usage_names[U_NAMES] = {
    "input_tokens",          "output_tokens",
    "prompt_tokens",         "completion_tokens",
    "total_tokens",          "input_tokens_details",
    "output_tokens_details", "input_token_details",
    "output_token_details",  "seconds",
};

static int64_t
first_count(struct json_view a, struct json_view b, struct usage_report *report)
{
    int64_t n = count_of(a, report);
    return n < 0 ? count_of(b, report) : n;
}

void
media_read_usage(struct slice object, enum usage_class output, struct usage_report *report)
{
    struct json_view at[U_NAMES];
    struct tokens t = {.input = 0};
    int64_t in[IN_DETAILS], out[IN_DETAILS];
    bool suspect = false;
    json_view_fields(json_view_of(object), usage_names, U_NAMES, at);
    int64_t input = first_count(at[U_INPUT], at[U_PROMPT], report);
    int64_t rest = first_count(at[U_OUTPUT], at[U_COMPLETION], report);
    if (input < 0 && rest < 0)
        input = count_of(at[U_TOTAL], report);
    if (input >= 0 || rest >= 0) {
        bool has_input = input >= 0;
        input = input < 0 ? 0 : input;
        rest = rest < 0 ? 0 : rest;
        read_details(json_view_is_set(at[U_IN]) ? at[U_IN] : at[U_IN_TOO], report, in);
        read_details(json_view_is_set(at[U_OUT]) ? at[U_OUT] : at[U_OUT_TOO], report, out);
        t.cache_read = take(&input, in[IN_CACHED], &suspect);
        t.image_input = take(&input, in[IN_IMAGE], &suspect);
        t.audio_input = take(&input, in[IN_AUDIO], &suspect);
        t.input = input;
        t.image_output = take(&rest, out[IN_IMAGE], &suspect);
        t.audio_output = take(&rest, out[IN_AUDIO], &suspect);
        t.output = take(&rest, out[IN_TEXT], &suspect);
        t.of[output] += rest;
        usage_merge(report,
                    &(struct usage_report){
                        .seen = true, .has_input = has_input, .has_output = true, .tokens = t});
    }
    report_seconds(at[U_SECONDS], report);
}

void
media_usage_of_pictures(struct slice object, struct usage_report *report)
{
    media_read_usage(object, CLASS_IMAGE_OUTPUT, report);
}

void
media_usage_of_sound(struct slice object, struct usage_report *report)
{
    media_read_usage(object, CLASS_AUDIO_OUTPUT, report);
}

void
media_usage_of_text(struct slice object, struct usage_report *report)
{
    media_read_usage(object, CLASS_OUTPUT, report);
}

enum { A_USAGE, A_DATA, A_DURATION, A_ERROR, A_NAMES };
static const char *const answer_names[A_NAMES] = {"usage", "data", "duration", "error"};

/* The members of a whole answer that tell something; *ret_error: it is an error. */
static int
read_answer(struct slice answer, enum usage_class output, struct json_view *at,
            struct usage_report *report, bool *ret_error)
{
    struct json_view top;
    int err = codec_object(answer, &top);
    *ret_error = false;
    if (err)
        return err;
    json_view_fields(top, answer_names, A_NAMES, at);
    *ret_error = json_view_is_set(at[A_ERROR]);
    if (!*ret_error && at[A_USAGE].kind == JSON_MAP)
        media_read_usage(at[A_USAGE].raw, output, report);
    return 0;
}

int
media_look_pictures(struct slice answer, struct usage_report *report, bool *ret_error)
{
    struct json_view at[A_NAMES];
    int err = read_answer(answer, CLASS_IMAGE_OUTPUT, at, report, ret_error);
    if (err || *ret_error || at[A_DATA].kind != JSON_LIST)
        return err;
    report->tokens.images = (int64_t)json_view_count(at[A_DATA]);
    report->has_units = true;
    return 0;
}

int
media_look_text(struct slice answer, struct usage_report *report, bool *ret_error)
{
    struct json_view at[A_NAMES];
    int err = read_answer(answer, CLASS_OUTPUT, at, report, ret_error);
    if (!err && !*ret_error && !report->has_units)
        report_seconds(at[A_DURATION], report);
    return err;
}
