#include "tests/unit/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/encode.h"
#include "lib/base/file.h"
#include "lib/policy/lkg.h"
#include "tests/unit/lib/policy/snapshot_fixture.h"

static unsigned char sign_secret[SIGN_SECRET_BYTES];
static unsigned char public_key[1][SIGN_PUBLIC_BYTES];
static char dir[64];

static int
start(void **state)
{
    (void)state;
    assert_int_equal(sign_generate(sign_secret, public_key[0]), 0);
    return 0;
}

static int
make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/hglkg.XXXXXX");
    assert_non_null(mkdtemp(dir));
    return 0;
}

static int
remove_dir(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static const char *
policy_dir(void)
{
    static char path[96];

    snprintf(path, sizeof(path), "%s/policy", dir);
    return path;
}

static struct lkg *
open_lkg(void)
{
    struct lkg *l = NULL;

    assert_int_equal(lkg_open(policy_dir(), fixture_keys(), &l), 0);
    return l;
}

/* Version v has a key "vV", so that what was loaded can be told. */
struct version {
    struct fixture f;
    struct buf envelope;
    uint64_t epoch, v;
};

static void
version_init(struct version *x, uint64_t epoch, uint64_t v, const unsigned char *secret)
{
    char name[16];

    x->epoch = epoch;
    x->v = v;
    snprintf(name, sizeof(name), "v%llu", (unsigned long long)v);
    fixture_init_empty(&x->f);
    fixture_add_team(&x->f, "red");
    fixture_add_key(&x->f, name, "red");
    fixture_list(&x->f);
    buf_init(&x->envelope, 0);
    fixture_sign(&x->f, secret, epoch, v, &x->envelope);
}

static void
version_free(struct version *x)
{
    buf_free(&x->envelope);
    fixture_free(&x->f);
}

static int
version_save(struct version *x, struct lkg *l)
{
    struct slice bytes[FIXTURE_SECTIONS];
    struct snapshot_root root = {
        .epoch = x->epoch, .version = x->v, .sections = x->f.refs, .count = x->f.count};

    for (size_t i = 0; i < x->f.count; i++)
        bytes[i] = x->f.list[i].bytes;
    return lkg_save(l, buf_slice(&x->envelope), &root, bytes);
}

static int
save_from(struct lkg *l, uint64_t epoch, uint64_t v, const unsigned char *secret)
{
    struct version x;
    int err;

    version_init(&x, epoch, v, secret);
    err = version_save(&x, l);
    version_free(&x);
    return err;
}

static int
save(struct lkg *l, uint64_t v)
{
    return save_from(l, 1, v, sign_secret);
}

/* The version that a worker would start with; 0: none. */
static uint64_t
load_as(const struct keyring *keys, struct lkg_found *ret_found)
{
    struct snapshot_trust trust = {.public_keys =
                                       (const unsigned char(*)[SIGN_PUBLIC_BYTES])public_key,
                                   .key_count = 1,
                                   .now_wall_ms = 1700000000000};
    struct lkg_found found;
    struct policy_key k;
    uint64_t v = 0;
    struct buf why;
    struct lkg *l;
    char key[24];
    int err;

    if (lkg_open(policy_dir(), keys, &l) != 0)
        return 0;
    buf_init(&why, 8192);
    err = lkg_load(l, &trust, keys, &found, &why);
    lkg_close(l);
    if (!err) {
        v = policy_version(found.policy);
        snprintf(key, sizeof(key), "sk-v%llu", (unsigned long long)v);
        assert_non_null(policy_find_key(found.policy, slice_of(key), &k)); /* whole, not partial */
        assert_int_equal(policy_key_count(found.policy), 1);
    } else {
        assert_true(why.len > 0);
    }
    policy_unref(found.policy);
    buf_free(&why);
    if (ret_found)
        *ret_found = found;
    return v;
}

static uint64_t
load(void)
{
    return load_as(fixture_keys(), NULL);
}

static const char *
root_file(uint64_t v)
{
    static char path[192];

    snprintf(path, sizeof(path), "%s/root-%016x-%016x", policy_dir(), 1, (unsigned)v);
    return path;
}

static size_t
count_files(const char *sub)
{
    char path[192];
    const struct dirent *e;
    size_t n = 0;
    DIR *d;

    snprintf(path, sizeof(path), "%s/%s", policy_dir(), sub);
    d = opendir(path);
    while ((e = readdir(d)) != NULL)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* --- the ordinary way ---------------------------------------------------------------------- */

static void
test_what_was_saved_is_loaded(void **state)
{
    struct lkg_found found;
    struct lkg *l = open_lkg();

    (void)state;
    assert_int_equal(load(), 0);
    for (uint64_t v = 1; v <= 6; v++) {
        assert_int_equal(save(l, v), 0);
        assert_int_equal(load_as(fixture_keys(), &found), v);
        assert_int_equal(found.skipped, 0);
        assert_false(found.expired);
        assert_string_equal(found.cluster_id, FIXTURE_CLUSTER);
    }
    lkg_close(l);
}

static void
test_three_are_kept_and_the_rest_is_swept(void **state)
{
    struct lkg *l = open_lkg();
    size_t after_three = 0;

    (void)state;
    for (uint64_t v = 1; v <= 8; v++) {
        assert_int_equal(save(l, v), 0);
        if (v == 3)
            after_three = count_files("sections");
    }
    assert_int_equal(access(root_file(5), F_OK), -1);
    assert_int_equal(access(root_file(6), F_OK), 0);
    assert_int_equal(access(root_file(8), F_OK), 0);
    assert_int_equal(count_files("sections"), after_three);
    lkg_close(l);
}

static void
test_an_older_save_changes_nothing(void **state)
{
    struct lkg *l = open_lkg();

    (void)state;
    assert_int_equal(save(l, 5), 0);
    assert_int_equal(save(l, 4), 0); /* a slower worker of the same node */
    assert_int_equal(load(), 5);
    assert_int_equal(access(root_file(4), F_OK), -1);
    lkg_close(l);
}

static void
test_the_same_version_again(void **state)
{
    struct lkg *l = open_lkg();
    struct version x;

    (void)state;
    version_init(&x, 1, 5, sign_secret);
    assert_int_equal(version_save(&x, l), 0);
    assert_int_equal(version_save(&x, l), 0); /* every worker of the node saves it */
    assert_int_equal(load(), 5);
    assert_int_equal(save(l, 5), ERR_CONFLICT); /* sealed anew: other bytes */
    assert_int_equal(load(), 5);
    assert_int_equal(truncate(root_file(5), 0), 0); /* damage is mended */
    assert_int_equal(load(), 0);
    assert_int_equal(version_save(&x, l), 0);
    assert_int_equal(load(), 5);
    version_free(&x);
    lkg_close(l);
}

static void
test_a_section_must_be_given_or_there(void **state)
{
    struct slice none[FIXTURE_SECTIONS] = {{0}};
    struct snapshot_root root = {.epoch = 1, .version = 9};
    struct lkg *l = open_lkg();
    struct buf envelope;
    struct fixture f;

    (void)state;
    assert_int_equal(save(l, 1), 0);
    fixture_init(&f);
    fixture_list(&f);
    buf_init(&envelope, 0);
    fixture_sign(&f, sign_secret, 1, 9, &envelope);
    root.sections = f.refs;
    root.count = f.count;
    assert_int_equal(lkg_save(l, buf_slice(&envelope), &root, none), ERR_NOT_FOUND);
    assert_int_equal(load(), 1);
    buf_free(&envelope);
    fixture_free(&f);
    lkg_close(l);
}

/* --- F084: damage -------------------------------------------------------------------------- */

/* Every byte of a file changed in turn: `expect` must still be what is started with. */
static void
flip_all(const char *path, uint64_t expect)
{
    struct buf content;

    buf_init(&content, 0);
    assert_int_equal(file_read(path, 1 << 20, true, &content), 0);
    for (size_t i = 0; i < content.len; i++) {
        int fd = open(path, O_WRONLY);
        char flipped = (char)(content.at[i] ^ 0x20);

        assert_int_equal(pwrite(fd, &flipped, 1, (off_t)i), 1);
        close(fd);
        if (load() != expect)
            fail_msg("%s: byte %zu", path, i);
        fd = open(path, O_WRONLY);
        assert_int_equal(pwrite(fd, content.at + i, 1, (off_t)i), 1);
        close(fd);
    }
    buf_free(&content);
}

static void
test_f084_every_byte_of_the_root(void **state)
{
    struct lkg *l = open_lkg();

    (void)state;
    for (uint64_t v = 1; v <= 3; v++)
        assert_int_equal(save(l, v), 0);
    flip_all(root_file(3), 2);
    assert_int_equal(unlink(root_file(3)), 0);
    flip_all(root_file(2), 1);
    assert_int_equal(unlink(root_file(2)), 0);
    flip_all(root_file(1), 0); /* and then none: never half a policy */
    lkg_close(l);
}

static void
test_f084_every_byte_of_the_sections(void **state)
{
    struct lkg *l = open_lkg();
    char path[512];
    const struct dirent *e;
    DIR *d;

    (void)state;
    assert_int_equal(save(l, 1), 0);
    snprintf(path, sizeof(path), "%s/sections", policy_dir());
    d = opendir(path);
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/sections/%s", policy_dir(), e->d_name);
        flip_all(path, 0);
    }
    closedir(d);
    assert_int_equal(load(), 1);
    lkg_close(l);
}

static void
test_f084_every_byte_of_the_floor(void **state)
{
    struct lkg *l = open_lkg();
    char a[128], b[128];

    (void)state;
    assert_int_equal(save(l, 1), 0);
    assert_int_equal(save(l, 2), 0);
    snprintf(a, sizeof(a), "%s/floor.a", policy_dir());
    snprintf(b, sizeof(b), "%s/floor.b", policy_dir());
    flip_all(a, 2); /* the other copy stands in */
    flip_all(b, 2);
    assert_int_equal(unlink(a), 0);
    assert_int_equal(load(), 2);
    flip_all(b, 0); /* without a floor nothing is started from */
    assert_int_equal(unlink(b), 0);
    assert_int_equal(load(), 0);
    assert_int_equal(save(l, 3), 0); /* what comes from the control plane mends it */
    assert_int_equal(load(), 3);
    lkg_close(l);
}

/* The newest root is empty, a directory, a link, or a pipe. */
static void
test_f084_things_that_are_no_file(void **state)
{
    struct lkg *l = open_lkg();
    char aside[256];
    int fd;

    (void)state;
    assert_int_equal(save(l, 1), 0);
    assert_int_equal(save(l, 2), 0);
    snprintf(aside, sizeof(aside), "%s/aside", dir);
    assert_int_equal(rename(root_file(2), aside), 0);
    fd = open(root_file(2), O_WRONLY | O_CREAT, 0600);
    close(fd);
    assert_int_equal(load(), 1);
    assert_int_equal(unlink(root_file(2)), 0);
    assert_int_equal(mkdir(root_file(2), 0700), 0);
    assert_int_equal(load(), 1);
    assert_int_equal(rmdir(root_file(2)), 0);
    assert_int_equal(symlink(aside, root_file(2)), 0); /* the right bytes, but not in their place */
    assert_int_equal(load(), 1);
    assert_int_equal(unlink(root_file(2)), 0);
    assert_int_equal(mkfifo(root_file(2), 0600), 0);
    assert_int_equal(load(), 1);
    assert_int_equal(unlink(root_file(2)), 0);
    assert_int_equal(rename(aside, root_file(2)), 0);
    assert_int_equal(load(), 2);
    lkg_close(l);
}

static void
test_f084_directory_must_be_ours(void **state)
{
    char other[96];
    struct lkg *l = NULL;

    (void)state;
    snprintf(other, sizeof(other), "%s/other", dir);
    assert_int_equal(mkdir(other, 0700), 0);
    assert_int_equal(symlink(other, policy_dir()), 0);
    assert_int_equal(lkg_open(policy_dir(), fixture_keys(), &l), ERR_DENIED);
    assert_int_equal(unlink(policy_dir()), 0);
    if (geteuid() == 0) {
        assert_int_equal(mkdir(policy_dir(), 0777), 0);
        assert_int_equal(chown(policy_dir(), 1, 1), 0);
        assert_int_equal(lkg_open(policy_dir(), fixture_keys(), &l), ERR_DENIED);
        assert_int_equal(rmdir(policy_dir()), 0);
    }
    assert_int_equal(file_replace(policy_dir(), SLICE("a file"), 0600), 0);
    assert_int_equal(lkg_open(policy_dir(), fixture_keys(), &l), ERR_IO);
    assert_null(l);
}

/* No room for the new version: the old one stays, whole. */
static void
test_f084_no_room(void **state)
{
    struct rlimit before, none = {0, 0};
    struct lkg *l = open_lkg();
    int err;

    (void)state;
    assert_int_equal(save(l, 1), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    err = save(l, 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(err == ERR_IO || err == ERR_FULL);
    assert_int_equal(load(), 1);
    assert_int_equal(save(l, 2), 0);
    assert_int_equal(load(), 2);
    lkg_close(l);
}

/* F085: what was applied, but not yet saved, is not missed: the version before serves. Every file
 * of a save may be the last one written. */
static void
test_f085_killed_at_every_step_of_a_save(void **state)
{
    (void)state;
    for (int step = 0; step < 12; step++) {
        struct lkg *l = open_lkg();
        uint64_t v;
        pid_t child;

        assert_int_equal(save(l, 1), 0);
        if ((child = fork()) == 0) {
            /* each new file of a save takes a descriptor; the limit ends it in the middle */
            struct rlimit few = {(rlim_t)(3 + step), (rlim_t)(3 + step)};

            (void)setrlimit(RLIMIT_NOFILE, &few);
            (void)save(l, 2);
            _exit(0);
        }
        assert_int_equal(waitpid(child, NULL, 0), child);
        v = load();
        assert_true(v == 1 || v == 2);
        assert_int_equal(save(l, 3), 0);
        assert_int_equal(load(), 3);
        lkg_close(l);
        remove_dir(state);
        assert_int_equal(mkdir(dir, 0700), 0);
    }
}

/* --- F078: replay -------------------------------------------------------------------------- */

static void
test_f078_an_old_root_put_back_is_refused(void **state)
{
    struct lkg *l = open_lkg();
    char aside[128], command[1024];

    (void)state;
    assert_int_equal(save(l, 1), 0);
    snprintf(aside, sizeof(aside), "%s/aside", dir);
    snprintf(command, sizeof(command), "cp -r %s %s", policy_dir(), aside);
    assert_int_equal(system(command), 0);
    for (uint64_t v = 2; v <= 5; v++)
        assert_int_equal(save(l, v), 0);
    /* the attacker has the old, rightly signed root and its sections, and removes the newer ones */
    snprintf(command, sizeof(command),
             "rm %s/root-*; cp %s/root-* %s/; cp %s/sections/* %s/sections/", policy_dir(), aside,
             policy_dir(), aside, policy_dir());
    assert_int_equal(system(command), 0);
    assert_int_equal(load(), 0);
    /* under the name of a newer one it is no better */
    assert_int_equal(rename(root_file(1), root_file(6)), 0);
    assert_int_equal(load(), 0);
    lkg_close(l);
}

static void
test_f078_the_floor_cannot_be_made_without_the_key(void **state)
{
    static const unsigned char bytes[SEAL_KEY_BYTES] = "some other key";
    struct keyring other = keyring_of(bytes);
    struct lkg *l = open_lkg();
    struct lkg *forger = NULL;
    char command[256];

    (void)state;
    assert_int_equal(save(l, 5), 0);
    snprintf(command, sizeof(command), "rm %s/floor.*", policy_dir());
    assert_int_equal(system(command), 0);
    assert_int_equal(lkg_open(policy_dir(), &other, &forger), 0);
    assert_int_equal(save(forger, 1), 0); /* a floor under another key, with an old root */
    assert_int_equal(load(), 0);
    lkg_close(forger);
    lkg_close(l);
}

/* Another sealing key: the floor is believed while either key is there, and moves to the new one.
 */
static void
test_a_floor_outlives_its_key(void **state)
{
    static const unsigned char bytes[SEAL_KEY_BYTES] = "the next key";
    struct keyring both = keyring_of(bytes), next = keyring_of(bytes);
    struct lkg *l = open_lkg();
    struct lkg *after = NULL;

    (void)state;
    assert_int_equal(keyring_add(&both, fixture_seal_key, 0), 0);
    assert_int_equal(save(l, 5), 0);
    assert_int_equal(load_as(&both, NULL), 5); /* begun with the new one first */
    assert_int_equal(load_as(&next, NULL), 0); /* the new one alone does not believe it yet */
    assert_int_equal(lkg_rekey(l, &both), 0);
    /* the old key's floor is gone: who has only that one starts from nothing */
    assert_int_equal(load(), 0);
    assert_int_equal(load_as(&both, NULL), 5);
    /* and what the floor says is what it said */
    assert_int_equal(lkg_open(policy_dir(), &next, &after), 0);
    assert_int_equal(save(after, 4), 0);
    assert_int_equal(load_as(&both, NULL), 5);
    lkg_close(after);
    lkg_close(l);
}

static void
test_signed_by_another_is_refused(void **state)
{
    unsigned char stranger[SIGN_SECRET_BYTES], his_public[SIGN_PUBLIC_BYTES];
    struct lkg *l = open_lkg();

    (void)state;
    assert_int_equal(sign_generate(stranger, his_public), 0);
    assert_int_equal(save(l, 1), 0);
    assert_int_equal(save_from(l, 1, 2, stranger), 0);
    assert_int_equal(load(), 1);
    lkg_close(l);
}

/* --- all of them --------------------------------------------------------------------------- */

static bool
note_version(void *ctx, struct slice envelope, const struct snapshot_root *root,
             const struct slice *sections, bool expired)
{
    uint64_t *versions = ctx;
    size_t n = 0;

    assert_true(envelope.len > 0);
    assert_false(expired);
    for (size_t i = 0; i < root->count; i++)
        assert_int_equal(snapshot_check_section(&root->sections[i], sections[i]), SNAPSHOT_FINE);
    while (versions[n])
        n++;
    versions[n] = root->version;
    return false;
}

static void
test_each_shows_all_newest_first(void **state)
{
    struct snapshot_trust trust = {.public_keys =
                                       (const unsigned char(*)[SIGN_PUBLIC_BYTES])public_key,
                                   .key_count = 1,
                                   .now_wall_ms = 1700000000000};
    uint64_t versions[8] = {0};
    struct lkg *l = open_lkg();
    struct buf why;

    (void)state;
    buf_init(&why, 0);
    for (uint64_t v = 1; v <= 4; v++)
        assert_int_equal(save(l, v), 0);
    assert_int_equal(lkg_each(l, &trust, note_version, versions, &why), 3);
    assert_int_equal(versions[0], 4);
    assert_int_equal(versions[1], 3);
    assert_int_equal(versions[2], 2);
    buf_free(&why);
    lkg_close(l);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_saved_is_loaded),
        TEST(test_three_are_kept_and_the_rest_is_swept),
        TEST(test_an_older_save_changes_nothing),
        TEST(test_the_same_version_again),
        TEST(test_a_section_must_be_given_or_there),
        TEST(test_f084_every_byte_of_the_root),
        TEST(test_f084_every_byte_of_the_sections),
        TEST(test_f084_every_byte_of_the_floor),
        TEST(test_f084_things_that_are_no_file),
        TEST(test_f084_directory_must_be_ours),
        TEST(test_f084_no_room),
        TEST(test_f085_killed_at_every_step_of_a_save),
        TEST(test_f078_an_old_root_put_back_is_refused),
        TEST(test_f078_the_floor_cannot_be_made_without_the_key),
        TEST(test_a_floor_outlives_its_key),
        TEST(test_signed_by_another_is_refused),
        TEST(test_each_shows_all_newest_first),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
