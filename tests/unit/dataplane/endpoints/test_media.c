#include "tests/unit/check.h"

#include "dataplane/endpoints/media.h"

static struct arena arena;
static struct usage_report report;

static int
tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static void
test_usage_is_told_in_classes(void **state)
{
    (void)state;
    static const struct {
        enum usage_class output;
        const char *object;
        struct tokens want;
        bool seen, has_units, suspect;
    } rows[] = {
        {CLASS_IMAGE_OUTPUT,
         "{\"input_tokens\":50,\"output_tokens\":100,\"input_tokens_details\":{\"text_tokens\":10,"
         "\"image_tokens\":40}}",
         {.input = 10, .image_input = 40, .image_output = 100},
         true,
         false,
         false},
        {CLASS_IMAGE_OUTPUT,
         "{\"input_tokens\":5,\"output_tokens\":100,\"output_tokens_details\":{\"text_tokens\":30,"
         "\"image_tokens\":70}}",
         {.input = 5, .image_output = 70, .output = 30},
         true,
         false,
         false},
        {CLASS_OUTPUT,
         "{\"type\":\"tokens\",\"input_tokens\":14,\"output_tokens\":5,\"input_token_details\":{"
         "\"audio_tokens\":13}}",
         {.input = 1, .audio_input = 13, .output = 5},
         true,
         false,
         false},
        {CLASS_AUDIO_OUTPUT,
         "{\"input_tokens\":3,\"output_tokens\":9}",
         {.input = 3, .audio_output = 9},
         true,
         false,
         false},
        {CLASS_OUTPUT, "{\"total_tokens\":9}", {.input = 9}, true, false, false},
        {CLASS_OUTPUT,
         "{\"type\":\"duration\",\"seconds\":9}",
         {.audio_ms = 9000},
         false,
         true,
         false},
        {CLASS_OUTPUT, "{\"seconds\":8.4700000267}", {.audio_ms = 8471}, false, true, false},
        {CLASS_OUTPUT, "{\"seconds\":0.5}", {.audio_ms = 500}, false, true, false},
        {CLASS_OUTPUT, "{\"seconds\":-1}", {.input = 0}, false, false, true},
        {CLASS_OUTPUT, "{\"seconds\":1e9}", {.input = 0}, false, false, true},
        {CLASS_OUTPUT, "{\"seconds\":99999999999999999999}", {.input = 0}, false, false, true},
        {CLASS_OUTPUT, "{\"input_tokens\":-1}", {.input = 0}, false, false, true},
        {CLASS_OUTPUT, "{\"input_tokens\":100000001}", {.input = 0}, false, false, true},
        {CLASS_OUTPUT, "{}", {.input = 0}, false, false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        report = (struct usage_report){.seen = false};
        media_read_usage(slice_of(rows[i].object), rows[i].output, &report);
        assert_memory_equal(&report.tokens, &rows[i].want, sizeof(struct tokens));
        assert_int_equal(report.seen, rows[i].seen);
        assert_int_equal(report.has_units, rows[i].has_units);
        assert_int_equal(report.suspect, rows[i].suspect);
    }
}

static void
test_answers_are_counted(void **state)
{
    (void)state;
    bool is_error;
    report = (struct usage_report){.seen = false};
    assert_int_equal(media_look_pictures(SLICE("{\"data\":[{},{}]}"), &report, &is_error), 0);
    assert_true(report.has_units && !report.seen && !is_error);
    assert_int_equal(report.tokens.images, 2);
    report = (struct usage_report){.seen = false};
    assert_int_equal(media_look_text(SLICE("{\"duration\":\"3.19\"}"), &report, &is_error), 0);
    assert_int_equal(report.tokens.audio_ms, 3190);
    report = (struct usage_report){.seen = false}; /* what is billed goes before what was heard */
    assert_int_equal(
        media_look_text(SLICE("{\"duration\":3.19,\"usage\":{\"seconds\":4}}"), &report, &is_error),
        0);
    assert_int_equal(report.tokens.audio_ms, 4000);
    assert_int_equal(media_look_text(SLICE("{\"error\":\"x\"}"), &report, &is_error), 0);
    assert_true(is_error);
    assert_int_equal(media_look_text(SLICE("[1]"), &report, &is_error), ERR_PROTOCOL);
}

/* --- requests --------------------------------------------------------------------------------- */

static struct request_brief brief;
static struct codec_units units;
static struct dialect_refusal why;

static int
brief_of(const struct codec *codec, const char *body, const char *type)
{
    const struct codec_request q = {.body = slice_of(body), .content_type = slice_of(type)};
    why = (struct dialect_refusal){.message = ""};
    return codec->brief(&q, &arena, &brief, &units, &why);
}

static void
test_pictures_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int err;
        int64_t images;
    } rows[] = {
        {"{\"model\":\"m\",\"prompt\":\"x\"}", 0, 1},
        {"{\"model\":\"m\",\"n\":null}", 0, 1},
        {"{\"model\":\"m\",\"n\":100}", 0, 100},
        {"{\"model\":\"m\",\"n\":101}", ERR_SYNTAX, 0},
        {"{\"model\":\"m\",\"n\":0}", ERR_SYNTAX, 0},
        {"{\"model\":\"m\",\"n\":\"2\"}", ERR_SYNTAX, 0},
        {"{\"model\":\"m\",\"n\":2.0}", ERR_SYNTAX, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(brief_of(&codec_pictures, rows[i].body, "application/json"), rows[i].err);
        if (rows[i].err) {
            assert_string_equal(why.member, "n");
            continue;
        }
        assert_int_equal(units.unit, CLASS_IMAGES);
        assert_int_equal(units.likely.images, rows[i].images);
        assert_int_equal(units.most.images, rows[i].images);
        assert_true(units.most.image_output > units.likely.image_output);
    }
}

static void
test_characters_to_speak(void **state)
{
    (void)state;
    assert_int_equal(brief_of(&codec_speech,
                              "{\"model\":\"m\",\"input\":\"a\\u00e9\xf0\x9f\x98\x80\"}",
                              "application/json"),
                     0);
    assert_int_equal(units.likely.characters, 3);
    assert_true(units.exact);
    assert_int_equal(brief_of(&codec_speech, "{\"model\":\"m\",\"input\":[\"a\"]}", ""),
                     ERR_SYNTAX);
    assert_string_equal(why.member, "input");
    assert_int_equal(brief_of(&codec_speech, "{\"model\":\"m\"}", ""), ERR_SYNTAX);
}

#define TYPE "multipart/form-data; boundary=x"
#define FIELD(name, value)                                                                         \
    "--x\r\ncontent-disposition: form-data; name=" name "\r\n\r\n" value "\r\n"
#define FILE_OF(name, value)                                                                       \
    "--x\r\ncontent-disposition: form-data; name=" name "; filename=f\r\n\r\n" value "\r\n"

static void
test_forms_are_read(void **state)
{
    (void)state;
    static const char body[] = FIELD("prompt", "hello") FIELD("model", "m-1")
        FILE_OF("file", "0123456789abcdef0123") FIELD("stream", "true") "--x--";
    assert_int_equal(brief_of(&codec_transcriptions, body, TYPE), 0);
    assert_slice_is(brief.model, "m-1");
    assert_true(brief.model_is_bare && brief.stream);
    assert_slice_is(
        slice_make(body + brief.model_at.start, brief.model_at.end - brief.model_at.start), "m-1");
    assert_int_equal(units.text_bytes, strlen("hello") + strlen("m-1") + strlen("true"));
    assert_int_equal(units.likely.audio_ms, 2);
    assert_int_equal(units.most.audio_ms, 41);
    assert_false(units.exact);
    assert_int_equal(brief_of(&codec_picture_edits,
                              FIELD("model", "m") FIELD("n", "2") FILE_OF("\"image[]\"", "a")
                                  FILE_OF("\"image[]\"", "b") "--x--",
                              TYPE),
                     0);
    assert_int_equal(units.likely.images, 2);
    assert_int_equal(units.most.image_input, 2 * MOST_TOKENS_OF_A_PICTURE);
}

static void
test_forms_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body, *type, *member;
    } rows[] = {
        {FIELD("model", "a") FIELD("model", "b") FILE_OF("file", "x") "--x--", TYPE, "model"},
        {FILE_OF("model", "a") FILE_OF("file", "x") "--x--", TYPE, "model"},
        {FIELD("model", "") FILE_OF("file", "x") "--x--", TYPE, "model"},
        {FIELD("model", "a") "--x--", TYPE, "file"},
        {FIELD("model", "a") FIELD("stream", "1") FIELD("stream", "0") "--x--", TYPE, "stream"},
        {FIELD("model", "a"), TYPE, ""},
        {FIELD("model", "a") "--x--", "multipart/form-data", ""},
        {FIELD("model", "a") "--x--", "", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(brief_of(&codec_transcriptions, rows[i].body, rows[i].type), ERR_SYNTAX);
        assert_string_equal(why.member, rows[i].member);
        assert_true(why.message[0]);
    }
    assert_int_equal(
        brief_of(&codec_picture_edits, FIELD("model", "a") FIELD("n", "101") "--x--", TYPE),
        ERR_SYNTAX);
    assert_string_equal(why.member, "n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_usage_is_told_in_classes, tear_down),
        cmocka_unit_test_teardown(test_answers_are_counted, tear_down),
        cmocka_unit_test_teardown(test_pictures_asked_for, tear_down),
        cmocka_unit_test_teardown(test_characters_to_speak, tear_down),
        cmocka_unit_test_teardown(test_forms_are_read, tear_down),
        cmocka_unit_test_teardown(test_forms_that_are_refused, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
