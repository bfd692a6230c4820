/* What alerts say: in each form, and with texts that somebody chose to break it. */
#include "controlplane/alerts/message.h"
#include "lib/base/encode.h"
#include "lib/http/message.h"
#include "tests/unit/check.h"

#define ID "0193a9a2-7c00-4d58-8f1a-3d1c6a6d2f10"

static struct json *
parse(const char *text)
{
    struct json *j = NULL;
    char why[200];
    if (json_parse(slice_of(text), &j, why, sizeof(why)) != 0)
        fail_msg("%s: %s", text, why);
    return j;
}

/* Of a crossing, with a subject as JSON writes it. */
static struct json *
crossing(const char *per, const char *subject)
{
    char text[2048];
    snprintf(
        text, sizeof(text),
        "{\"type\":\"budget.threshold\",\"timestamp\":\"2026-11-22T10:00:00.000Z\",\"data\":{"
        "\"budget\":\"research-month\",\"per\":%s,\"subject\":%s,\"percent\":80,\"unit\":\"usd\","
        "\"spent\":\"402.10\",\"limit\":\"500.00\",\"period\":\"month\",\"period_start\":"
        "\"2026-11-01T00:00:00Z\",\"period_end\":\"2026-12-01T00:00:00Z\"}}",
        per, subject);
    return parse(text);
}

static const char *
title_of(const struct json *event)
{
    static char text[1024];
    const struct alert_message m = {ID, "ops", event};
    struct buf into;
    buf_init(&into, 0);
    assert_int_equal(message_title(&m, &into), 0);
    snprintf(text, sizeof(text), "%.*s", SLICE_ARG(buf_slice(&into)));
    buf_free(&into);
    return text;
}

static void
test_titles(void **state)
{
    (void)state;
    struct json *event = crossing("null", "\"\"");
    assert_string_equal(title_of(event), "Headgate: budget 'research-month' has reached 80 %");
    json_free(event);
    event = crossing("\"end_user\"", "\"eve\\r\\nBcc: x@y\\u0085\\u2028z\"");
    assert_string_equal(title_of(event), "Headgate: budget 'research-month' has reached 80 % for "
                                         "end_user 'eve??Bcc: x@y??z'");
    json_free(event);
    event = parse("{\"type\":\"alert.test\",\"data\":{}}");
    assert_string_equal(title_of(event), "Headgate: a test of alert 'ops'");
    json_free(event);
}

/* Cut at a character; also with nothing but bytes that are none. */
static void
test_long_subjects_are_cut(void **state)
{
    (void)state;
    char long_text[700] = "\"";
    for (int i = 0; i < 150; i++)
        strncat(long_text, "\xc3\xa4", sizeof(long_text) - strlen(long_text) - 1);
    strncat(long_text, "\"", sizeof(long_text) - strlen(long_text) - 1);
    struct json *event = crossing("\"end_user\"", long_text);
    const char *title = title_of(event);
    assert_non_null(strstr(title, "\xc3\xa4...'"));
    assert_true(strlen(title) < 300);
    json_free(event);
}

static void
test_a_webhooks_body(void **state)
{
    (void)state;
    struct json *event = crossing("null", "\"\""), *body;
    const struct alert_message m = {ID, "ops", event};
    struct buf text;
    buf_init(&text, 0);
    assert_int_equal(message_webhook(&m, &text), 0);
    body = parse(buf_str(&text));
    assert_true(slice_is(json_str(json_get(body, "id")), ID));
    assert_true(slice_is(json_str(json_get(body, "alert")), "ops"));
    assert_true(slice_is(json_str(json_get(body, "type")), "budget.threshold"));
    assert_true(json_equal(json_get(body, "data"), json_get(event, "data")));
    json_free(body);
    json_free(event);
    buf_free(&text);
}

/* The published example of Standard Webhooks. */
static void
test_the_signature(void **state)
{
    (void)state;
    struct secret key = {0};
    unsigned char bytes[64];
    char text[ALERT_SIGNATURE_BYTES];
    size_t n;
    assert_int_equal(base64_decode(SLICE("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), bytes, &n), 0);
    assert_int_equal(secret_set(&key, bytes, n), 0);
    assert_int_equal(message_sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                                  SLICE("{\"test\": 2432232314}"), text),
                     0);
    assert_string_equal(text, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    secret_free(&key);
}

static void
test_slacks_form(void **state)
{
    (void)state;
    struct json *event = crossing("\"end_user\"", "\"<!channel> & <http://x|y>\"");
    const struct alert_message m = {ID, "ops", event};
    struct buf text;
    buf_init(&text, 0);
    assert_int_equal(message_slack(&m, &text), 0);
    struct json *body = parse(buf_str(&text));
    const struct json *blocks = json_get(body, "blocks");
    assert_null(strstr(json_str(json_get(body, "text")).at, "<"));
    assert_non_null(strstr(json_str(json_get(body, "text")).at, "&lt;!channel&gt; &amp; &lt;http"));
    assert_int_equal(json_size(blocks), 3);
    const struct json *header = json_get(json_at(blocks, 0), "text");
    assert_true(slice_is(json_str(json_get(header, "type")), "plain_text"));
    assert_true(json_str(json_get(header, "text")).len <= 150);
    const struct json *fields = json_get(json_at(blocks, 1), "fields");
    assert_int_equal(json_size(fields), 7);
    for (size_t i = 0; i < json_size(fields); i++) {
        const struct json *f = json_at(fields, i);
        assert_true(slice_is(json_str(json_get(f, "type")), "mrkdwn"));
        assert_true(json_is_true(json_get(f, "verbatim")));
        assert_null(strchr(json_str(json_get(f, "text")).at, '<'));
    }
    assert_true(slice_is(json_str(json_get(json_at(fields, 3), "text")), "*Spent*\n402.10 USD"));
    json_free(body);
    json_free(event);
    buf_free(&text);
}

/* --- mail ------------------------------------------------------------------------------------- */

static char *
mail_of(const struct json *event)
{
    const struct alert_message m = {ID, "ops", event};
    struct json *to = parse("[\"ada@x.example\",\"lin@x.example\"]");
    const struct mail_envelope e = {SLICE("headgate@corp.example"), to, 1764500705000};
    struct buf text;
    buf_init(&text, 0);
    assert_int_equal(message_mail(&m, &e, &text), 0);
    char *copy = slice_dup(buf_slice(&text));
    json_free(to);
    buf_free(&text);
    return copy;
}

static void
test_a_mail(void **state)
{
    (void)state;
    struct json *event = crossing("null", "\"\"");
    char *mail = mail_of(event);
    static const char head[] = "From: Headgate <headgate@corp.example>\r\n"
                               "To: ada@x.example,\r\n lin@x.example\r\n"
                               "Subject: Headgate: budget 'research-month' has reached 80 %\r\n"
                               "Date: Sun, 30 Nov 2025 11:05:05 +0000\r\n"
                               "Message-ID: <" ID "@corp.example>\r\n"
                               "X-Headgate-Alert-Id: " ID "\r\n"
                               "Auto-Submitted: auto-generated\r\n"
                               "MIME-Version: 1.0\r\n"
                               "Content-Type: text/plain; charset=utf-8\r\n"
                               "Content-Transfer-Encoding: base64\r\n\r\n";
    assert_int_equal(strncmp(mail, head, sizeof(head) - 1), 0);
    for (const char *line = mail; *line; line = strstr(line, "\r\n") + 2)
        assert_true(strstr(line, "\r\n") - line <= 78);
    free(mail);
    json_free(event);
}

/* Whatever a client calls itself: the head has the lines that it has without. */
static void
test_no_text_becomes_a_header(void **state)
{
    (void)state;
    static const char *const subjects[] = {
        "\"x\\r\\nBcc: evil@x.example\\r\\n\\r\\nbody\"",
        "\"\\r\\n.\\r\\nMAIL FROM:<x@y>\"",
        "\"\\u00e4\\r\\nBcc: evil@x.example\"",
        "\"\\u2028Bcc: evil@x.example "
        "\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00"
        "\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\"",
        "\"=?utf-8?B?QmNjOiBldmls?=\"",
    };
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        struct json *event = crossing("\"end_user\"", subjects[i]);
        char *mail = mail_of(event);
        char *end = strstr(mail, "\r\n\r\n");
        int headers = 0;
        assert_non_null(end);
        for (char *line = mail; line < end; line = strstr(line, "\r\n") + 2) {
            headers += line[0] != ' ';
            assert_int_not_equal(strncasecmp(line, "bcc", 3), 0);
            assert_int_not_equal(line[0], '.');
        }
        assert_int_equal(headers, 10);
        for (const char *p = mail; *p; p++) {
            assert_false((unsigned char)*p > 0x7e);
            assert_true(*p != '\n' || (p > mail && p[-1] == '\r'));
        }
        assert_null(strstr(end + 4, "\r\n.\r\n"));
        free(mail);
        json_free(event);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_titles),
        cmocka_unit_test(test_long_subjects_are_cut),
        cmocka_unit_test(test_a_webhooks_body),
        cmocka_unit_test(test_the_signature),
        cmocka_unit_test(test_slacks_form),
        cmocka_unit_test(test_a_mail),
        cmocka_unit_test(test_no_text_becomes_a_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
