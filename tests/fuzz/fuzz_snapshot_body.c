/*
 * Sections to a policy. The input is a list of records (which section, two bytes of length, bytes):
 * records of one section follow each other in it. A pepper is there unless the input brings its
 * own. What compiles is used as a worker would use it, compiles again to the same, and compiles
 * without the seal key as in the control plane; what does not says why.
 */
#include <string.h>

#include "lib/control/section.h"
#include "lib/policy/compile.h"
#include "tests/fuzz/fuzz.h"

static const unsigned char seal_key[SEAL_KEY_BYTES] = "a seal key of thirty-two bytes!";

/* In the order of a root. */
static const char *const names[] = {"keys/00", "keys/7f",   "keys/ff",  "models",
                                    "prices",  "providers", "settings", "teams"};
enum { COUNT = sizeof(names) / sizeof(names[0]), SETTINGS = 6 };

static const struct keyring *
ring(void)
{
    static struct keyring r;
    if (r.count == 0)
        r = keyring_of(seal_key);
    return &r;
}

static struct buf bytes[COUNT];
static struct policy_section sections[COUNT];

static void
put_pepper(struct buf *into)
{
    static unsigned char sealed[6 + SEAL_OVERHEAD_BYTES];
    static bool made;
    if (!made)
        CHECK(keyring_seal(ring(), SLICE("pepper"), SLICE("pepper"), sealed) == 0);
    made = true;
    CHECK(section_put_pepper(into, slice_make(sealed, sizeof(sealed))) == 0);
}

static void
read_sections(const uint8_t *data, size_t n)
{
    for (size_t i = 0; i < COUNT; i++)
        buf_clear(&bytes[i]);
    while (n >= 3) {
        size_t len = (size_t)data[1] << 8 | data[2];
        if (len > n - 3)
            len = n - 3;
        CHECK(buf_add(&bytes[data[0] % COUNT], data + 3, len) == 0);
        data += 3 + len;
        n -= 3 + len;
    }
    if (bytes[SETTINGS].len == 0)
        put_pepper(&bytes[SETTINGS]);
    for (size_t i = 0; i < COUNT; i++) {
        sections[i].name = slice_of(names[i]);
        sections[i].bytes = buf_slice(&bytes[i]);
        hash_sha256(bytes[i].at, bytes[i].len, sections[i].digest);
    }
}

static void
use(const struct policy *p, const uint8_t *data, size_t n)
{
    struct policy_key key_room;
    struct policy_model model_room;
    struct policy_target target_room;
    struct slice some = slice_make(data, n < 40 ? n : 40);
    const struct policy_key *key = policy_find_key(p, some, &key_room);
    for (size_t i = 0; i < policy_model_count(p); i++) {
        const struct policy_model *m = policy_model_at(p, i);
        const struct policy_model *found = policy_find_model(p, m->name, &model_room, &target_room);
        CHECK(found && slice_eq(found->name, m->name));
        CHECK(m->count > 0);
        for (size_t t = 0; t < m->count; t++)
            CHECK(m->targets[t].provider && m->targets[t].model.at);
        if (key)
            (void)policy_may_use(key, m->name);
    }
    for (size_t i = 0; i < policy_provider_count(p); i++) {
        const struct policy_provider *provider = policy_provider_at(p, i);
        CHECK(policy_find_provider(p, provider->name) == provider);
        CHECK(provider->index == i);
    }
    (void)policy_find_model(p, some, &model_room, &target_room);
}

static int
compile(const struct policy *previous, const struct keyring *keys, struct policy **ret_policy)
{
    const struct policy_input in = {.epoch = 1,
                                    .version = 2,
                                    .revision = 3,
                                    .sections = sections,
                                    .count = COUNT,
                                    .previous = previous,
                                    .keys = keys};
    struct buf why;
    buf_init(&why, 0);
    *ret_policy = NULL;
    int err = policy_compile(&in, ret_policy, &why);
    CHECK((err == 0) == (*ret_policy != NULL));
    CHECK(err == 0 || why.len > 0);
    buf_free(&why);
    return err;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct policy *first, *again, *closed;
    read_sections(data, n);
    int err = compile(NULL, ring(), &first);
    if (err == 0) {
        use(first, data, n);
        CHECK(compile(first, ring(), &again) == 0);
        CHECK(policy_key_count(again) == policy_key_count(first));
        CHECK(policy_model_count(again) == policy_model_count(first));
        policy_unref(first); /* what they share stays */
        use(again, data, n);
        policy_unref(again);
        CHECK(compile(NULL, NULL, &closed) == 0);
        policy_unref(closed);
    } else {
        /* The control plane sees all but what only the seal key tells. */
        int err_closed = compile(NULL, NULL, &closed);
        CHECK(err_closed != 0 || err == ERR_AUTH || err == ERR_SYNTAX);
        policy_unref(closed);
    }
    return 0;
}
