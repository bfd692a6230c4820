/*
 * F141: whole requests with every allocation failing in turn. The request fails with 503, or its
 * stream breaks off visibly; nothing is leaked, nothing crashes, and what was reserved is settled.
 */
#include "tests/fault/fault.h"

#include <jansson.h>

#define STAND_QUIET() fault_pause()
#define STAND_LOUD() fault_resume()
#include "tests/unit/dataplane/stand.h"

#define CHAT "/v1/chat/completions"

static struct stand stand;

/* Jansson of Debian 12 dereferences NULL where its lexer gets no memory: only the simulator uses it
 * on the way of a request, and what it does is not tested here. */
static void *
spared(size_t n)
{
    fault_pause();
    void *p = malloc(n);
    fault_resume();
    return p;
}

static uint64_t
open_reservations(void)
{
    struct spool_depth d;
    spool_depth(stand.svc.spool, &d);
    return d.open;
}

/* One request; 0 when it went well. */
static int
ask(const char *path, const char *sim, const char *body, const char *end)
{
    struct test_client c;
    fault_pause();
    client_init(&c, "POST", path);
    client_field(&c, "authorization", "Bearer " TEST_KEY);
    client_field(&c, "content-type", "application/json");
    client_field(&c, "x-headgate-sim", sim);
    fault_resume();
    stand_start(&stand, &c, body);
    stand_finish(&stand, &c);
    fault_pause();
    bool good = c.status == 200 && c.ended && client_body_has(&c, end);
    bool told = c.status >= 500 || c.aborted;
    assert_true(good || told);
    if (c.status == 200 && c.aborted)
        assert_false(client_body_has(&c, "[DONE]"));
    assert_int_equal(stand.svc.request_count, 0);
    assert_int_equal(stand.svc.held_bytes, 0);
    assert_int_equal(open_reservations(), 0);
    client_fini(&c);
    fault_resume();
    return good ? 0 : ERR_NOMEM;
}

static int
chat(void)
{
    return ask(CHAT, "usage=10/5",
               "{\"model\":\"renamed\",\"user\":\"u\\u0065\",\"messages\":[{\"role\":\"user\","
               "\"content\":\"hello\"}]}",
               "chat.completion");
}

static int
stream(void)
{
    return ask(CHAT, "chunks=3;usage=10/3",
               "{\"model\":\"renamed\",\"stream\":true,\"messages\":[{\"role\":\"user\","
               "\"content\":\"hello\"}]}",
               "[DONE]");
}

/* Once for the cache, and once out of it where it was kept; then it is forgotten. */
static int
cached(void)
{
    static const char body[] = "{\"model\":\"cached\",\"stream\":true,\"messages\":[{\"role\":"
                               "\"user\",\"content\":\"hello\"}]}";
    int err = ask(CHAT, "chunks=3;usage=10/3", body, "[DONE]");
    if (!err)
        err = ask(CHAT, "chunks=3;usage=10/3", body, "[DONE]");
    cache_tend(stand.svc.cache, INT64_MAX);
    assert_int_equal(cache_counts(stand.svc.cache).bytes, 0);
    return err;
}

static void
test_cached(void **state)
{
    (void)state;
    fault_replay(cached);
}

static void
test_chat(void **state)
{
    (void)state;
    fault_replay(chat);
}

static void
test_stream(void **state)
{
    (void)state;
    fault_replay(stream);
}

static int
set_up(void **state)
{
    (void)state;
    json_set_alloc_funcs(spared, free);
    stand_init(&stand);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    stand_fini(&stand);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_chat, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cached, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
