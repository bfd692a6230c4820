/*
 * Endpoints whose requests are forms: pictures to be changed, sound to be written down. The fields
 * are found in the body, which goes up as it is but for the model's name.
 */
#include "dataplane/endpoints/form.h"
#include "dataplane/endpoints/media.h"

#include <string.h>

#define LIMIT_MODEL_BYTES 1024
#define LIMIT_END_USER_BYTES 256

/* The fields that decide something: none may stand twice. */
enum { F_MODEL, F_N, F_USER, F_STREAM, F_FIELDS };
static const char *const field_names[F_FIELDS] = {"model", "n", "user", "stream"};

struct form {
    struct slice body, at[F_FIELDS]; /* at == NULL: absent */
    int current;                     /* of the fields; F_FIELDS: another part */
    bool in_file;
    int twice; /* a field that is there twice, or is a file; -1: none */
    size_t text_bytes, file_bytes, files;
};

static void
on_part(void *ctx, const struct multipart_part *part)
{
    struct form *f = ctx;
    f->in_file = part->is_file;
    f->files += part->is_file;
    for (f->current = 0; f->current < F_FIELDS; f->current++)
        if (slice_is(part->name, field_names[f->current]))
            break;
    if (f->current == F_FIELDS)
        return;
    if (f->at[f->current].at || part->is_file)
        f->twice = f->current;
    f->at[f->current] = slice_make(f->body.at, 0);
}

/* The body is whole, so that a field's bytes lie in one run. */
static void
on_data(void *ctx, struct slice bytes, uint64_t offset)
{
    struct form *f = ctx;
    *(f->in_file ? &f->file_bytes : &f->text_bytes) += bytes.len;
    if (f->current == F_FIELDS)
        return;
    struct slice *field = &f->at[f->current];
    if (field->len == 0)
        field->at = f->body.at + offset;
    field->len += bytes.len;
}

static void
on_part_end(void *ctx)
{
    (void)ctx;
}

static const struct multipart_handlers handlers = {on_part, on_data, on_part_end};

static int
read_form(const struct codec_request *q, struct slice boundary, struct form *f,
          struct dialect_refusal *why)
{
    struct multipart m;
    *f = (struct form){.body = q->body, .twice = -1};
    multipart_init(&m, boundary, &handlers, f);
    int err = multipart_push(&m, q->body);
    if (!err)
        err = multipart_end(&m);
    if (err)
        return dialect_refuse(why, ERR_SYNTAX, "", "The body is not a valid form: %s.", m.why);
    if (f->twice >= 0)
        return dialect_refuse(why, ERR_SYNTAX, field_names[f->twice],
                              "The field '%s' must be there once, and be no file.",
                              field_names[f->twice]);
    return 0;
}

/* The model's name, where the field lies, and whose request it is. */
static int
brief_form(const struct form *f, struct request_brief *ret, struct dialect_refusal *why)
{
    struct slice model = f->at[F_MODEL];
    *ret = (struct request_brief){.choices = 1, .end_user = f->at[F_USER]};
    ret->stream = f->at[F_STREAM].len && !slice_is(f->at[F_STREAM], "false");
    if (ret->end_user.len > LIMIT_END_USER_BYTES)
        ret->end_user.len = LIMIT_END_USER_BYTES;
    if (!model.at)
        return 0;
    if (model.len == 0 || model.len > LIMIT_MODEL_BYTES)
        return dialect_refuse(why, ERR_SYNTAX, "model", "'model' must be the name of a model.");
    size_t start = (size_t)(model.at - f->body.at);
    ret->model = model;
    ret->model_at = (struct json_span){JSON_TEXT, start, start + model.len, start};
    ret->model_is_bare = true;
    return 0;
}

static int
read(const struct codec_request *q, struct form *f, struct request_brief *ret,
     struct dialect_refusal *why)
{
    struct slice boundary;
    if (multipart_boundary(q->content_type, &boundary))
        return dialect_refuse(why, ERR_SYNTAX, "",
                              "The content type must be multipart/form-data with one boundary of 1 "
                              "to %d characters.",
                              LIMIT_BOUNDARY_BYTES);
    int err = read_form(q, boundary, f, why);
    return err ? err : brief_form(f, ret, why);
}

int
form_brief(const struct codec_request *q, struct request_brief *ret, size_t *ret_text_bytes,
           struct dialect_refusal *why)
{
    struct form f = {.twice = -1};
    int err = read(q, &f, ret, why);
    *ret_text_bytes = f.text_bytes;
    return err;
}

/* --- pictures --------------------------------------------------------------------------------- */

static int
brief_pictures(const struct codec_request *q, struct arena *a, struct request_brief *ret,
               struct codec_units *units, struct dialect_refusal *why)
{
    struct form f = {.twice = -1};
    int64_t made;
    int err = read(q, &f, ret, why);
    (void)a;
    if (!err)
        err = media_read_n(f.at[F_N], &made, why);
    if (err)
        return err;
    *units = (struct codec_units){.text_bytes = f.text_bytes};
    media_pictures(units, made, f.files);
    return 0;
}

static int
route_edits(const struct dialect_target *t, struct arena *a, struct codec_route *ret,
            struct dialect_refusal *why)
{
    return media_route(t, "/images/edits", a, ret, why);
}

static int
route_variations(const struct dialect_target *t, struct arena *a, struct codec_route *ret,
                 struct dialect_refusal *why)
{
    return media_route(t, "/images/variations", a, ret, why);
}

const struct codec codec_picture_edits = {
    .brief = brief_pictures,
    .route = route_edits,
    .look = media_look_pictures,
    .usage = media_usage_of_pictures,
    .any_answer = true,
    .takes_forms = true,
};
const struct codec codec_picture_variations = {
    .brief = brief_pictures,
    .route = route_variations,
    .look = media_look_pictures,
    .usage = media_usage_of_pictures,
    .any_answer = true,
    .takes_forms = true,
};

/* --- sound ------------------------------------------------------------------------------------ */

static int
brief_sound(const struct codec_request *q, struct arena *a, struct request_brief *ret,
            struct codec_units *units, struct dialect_refusal *why)
{
    struct form f = {.twice = -1};
    int err = read(q, &f, ret, why);
    (void)a;
    if (err)
        return err;
    if (f.files == 0) {
        why->missing = true;
        return dialect_refuse(why, ERR_SYNTAX, "file", "The field 'file' is missing.");
    }
    *units = (struct codec_units){.text_bytes = f.text_bytes};
    media_sound(units, f.file_bytes);
    return 0;
}

static int
route_transcriptions(const struct dialect_target *t, struct arena *a, struct codec_route *ret,
                     struct dialect_refusal *why)
{
    return media_route(t, "/audio/transcriptions", a, ret, why);
}

static int
route_translations(const struct dialect_target *t, struct arena *a, struct codec_route *ret,
                   struct dialect_refusal *why)
{
    return media_route(t, "/audio/translations", a, ret, why);
}

const struct codec codec_transcriptions = {
    .brief = brief_sound,
    .route = route_transcriptions,
    .look = media_look_text,
    .usage = media_usage_of_text,
    .any_answer = true,
    .takes_forms = true,
};
const struct codec codec_translations = {
    .brief = brief_sound,
    .route = route_translations,
    .look = media_look_text,
    .usage = media_usage_of_text,
    .any_answer = true,
    .takes_forms = true,
};
