#include "tests/unit/check.h"

#include "dataplane/front/front.h"

static void
test_table(void **state)
{
    (void)state;
    static const struct {
        const char *method, *target;
        enum route_kind kind;
        const char *endpoint, *subject;
    } rows[] = {
        {"POST", "/v1/chat/completions", ROUTE_REQUEST, "chat.completions", ""},
        {"POST", "/v1/chat/completions?x=1&y", ROUTE_REQUEST, "chat.completions", ""},
        {"POST", "/openai/v1/chat/completions", ROUTE_REQUEST, "chat.completions", ""},
        {"POST", "/v1/completions", ROUTE_REQUEST, "completions", ""},
        {"POST", "/v1/embeddings", ROUTE_REQUEST, "embeddings", ""},
        {"POST", "/v1/files", ROUTE_REQUEST, "files", ""},
        {"GET", "/v1/files?limit=1", ROUTE_REQUEST, "files", ""},
        {"DELETE", "/v1/files/file-1", ROUTE_REQUEST, "files", "file-1"},
        {"GET", "/v1/files/file-1/content", ROUTE_REQUEST, "files", "file-1/content"},
        {"POST", "/v1/files/file-1", ROUTE_WRONG_METHOD, NULL, ""},
        {"POST", "/v1/batches", ROUTE_REQUEST, "batches", ""},
        {"POST", "/v1/batches/b/cancel", ROUTE_REQUEST, "batches", "b"},
        {"GET", "/v1/batches/b", ROUTE_REQUEST, "batches", "b"},
        {"POST", "/v1/batches/b", ROUTE_WRONG_METHOD, NULL, ""},
        {"PATCH", "/v1/providers/p/x", ROUTE_REQUEST, "passthrough", "p/x"},
        {"OPTIONS", "/v1/providers/p/x", ROUTE_WRONG_METHOD, NULL, ""},
        {"POST", "/v1/moderations", ROUTE_REQUEST, "moderations", ""},
        {"POST", "/v1/images/generations", ROUTE_REQUEST, "images.generations", ""},
        {"POST", "/v1/images/edits", ROUTE_REQUEST, "images.edits", ""},
        {"POST", "/openai/v1/images/variations", ROUTE_REQUEST, "images.variations", ""},
        {"POST", "/v1/audio/speech", ROUTE_REQUEST, "audio.speech", ""},
        {"POST", "/v1/audio/transcriptions", ROUTE_REQUEST, "audio.transcriptions", ""},
        {"POST", "/v1/audio/translations", ROUTE_REQUEST, "audio.translations", ""},
        {"POST", "/v1/rerank", ROUTE_REQUEST, "rerank", ""},
        {"POST", "/v2/rerank", ROUTE_REQUEST, "rerank", ""},
        {"POST", "/rerank", ROUTE_REQUEST, "rerank", ""},
        {"GET", "/rerank", ROUTE_WRONG_METHOD, NULL, ""},
        {"POST", "/v2/embeddings", ROUTE_NONE, NULL, ""},
        {"POST", "/v1/messages/count_tokens", ROUTE_REQUEST, "count_tokens", ""},
        {"POST", "/anthropic/v1/messages/count_tokens", ROUTE_REQUEST, "count_tokens", ""},
        {"GET", "/v1/models", ROUTE_REQUEST, "models", ""},
        {"HEAD", "/v1/models", ROUTE_REQUEST, "models", ""},
        {"GET", "/v1/models/gpt-4o", ROUTE_REQUEST, "models", "gpt-4o"},
        {"GET", "/v1/models/openai/gpt-4o", ROUTE_REQUEST, "models", "openai/gpt-4o"},
        {"POST", "/openai/chat/completions", ROUTE_REQUEST, "chat.completions", ""},
        {"POST", "/v1/responses", ROUTE_REQUEST, "responses", ""},
        {"POST", "/openai/v1/responses", ROUTE_REQUEST, "responses", ""},
        {"POST", "/v1/messages", ROUTE_REQUEST, "messages", ""},
        {"POST", "/anthropic/v1/messages", ROUTE_REQUEST, "messages", ""},
        {"GET", "/anthropic/v1/models", ROUTE_REQUEST, "models", ""},
        {"POST", "/v1beta/models/g-1.5:generateContent", ROUTE_REQUEST, "generate_content",
         "g-1.5"},
        {"POST", "/genai/v1beta/models/a/b:streamGenerateContent?alt=sse", ROUTE_REQUEST,
         "generate_content", "a/b"},
        {"POST", "/v1/models/g:generateContent", ROUTE_REQUEST, "generate_content", "g"},
        {"GET", "/v1beta/models", ROUTE_REQUEST, "models", ""},
        {"GET", "/v1beta/models/g", ROUTE_REQUEST, "models", "g"},
        {"POST", "/v1beta/models/:generateContent", ROUTE_WRONG_METHOD, NULL, ""},
        {"GET", "/v1beta/models/g:generateContent", ROUTE_REQUEST, "models", "g:generateContent"},
        {"POST", "/openai/v1/messages", ROUTE_NONE, NULL, ""},
        {"POST", "/anthropic/messages", ROUTE_NONE, NULL, ""},
        {"POST", "/v1beta/chat/completions", ROUTE_NONE, NULL, ""},
        {"GET", "/healthz", ROUTE_HEALTH, NULL, ""},
        {"GET", "/readyz?verbose", ROUTE_READY, NULL, ""},
        {"GET", "/v1/chat/completions", ROUTE_WRONG_METHOD, NULL, ""},
        {"DELETE", "/v1/models/gpt-4o", ROUTE_WRONG_METHOD, NULL, ""},
        {"post", "/v1/chat/completions", ROUTE_WRONG_METHOD, NULL, ""},
        /* F015, F153: one spelling, and no other way to it */
        {"POST", "/V1/chat/completions", ROUTE_NONE, NULL, ""},
        {"POST", "/v1/chat/completions/", ROUTE_NONE, NULL, ""},
        {"POST", "/v1//chat/completions", ROUTE_NONE, NULL, ""},
        {"POST", "//v1/chat/completions", ROUTE_NONE, NULL, ""},
        {"POST", "/v1/./chat/completions", ROUTE_NONE, NULL, ""},
        {"POST", "/v1/chat/%63ompletions", ROUTE_NONE, NULL, ""},
        {"POST", "/v1/chat/completions;x", ROUTE_NONE, NULL, ""},
        {"GET", "/v1/../admin", ROUTE_NONE, NULL, ""},
        {"GET", "/openai/openai/v1/models", ROUTE_NONE, NULL, ""},
        {"GET", "/openai/healthz", ROUTE_NONE, NULL, ""},
        {"GET", "/", ROUTE_NONE, NULL, ""},
        {"GET", "", ROUTE_NONE, NULL, ""},
        {"GET", "/v1/models/", ROUTE_NONE, NULL, ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct front_route r = front_find(slice_of(rows[i].method), slice_of(rows[i].target));
        if (r.kind != rows[i].kind)
            fail_msg("%s %s: %d", rows[i].method, rows[i].target, (int)r.kind);
        if (rows[i].endpoint)
            assert_string_equal(r.endpoint->name, rows[i].endpoint);
        if (rows[i].kind == ROUTE_REQUEST)
            assert_slice_is(r.subject, rows[i].subject);
        if (rows[i].kind == ROUTE_WRONG_METHOD)
            assert_non_null(r.allow);
    }
}

static void
test_unescape(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain", "plain"},   {"a%2Fb", "a/b"}, {"%e2%82%ac", "\xe2\x82\xac"},
        {"%", NULL},          {"%2", NULL},     {"a%zz", NULL},
        {"%00", NULL},        {"%c0%80", NULL}, {"%ed%a0%80", NULL},
        {"%25%32%46", "%2F"},
    };
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice got = front_unescape(slice_of(rows[i].in), &a);
        if (rows[i].out)
            assert_slice_is(got, rows[i].out);
        else
            assert_null(got.at);
    }
    arena_free(&a);
}

/* What `headgate can` knows by name is what there is. */
static void
test_endpoint_names(void **state)
{
    (void)state;
    size_t known = 0;
    while (policy_endpoint_names[known])
        known++;
    assert_int_equal(known, ENDPOINT_KINDS);
    for (size_t i = 0; i < ENDPOINT_KINDS; i++) {
        size_t k = 0;
        while (k < known && strcmp(policy_endpoint_names[k], front_endpoint_names[i]) != 0)
            k++;
        if (k == known)
            fail_msg("%s is not known", front_endpoint_names[i]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_unescape),
        cmocka_unit_test(test_endpoint_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
