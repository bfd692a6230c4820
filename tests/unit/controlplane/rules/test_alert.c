/* Channels of alerts: what is refused, with its place; and what their secrets mean. */
#include "controlplane/rules/alert.h"
#include "controlplane/rules/fields.h"
#include "controlplane/rules/item.h"
#include "tests/unit/check.h"

static struct json *
parse(const char *text)
{
    struct json *j = NULL;
    char why[200];
    if (json_parse(slice_of(text), &j, why, sizeof(why)) != 0)
        fail_msg("%s: %s", text, why);
    return j;
}

#define WEBHOOK "\"name\":\"a\",\"kind\":\"webhook\",\"url\":\"https://x.example/h\""
#define KEY ",\"credential\":\"0123456789abcdef\""
#define EMAIL "\"name\":\"a\",\"kind\":\"email\",\"from\":\"a@b.example\",\"to\":[\"c@d.example\"]"
#define SMTP ",\"smtp\":{\"host\":\"mail.example\"}"

static void
test_what_is_refused_and_where(void **state)
{
    (void)state;
    static const struct {
        const char *item, *problem; /* NULL: fine */
    } rows[] = {
        {"{" WEBHOOK KEY "}", NULL},
        {"{" WEBHOOK ",\"credential\":\"env:SECRET\"}", NULL},
        {"{" WEBHOOK ",\"credential\":\"whsec_MDEyMzQ1Njc4OWFiY2RlZg==\"}", NULL},
        {"{" EMAIL SMTP "}", NULL},
        {"{\"name\":\"a\",\"kind\":\"slack\",\"credential\":\"https://hooks.example/T/B/x\"}",
         NULL},
        {"{\"name\":\"a\",\"kind\":\"slack\",\"credential\":\"vault:kv/slack#url\"}", NULL},
        {"{" WEBHOOK "}", "p.credential: needed by kind webhook"},
        {"{" WEBHOOK KEY SMTP "}", "p.smtp: kind webhook has none"},
        {"{" WEBHOOK ",\"credential\":\"short\"}", "p.credential: a key to sign with"},
        {"{" WEBHOOK ",\"credential\":\"whsec_!\"}", "p.credential: after whsec_ comes"},
        {"{" WEBHOOK ",\"credential\":\"whsec_c2hvcnQ=\"}", "p.credential: after whsec_ comes"},
        {"{" WEBHOOK KEY ",\"budgets\":[]}", "p.budgets: names none"},
        {"{" WEBHOOK KEY ",\"teams\":[]}", "p.teams: names none"},
        {"{\"name\":\"a\",\"kind\":\"webhook\"" KEY "}", "p.url: needed by kind webhook"},
        {"{\"name\":\"a\",\"kind\":\"webhook\",\"url\":\"http://x.example\"" KEY "}",
         "p.url: not https"},
        {"{\"name\":\"a\",\"kind\":\"webhook\",\"url\":\"http://"
         "x.example\",\"allow_private\":true" KEY "}",
         NULL},
        {"{\"name\":\"a\",\"kind\":\"webhook\",\"url\":\"https://10.0.0.1/\"" KEY "}",
         "p.url: not https, or a private"},
        {"{\"name\":\"a\",\"kind\":\"slack\",\"credential\":\"not a url\"}",
         "p.credential: must be the webhook's URL"},
        {"{\"name\":\"a\",\"kind\":\"slack\",\"credential\":\"http://hooks.example/x\"}",
         "p.credential: must be the webhook's URL: not https"},
        {"{\"name\":\"a\",\"kind\":\"slack\",\"url\":\"https://hooks.example/x\"}",
         "p.url: kind slack"},
        {"{" EMAIL "}", "p.smtp: needed by kind email"},
        {"{" EMAIL SMTP KEY "}", "p.smtp.user: smtp.user and credential"},
        {"{" EMAIL ",\"smtp\":{\"host\":\"m.example\",\"user\":\"u\"}}",
         "p.credential: smtp.user and credential"},
        {"{" EMAIL ",\"smtp\":{\"host\":\"m.example\",\"user\":\"u\",\"tls\":\"none\"}" KEY "}",
         "p.smtp.tls: no password"},
        {"{" EMAIL ",\"smtp\":{\"host\":\"m.example\",\"tls\":\"none\"}}",
         "p.smtp.tls: mail in the clear"},
        {"{" EMAIL ",\"smtp\":{\"host\":\"localhost\"}}", "p.smtp.host: a private address"},
        {"{" EMAIL ",\"smtp\":{\"host\":\"m.example:25\\r\\nX\"}}", "p.smtp.host: "},
        {"{" EMAIL ",\"smtp\":{\"host\":\"m.example\",\"port\":0}}", "p.smtp.port: "},
        {"{\"name\":\"a\",\"kind\":\"email\",\"from\":\"a@b\",\"to\":[]" SMTP "}",
         "p.to: name 1 to 50 receivers"},
        {"{\"name\":\"a\",\"kind\":\"email\",\"from\":\"a@b\",\"to\":[\"c@d.example\\r\\nBcc: "
         "x@y\"]" SMTP "}",
         "p.to[0]: has a control character"},
    };
    struct buf why;
    buf_init(&why, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json *item = parse(rows[i].item);
        int err = item_check(kind_at(KIND_ALERTS), item, "p", &why);
        const char *got = err ? buf_str(&why) : "";
        if ((err == 0) != (rows[i].problem == NULL) ||
            (rows[i].problem && strncmp(got, rows[i].problem, strlen(rows[i].problem)) != 0))
            fail_msg("%s: %d \"%s\"", rows[i].item, err, got);
        json_free(item);
    }
    buf_free(&why);
}

static void
test_receivers_are_bounded(void **state)
{
    (void)state;
    struct buf text, why;
    buf_init(&text, 0);
    buf_init(&why, 0);
    for (int n = LIMIT_ALERT_RECEIVERS; n <= LIMIT_ALERT_RECEIVERS + 1; n++) {
        buf_clear(&text);
        assert_int_equal(buf_add_str(&text,
                                     "{\"name\":\"a\",\"kind\":\"email\",\"from\":\"a@b\"" SMTP
                                     ",\"to\":["),
                         0);
        for (int i = 0; i < n; i++)
            assert_int_equal(buf_addf(&text, "%s\"r%d@b.example\"", i ? "," : "", i), 0);
        assert_int_equal(buf_add_str(&text, "]}"), 0);
        struct json *item = parse(buf_str(&text));
        assert_int_equal(item_check(kind_at(KIND_ALERTS), item, "", &why),
                         n > LIMIT_ALERT_RECEIVERS ? ERR_SYNTAX : 0);
        json_free(item);
    }
    buf_free(&text);
    buf_free(&why);
}

static void
test_addresses_of_mail(void **state)
{
    (void)state;
    static const char *const good[] = {"a@b", "ada.lovelace+x@mail.example.com", "o'neil@x.example",
                                       "{a|b}@x"};
    static const char *const bad[] = {
        "",        "a",         "@b",     "a@",      "a@b@c",   "a b@c",  "a@b c",  "<a@b>",
        "A <a@b>", "a@b\r\nX:", "a\n@b",  "a@b,c@d", "\"a\"@b", "a..b@c", ".a@b",   "a.@b",
        "a@.b",    "a@b.",      "a@b..c", "a@[::1]", "a;b@c",   "a@b\t",  "a(x)@b", "\xc3\xa4@b"};
    const char *why;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!field_is_mail_address(slice_of(good[i]), &why))
            fail_msg("%s: %s", good[i], why);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (field_is_mail_address(slice_of(bad[i]), &why))
            fail_msg("%s is no address", bad[i]);
    assert_false(field_is_mail_address(SLICE("a\0b@c"), &why));
}

static void
check_key(const char *text, int err, const char *want)
{
    struct secret key = {0};
    const char *why = NULL;
    assert_int_equal(alert_signing_key(slice_of(text), &key, &why), err);
    if (!err)
        assert_true(slice_is(secret_reveal(&key), want));
    else
        assert_non_null(why);
    secret_free(&key);
}

static void
test_keys_to_sign_with(void **state)
{
    (void)state;
    check_key("0123456789abcdef", 0, "0123456789abcdef");
    check_key("whsec_MDEyMzQ1Njc4OWFiY2RlZg==", 0, "0123456789abcdef");
    check_key("0123456789abcde", ERR_SYNTAX, NULL);
    check_key("whsec_MDEyMzQ1Njc4OWFiY2Rl", ERR_SYNTAX, NULL); /* 15 bytes */
    check_key("whsec_", ERR_SYNTAX, NULL);
    check_key("", ERR_SYNTAX, NULL);
}

static void
test_ports_follow_tls(void **state)
{
    (void)state;
    static const struct {
        const char *smtp;
        int64_t port;
    } rows[] = {{"{}", 587},
                {"{\"tls\":\"starttls\"}", 587},
                {"{\"tls\":\"implicit\"}", 465},
                {"{\"tls\":\"none\"}", 25},
                {"{\"tls\":\"none\",\"port\":2525}", 2525}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct json *smtp = parse(rows[i].smtp);
        assert_int_equal(alert_smtp_port(smtp), rows[i].port);
        json_free(smtp);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_refused_and_where),
        cmocka_unit_test(test_receivers_are_bounded),
        cmocka_unit_test(test_addresses_of_mail),
        cmocka_unit_test(test_keys_to_sign_with),
        cmocka_unit_test(test_ports_follow_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
