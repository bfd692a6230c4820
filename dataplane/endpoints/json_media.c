/* POST /v1/images/generations and /v1/audio/speech and /v1/moderations: JSON in OpenAI's shape, for
 * those who have it. */
#include "dataplane/endpoints/media.h"

#define LIKELY_TOKENS_OF_CHARACTERS(n) ((n)*3 / 2) /* of sound, at 15 characters a second */
#define MOST_TOKENS_OF_A_CHARACTER 16              /* at the slowest speed */

/* --- pictures --------------------------------------------------------------------------------- */

static int
brief_pictures(const struct codec_request *q, struct arena *a, struct request_brief *ret,
               struct codec_units *units, struct dialect_refusal *why)
{
    int64_t made;
    int err = codec_brief_json(q, a, ret, units, why);
    if (err)
        return err;
    struct json_view n = json_view_get(json_view_of(q->body), "n");
    err = media_read_n(json_view_is_set(n) ? n.raw : (struct slice){0}, &made, why);
    if (!err)
        media_pictures(units, made, 0);
    return err;
}

static int
route_pictures(const struct dialect_target *t, struct arena *a, struct codec_route *ret,
               struct dialect_refusal *why)
{
    return media_route(t, "/images/generations", a, ret, why);
}

const struct codec codec_pictures = {
    .brief = brief_pictures,
    .route = route_pictures,
    .look = media_look_pictures,
    .usage = media_usage_of_pictures,
    .any_answer = true,
};

/* --- speech ----------------------------------------------------------------------------------- */

static int64_t
characters_of(struct slice text)
{
    int64_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += ((unsigned char)text.at[i] & 0xC0) != 0x80;
    return n;
}

static int
brief_speech(const struct codec_request *q, struct arena *a, struct request_brief *ret,
             struct codec_units *units, struct dialect_refusal *why)
{
    struct slice text;
    int err = codec_brief_json(q, a, ret, units, why);
    if (err)
        return err;
    err = json_view_text(json_view_get(json_view_of(q->body), "input"), a, &text);
    if (err)
        return err == ERR_NOMEM
                   ? err
                   : dialect_refuse(why, ERR_SYNTAX, "input", "'input' must be a text.");
    units->unit = CLASS_CHARACTERS;
    units->exact = true;
    units->likely.characters = units->most.characters = characters_of(text);
    units->likely.audio_output = LIKELY_TOKENS_OF_CHARACTERS(units->likely.characters) + 1;
    units->most.audio_output = (units->most.characters + 1) * MOST_TOKENS_OF_A_CHARACTER;
    return 0;
}

static int
route_speech(const struct dialect_target *t, struct arena *a, struct codec_route *ret,
             struct dialect_refusal *why)
{
    return media_route(t, "/audio/speech", a, ret, why);
}

static int
look_speech(struct slice answer, struct usage_report *report, bool *ret_error)
{
    struct json_view top, usage;
    int err = codec_object(answer, &top);
    *ret_error = false;
    if (err)
        return err;
    *ret_error = json_view_is_set(json_view_get(top, "error"));
    usage = json_view_get(top, "usage");
    if (usage.kind == JSON_MAP)
        media_usage_of_sound(usage.raw, report);
    return 0;
}

const struct codec codec_speech = {
    .brief = brief_speech,
    .route = route_speech,
    .look = look_speech,
    .usage = media_usage_of_sound,
    .any_answer = true,
};

/* --- moderation ------------------------------------------------------------------------------- */

static int
route_moderations(const struct dialect_target *t, struct arena *a, struct codec_route *ret,
                  struct dialect_refusal *why)
{
    return media_route(t, "/moderations", a, ret, why);
}

const struct codec codec_moderations = {
    .brief = codec_brief_json,
    .route = route_moderations,
    .look = media_look_text,
    .usage = media_usage_of_text,
};
