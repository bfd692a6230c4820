#include "tests/unit/check.h"

#include "lib/base/buf.h"
#include "lib/http/multipart.h"

/* --- the boundary ----------------------------------------------------------------------------- */

static void
test_boundaries(void **state)
{
    (void)state;
    static const struct {
        const char *type, *want; /* NULL: refused */
        int err;
    } rows[] = {
        {"multipart/form-data; boundary=abc", "abc", 0},
        {"Multipart/Form-Data;BOUNDARY=\"a b\"", "a b", 0},
        {"multipart/form-data; charset=utf-8; boundary=a ", "a", 0},
        {"multipart/form-data ; boundary=a", "a", 0},
        {"application/json", NULL, ERR_NOT_FOUND},
        {"multipart/mixed; boundary=a", NULL, ERR_NOT_FOUND},
        {"", NULL, ERR_NOT_FOUND},
        {"multipart/form-data", NULL, ERR_SYNTAX},
        {"multipart/form-data; boundary=", NULL, ERR_SYNTAX},
        {"multipart/form-data; boundary=\"\"", NULL, ERR_SYNTAX},
        {"multipart/form-data; boundary=\"a", NULL, ERR_SYNTAX},
        {"multipart/form-data; boundary=\"a \"", NULL, ERR_SYNTAX},
        {"multipart/form-data; boundary=\"a\\\"b\"", NULL, ERR_SYNTAX},
        {"multipart/form-data; boundary=a; boundary=b", NULL, ERR_SYNTAX},
        {"multipart/form-data; boundary=a b", NULL, ERR_SYNTAX},
        {"multipart/form-data; boundary", NULL, ERR_SYNTAX},
        {"multipart/form-data; boundary=a;;", NULL, ERR_SYNTAX},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice got;
        assert_int_equal(multipart_boundary(slice_of(rows[i].type), &got), rows[i].err);
        if (rows[i].want)
            assert_slice_is(got, rows[i].want);
    }
}

static void
test_a_boundary_has_70_bytes_at_most(void **state)
{
    (void)state;
    char type[128];
    for (int n = 70; n <= 71; n++) {
        struct slice got;
        snprintf(type, sizeof(type), "multipart/form-data; boundary=%0*d", n, 0);
        assert_int_equal(multipart_boundary(slice_of(type), &got), n == 70 ? 0 : ERR_SYNTAX);
    }
}

/* --- bodies ----------------------------------------------------------------------------------- */

static struct buf told;
static struct slice whole;

static void
on_part(void *ctx, const struct multipart_part *part)
{
    (void)ctx;
    assert_int_equal(buf_addf(&told, "<%.*s%s>", SLICE_ARG(part->name), part->is_file ? "*" : ""),
                     0);
}

static void
on_data(void *ctx, struct slice bytes, uint64_t offset)
{
    (void)ctx;
    assert_true(bytes.len > 0 && offset + bytes.len <= whole.len);
    assert_memory_equal(whole.at + offset, bytes.at, bytes.len);
    assert_int_equal(buf_add_slice(&told, bytes), 0);
}

static void
on_part_end(void *ctx)
{
    (void)ctx;
    assert_int_equal(buf_add_str(&told, "|"), 0);
}

static const struct multipart_handlers handlers = {on_part, on_data, on_part_end};

/* In pieces of `piece` bytes, the first of `first`. */
static int
parse(struct slice body, size_t first, size_t piece)
{
    static struct multipart m;
    int err = 0;
    whole = body;
    buf_clear(&told);
    multipart_init(&m, SLICE("b-1"), &handlers, NULL);
    for (size_t at = 0, n = first; at < body.len && !err; at += n, n = piece) {
        n = n < body.len - at ? n : body.len - at;
        err = multipart_push(&m, slice_make(body.at + at, n));
    }
    if (!err)
        err = multipart_end(&m);
    assert_int_equal(err != 0, m.why != NULL);
    return err;
}

#define PART(name) "content-disposition: form-data; name=\"" name "\"\r\n\r\n"

static const char good[] = "--b-1\r\n" PART(
    "model") "whisper-1\r\n--b-1\r\n"
             "Content-Disposition: form-data; name=file; filename=\"a\\\"; name=x.wav\"\r\n"
             "Content-Type: audio/wav\r\n\r\n"
             "\r\n--b-2\r\r\n--b\r\n-\r\n\r\n--b-1\r\n" PART("empty") "\r\n--b-1--\r\n";
#define GOOD "<model>whisper-1|<file*>\r\n--b-2\r\r\n--b\r\n-\r\n|<empty>|"

static void
test_every_split(void **state)
{
    (void)state;
    struct slice body = slice_make(good, sizeof(good) - 1);
    for (size_t first = 1; first <= body.len; first++) {
        assert_int_equal(parse(body, first, body.len), 0);
        assert_slice_is(buf_slice(&told), GOOD);
    }
    for (size_t piece = 1; piece < 8; piece++) {
        assert_int_equal(parse(body, piece, piece), 0);
        assert_slice_is(buf_slice(&told), GOOD);
    }
    assert_int_equal(parse(slice_make(body.at, body.len - 2), 1, 1),
                     0); /* without the last CR LF */
    for (size_t cut = 0; cut < body.len - 2; cut++)
        assert_int_equal(parse(slice_make(body.at, cut), body.len, 1), ERR_TRUNCATED);
}

static void
test_what_is_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "preamble\r\n--b-1\r\n" PART("a") "x\r\n--b-1--",
        "\r\n--b-1\r\n" PART("a") "x\r\n--b-1--",
        "--b-1\n" PART("a") "x\r\n--b-1--",
        "--b-1 \r\n" PART("a") "x\r\n--b-1--",
        "--b-1\r\n" PART("a") "x\r\n--b-1--\r\nepilogue",
        "--b-1\r\n" PART("a") "x\r\n--b-1-x",
        "--b-1\r\n" PART("a") "x\r\n--b-1x\r\n--b-1--",
        "--b-1\r\n\r\nx\r\n--b-1--",
        "--b-1\r\ncontent-type: text/plain\r\n\r\nx\r\n--b-1--",
        "--b-1\r\ncontent-disposition: attachment; name=a\r\n\r\nx\r\n--b-1--",
        "--b-1\r\ncontent-disposition: form-data\r\n\r\nx\r\n--b-1--",
        "--b-1\r\ncontent-disposition: form-data; name=a; name=b\r\n\r\nx\r\n--b-1--",
        "--b-1\r\ncontent-disposition: form-data; name=\"a\\\"\"\r\n\r\nx\r\n--b-1--",
        "--b-1\r\ncontent-disposition: form-data; name=a; name*=UTF-8''b\r\n\r\nx\r\n--b-1--",
        "--b-1\r\ncontent-disposition: form-data; name=\"a\r\n\r\nx\r\n--b-1--",
        "--b-1\r\ncontent-disposition: form-data; name=a\r\ncontent-disposition: form-data; "
        "name=b\r\n\r\nx\r\n--b-1--",
        "--b-1\r\ncontent-transfer-encoding: base64\r\n" PART("a") "x\r\n--b-1--",
        "--b-1\r\nno colon\r\n" PART("a") "x\r\n--b-1--",
        "--b-1\r\na b: c\r\n" PART("a") "x\r\n--b-1--",
        "--b-1\r\na: b\n" PART("a") "x\r\n--b-1--",
        "--b-1\r\na: b\rc\r\n" PART("a") "x\r\n--b-1--",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct slice body = slice_of(bodies[i]);
        assert_int_equal(parse(body, body.len, body.len), ERR_SYNTAX);
        assert_int_equal(parse(body, 1, 1), ERR_SYNTAX);
    }
}

static void
test_a_head_has_4096_bytes_at_most(void **state)
{
    (void)state;
    char body[8192];
    static const char rest[] = PART("a") "x\r\n--b-1--";
    size_t own = strlen(PART("a")) + strlen("p: \r\n");
    for (size_t over = 0; over < 2; over++) {
        int pad = (int)(LIMIT_PART_HEAD_BYTES - own + over);
        int n = snprintf(body, sizeof(body), "--b-1\r\np: %0*d\r\n%s", pad, 0, rest);
        assert_int_equal(parse(slice_make(body, (size_t)n), (size_t)n, 1), over ? ERR_LIMIT : 0);
    }
}

static void
test_a_form_has_128_parts_at_most(void **state)
{
    (void)state;
    for (int parts = LIMIT_FORM_PARTS; parts <= LIMIT_FORM_PARTS + 1; parts++) {
        struct buf body;
        buf_init(&body, 0);
        for (int i = 0; i < parts; i++)
            assert_int_equal(
                buf_add_str(&body, i ? "\r\n--b-1\r\n" PART("a") : "--b-1\r\n" PART("a")), 0);
        assert_int_equal(buf_add_str(&body, "\r\n--b-1--"), 0);
        assert_int_equal(parse(buf_slice(&body), body.len, 1),
                         parts > LIMIT_FORM_PARTS ? ERR_LIMIT : 0);
        buf_free(&body);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boundaries),
        cmocka_unit_test(test_a_boundary_has_70_bytes_at_most),
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_a_head_has_4096_bytes_at_most),
        cmocka_unit_test(test_a_form_has_128_parts_at_most),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_free(&told);
    return failed;
}
