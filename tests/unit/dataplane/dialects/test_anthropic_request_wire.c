/*
 * Recorded requests of the Messages API, where they are at hand: what is read and written again in
 * the same dialect is the same JSON, but for the spellings that mean the same.
 */
#include "tests/unit/check.h"

#include "dataplane/dialects/dialect.h"
#include "lib/json/emit.h"
#include "tests/unit/dataplane/dialects/wire.h"

static const struct dialect *const anthropic = &dialect_anthropic;

/* --- one spelling ----------------------------------------------------------------------------- */

static void normal(struct json_emit *e, struct json_view v, const char *what);

static void
as_blocks(struct json_emit *e, struct json_view text)
{
    emit_list(e);
    emit_map(e);
    emit_str_member(e, "type", "text");
    emit_name(e, "text");
    emit_raw(e, text.raw);
    emit_end_map(e);
    emit_end_list(e);
}

/* A member whose absence says the same. */
static bool
is_default(struct json_view map, struct slice name, struct json_view v)
{
    bool empty = v.kind == JSON_LIST && json_view_count(v) == 0;
    return !json_view_is_set(v) || (slice_is(name, "stream") && v.kind == JSON_FALSE_) ||
           (slice_is(name, "is_error") && v.kind == JSON_FALSE_) ||
           (slice_is(name, "tools") && empty) || (slice_is(name, "stop_sequences") && empty) ||
           (slice_is(name, "disable_parallel_tool_use") && v.kind == JSON_FALSE_) ||
           (slice_is(name, "strict") && v.kind == JSON_FALSE_) ||
           (slice_is(name, "type") && json_view_is(v, "custom")) ||
           (slice_is(name, "ttl") && json_view_is(v, "5m") &&
            json_view_is(json_view_get(map, "type"), "ephemeral"));
}

static void
normal_member(struct json_emit *e, struct json_view map, struct slice name, struct json_view v)
{
    char plain[256];
    bool turn = json_view_is_set(json_view_get(map, "role"));
    bool result = json_view_is(json_view_get(map, "type"), "tool_result");
    snprintf(plain, sizeof(plain), "%.*s", SLICE_ARG(name));
    emit_name(e, plain);
    if (v.kind == JSON_TEXT &&
        (strcmp(plain, "system") == 0 || (strcmp(plain, "content") == 0 && (turn || result))))
        as_blocks(e, v);
    else
        normal(e, v, plain);
}

static void
normal(struct json_emit *e, struct json_view v, const char *what)
{
    size_t cursor = 0;
    struct slice name;
    struct json_view child;
    (void)what;
    if (v.kind == JSON_LIST) {
        emit_list(e);
        while (json_view_next(v, &cursor, &name, &child))
            normal(e, child, "");
        emit_end_list(e);
    } else if (v.kind == JSON_MAP) {
        emit_map(e);
        while (json_view_next(v, &cursor, &name, &child))
            if (!is_default(v, name, child))
                normal_member(e, v, name, child);
        emit_end_map(e);
    } else {
        emit_raw(e, v.raw);
    }
}

static struct slice
normalised(struct slice json, struct arena *a)
{
    struct buf b;
    buf_init(&b, 0);
    struct json_emit e = json_emit_into(&b);
    normal(&e, json_view_of(json), "");
    assert_int_equal(e.err, 0);
    struct slice s = arena_copy(a, buf_slice(&b));
    buf_free(&b);
    return s;
}

/* --- reading and writing again ---------------------------------------------------------------- */

static struct slice
again(const struct wire_case *c, struct slice body, struct arena *a)
{
    static const struct policy_provider provider = {.name = {"test", 4},
                                                    .kind = PROVIDER_ANTHROPIC};
    struct canon_request q;
    struct request_brief brief;
    struct dialect_refusal why = {0};
    struct dialect_call call = {0};
    struct buf b;
    buf_init(&b, 0);
    if (anthropic->brief(body, &call, a, &brief, &why) != 0 ||
        anthropic->read_request(body, &call, a, &q, &why) != 0)
        fail_msg("%s: %s", c->name, why.message);
    struct dialect_target target = {.provider = &provider, .model = q.model};
    struct dialect_writer w = {.arena = a, .target = &target, .why = &why};
    if (anthropic->write_request(&q, &w, &b) != 0)
        fail_msg("%s: %s", c->name, why.message);
    assert_false(w.json_by_tool);
    struct slice s = arena_copy(a, buf_slice(&b));
    buf_free(&b);
    return s;
}

/* Caching by itself (a member at the top) becomes the marker that it means, on the last block: */
static bool
is_exception(const struct wire_case *c)
{
    static const char *const names[] = {
        "messages-code-execution-files-cache-prefix-stable-automatic-sonnet-4-6-t3",
        "messages-compaction-usage-with-cache-streaming",
        "messages-to-google-deferred-capability-history-replay-t2",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(c->name, names[i]) == 0)
            return true;
    return false;
}

static void
check_case(const struct wire_case *c)
{
    struct slice body = wire_file("%s/request.json", c->path);
    struct arena a;
    if (!body.at || c->status >= 400)
        return;
    arena_init(&a, 0);
    struct slice want = normalised(body, &a), got = normalised(again(c, body, &a), &a);
    bool same = wire_same_json(want, got);
    if (same == is_exception(c))
        fail_msg("%s:\n%.*s\n%.*s", c->name, (int)(got.len < 3000 ? got.len : 3000), got.at,
                 (int)(want.len < 3000 ? want.len : 3000), want.at);
    arena_free(&a);
}

static void
test_requests_keep_their_meaning(void **state)
{
    (void)state;
    if (wire_each("anthropic.messages", check_case) == 0)
        skip();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_requests_keep_their_meaning)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
