/* From a document to block-style YAML, by libyaml's emitter. */
#include "controlplane/cli/yaml.h"

#include <string.h>
#include <yaml.h>

#include "controlplane/cli/yaml_scalar.h"

struct writer {
    yaml_emitter_t emitter;
    bool failed; /* sticky */
};

static int
on_write(void *ctx, unsigned char *bytes, size_t n)
{
    return buf_add(ctx, bytes, n) == 0;
}

static void
emit(struct writer *w, yaml_event_t *event, int made)
{
    if (!made || w->failed || !yaml_emitter_emit(&w->emitter, event))
        w->failed = true;
}

/* libyaml's parameters are not const, but it copies them. */
static void
put_scalar(struct writer *w, struct slice text, yaml_scalar_style_t style)
{
    yaml_event_t event;
    union {
        const char *in;
        yaml_char_t *out;
    } at = {.in = text.at};
    if (text.len > INT32_MAX) {
        w->failed = true;
        return;
    }
    emit(w, &event,
         yaml_scalar_event_initialize(&event, NULL, NULL, at.out, (int)text.len, 1, 1, style));
}

static void
put_text(struct writer *w, struct slice text)
{
    bool lines = memchr(text.at, '\n', text.len) != NULL;
    put_scalar(w, text,
               lines                          ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
               : yaml_scalar_is_special(text) ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
                                              : YAML_ANY_SCALAR_STYLE);
}

/* Lists of short texts read best on one line. */
static bool
is_short_list(const struct json *list)
{
    size_t width = 0;
    for (size_t i = 0; i < json_size(list); i++) {
        struct slice text = json_str(json_at(list, i));
        if (!text.at)
            return json_size(list) == 0;
        width += text.len + 2;
    }
    return width <= 60;
}

static void put_value(struct writer *w, struct json *value);

static void
put_list(struct writer *w, struct json *list)
{
    yaml_event_t event;
    emit(w, &event,
         yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                              is_short_list(list) ? YAML_FLOW_SEQUENCE_STYLE
                                                                  : YAML_BLOCK_SEQUENCE_STYLE));
    for (size_t i = 0; i < json_size(list); i++)
        put_value(w, json_at(list, i));
    emit(w, &event, yaml_sequence_end_event_initialize(&event));
}

static void
put_map(struct writer *w, struct json *map)
{
    yaml_event_t event;
    void *iter = NULL;
    const char *name;
    struct json *value;
    emit(w, &event,
         yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                             json_size(map) ? YAML_BLOCK_MAPPING_STYLE
                                                            : YAML_FLOW_MAPPING_STYLE));
    while (json_each(map, &iter, &name, &value)) {
        put_text(w, slice_of(name));
        put_value(w, value);
    }
    emit(w, &event, yaml_mapping_end_event_initialize(&event));
}

/* Numbers and literals as JSON writes them: YAML reads the same. */
static void
put_plain(struct writer *w, const struct json *value)
{
    struct buf text;
    buf_init(&text, 64);
    if (json_write(value, false, 0, &text) == 0)
        put_scalar(w, buf_slice(&text), YAML_PLAIN_SCALAR_STYLE);
    else
        w->failed = true;
    buf_free(&text);
}

static void
put_value(struct writer *w, struct json *value)
{
    switch (json_kind(value)) {
    case JSON_TEXT:
        put_text(w, json_str(value));
        break;
    case JSON_LIST:
        put_list(w, value);
        break;
    case JSON_MAP:
        put_map(w, value);
        break;
    case JSON_NUMBER:
    case JSON_TRUE_:
    case JSON_FALSE_:
        put_plain(w, value);
        break;
    case JSON_NULL_:
    case JSON_ABSENT:
        put_scalar(w, SLICE("null"), YAML_PLAIN_SCALAR_STYLE);
        break;
    }
}

int
yaml_write(const struct json *doc, struct buf *into)
{
    struct writer w = {0};
    yaml_event_t event;
    struct json *copy = json_copy(doc); /* json_each wants one that may change */
    if (!copy || !yaml_emitter_initialize(&w.emitter)) {
        json_free(copy);
        return ERR_NOMEM;
    }
    yaml_emitter_set_output(&w.emitter, on_write, into);
    yaml_emitter_set_unicode(&w.emitter, 1);
    yaml_emitter_set_width(&w.emitter, -1);
    emit(&w, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    emit(&w, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
    put_value(&w, copy);
    emit(&w, &event, yaml_document_end_event_initialize(&event, 1));
    emit(&w, &event, yaml_stream_end_event_initialize(&event));
    yaml_emitter_delete(&w.emitter);
    json_free(copy);
    return w.failed ? ERR_NOMEM : 0;
}
