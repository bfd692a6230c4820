/* What signing in is made of, without a server: cookies, pages, and the sealed request. */
#include "tests/unit/check.h"

#include "controlplane/api/cookie.h"
#include "controlplane/api/page.h"
#include "controlplane/api/sign_in.h"
#include "lib/base/rand.h"

static struct plane plane;

static int
set_up(void **state)
{
    unsigned char key[SEAL_KEY_BYTES];
    (void)state;
    rand_bytes(key, sizeof(key));
    struct keyring ring = keyring_of(key);
    plane.secrets = secrets_new(&ring, NULL);
    return plane.secrets ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void)state;
    secrets_free(plane.secrets);
    return 0;
}

static void
test_cookies_are_found_by_their_whole_name(void **state)
{
    (void)state;
    static const struct {
        const char *url, *field, *want; /* NULL: none */
    } rows[] = {
        {"https://a", "__Host-headgate_session=x", "x"},
        {"https://a", "a=1; __Host-headgate_session=x ;b=2", "x"},
        {"https://a", "headgate_session=x", NULL}, /* a neighbour could have set it */
        {"https://a", "__host-headgate_session=x", NULL},
        {"https://a", "__Host-headgate_session=x; __Host-headgate_session=y", NULL},
        {"https://a", "__Host-headgate_sessions=x", NULL},
        {"https://a", "", NULL},
        {"http://127.0.0.1:1", "headgate_session=x=y", "x=y"},
        {"http://127.0.0.1:1", "__Host-headgate_session=x", NULL},
        {NULL, "headgate_session=x", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        plane.config.admin_public_url = rows[i].url;
        struct slice got = cookie_find(&plane, slice_of(rows[i].field), COOKIE_SESSION);
        if (rows[i].want ? !slice_is(got, rows[i].want) : got.at != NULL)
            fail_msg("%s: got %.*s", rows[i].field, SLICE_ARG(got));
    }
}

static void
test_cookies_are_set_as_tightly_as_can_be(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 0);
    plane.config.admin_public_url = "https://a";
    assert_int_equal(cookie_add(&plane, &b, COOKIE_SESSION, SLICE("x"), 0), 0);
    assert_int_equal(cookie_add(&plane, &b, COOKIE_SIGN_IN, SLICE("y"), 600), 0);
    plane.config.admin_public_url = "http://localhost:1";
    assert_int_equal(cookie_add(&plane, &b, COOKIE_SESSION, SLICE(""), 0), 0);
    assert_string_equal(
        buf_str(&b),
        "__Host-headgate_session=x; Path=/; HttpOnly; SameSite=Strict; Secure\n"
        "__Host-headgate_sign_in=y; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=600\n"
        "headgate_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0\n");
    buf_free(&b);
}

static void
test_pages_escape(void **state)
{
    (void)state;
    struct api_request r = {.request_id = "<r>"};
    struct api_reply reply = {.status = 200};
    const struct page_link link = {"/x?\"onload='alert(1)'&y", "<b>"};
    buf_init(&reply.text, 0);
    assert_int_equal(page_reply(&r, &reply,
                                &(struct page){.status = 403,
                                               .title = "<script>",
                                               .text = "a\x01 & `b`",
                                               .links = &link,
                                               .count = 1,
                                               .go_on = true}),
                     -403);
    const char *text = buf_str(&reply.text);
    static const char *const absent[] = {"<script>", "<b>", "<r>", "\x01", "`", "x?\"", "'alert"};
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        assert_null(strstr(text, absent[i]));
    assert_non_null(strstr(text, "&#60;script&#62;"));
    assert_non_null(strstr(text, "href=\"/x?&#34;onload=&#39;alert(1)&#39;&#38;y\""));
    assert_non_null(strstr(text, "content=\"0;url=/x?&#34;onload=&#39;alert(1)&#39;&#38;y\">"));
    assert_int_equal(reply.status, 403);
    buf_free(&reply.text);
}

static void
test_what_was_begun_comes_back(void **state)
{
    (void)state;
    struct sign_in_request q = {.begun_s = 1000000, .cli_port = 4711}, got;
    struct buf b;
    buf_init(&b, 0);
    snprintf(q.sign_in, sizeof(q.sign_in), "okta");
    snprintf(q.issuer, sizeof(q.issuer), "https://idp");
    snprintf(q.return_to, sizeof(q.return_to), "/a?b=\"c\"");
    snprintf(q.cli_state, sizeof(q.cli_state), "st");
    sign_in_random(q.state);
    sign_in_random(q.nonce);
    sign_in_random(q.verifier);
    sign_in_challenge(slice_of(q.verifier), q.cli_challenge);
    assert_int_equal(strlen(q.state), SIGN_IN_RANDOM_BYTES);
    assert_string_not_equal(q.state, q.nonce);
    assert_int_equal(sign_in_request_seal(plane.secrets, &q, &b), 0);
    struct slice sealed = buf_slice(&b);
    assert_int_equal(sign_in_request_open(plane.secrets, sealed, 1000000, &got), 0);
    assert_memory_equal(&q, &got, sizeof(q));
    /* Ten minutes, to the second; nor from the future. */
    assert_int_equal(sign_in_request_open(plane.secrets, sealed, 1000600, &got), 0);
    assert_int_equal(sign_in_request_open(plane.secrets, sealed, 1000601, &got), ERR_AUTH);
    assert_int_equal(sign_in_request_open(plane.secrets, sealed, 999999, &got), ERR_AUTH);
    /* Any byte that is another, and any that is missing. */
    for (size_t i = 0; i < sealed.len; i += 7) {
        char *at = (char *)(uintptr_t)sealed.at + i, was = *at;
        *at = was == 'A' ? 'B' : 'A';
        assert_int_equal(sign_in_request_open(plane.secrets, sealed, 1000000, &got), ERR_AUTH);
        *at = was;
        assert_int_equal(
            sign_in_request_open(plane.secrets, slice_make(sealed.at, i), 1000000, &got), ERR_AUTH);
    }
    buf_free(&b);
}

/* RFC 7636, appendix B. */
static void
test_challenge(void **state)
{
    (void)state;
    char text[SIGN_IN_RANDOM_BYTES + 1];
    sign_in_challenge(SLICE("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), text);
    assert_string_equal(text, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cookies_are_found_by_their_whole_name),
        cmocka_unit_test(test_cookies_are_set_as_tightly_as_can_be),
        cmocka_unit_test(test_pages_escape),
        cmocka_unit_test(test_what_was_begun_comes_back),
        cmocka_unit_test(test_challenge),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
