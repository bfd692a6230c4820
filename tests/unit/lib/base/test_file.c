#include "tests/unit/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"

static char dir[64];

static int
set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test-file-XXXXXX");
    return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
    char command[128];
    (void)state;
    if (chdir("/") < 0)
        return -1;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command); /* NOLINT: a fixed command on our own directory */
}

static void
write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void
expect_content(const char *path, const char *want)
{
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(file_read(path, 1000, false, &b), 0);
    assert_slice_is(buf_slice(&b), want);
    buf_free(&b);
}

static mode_t
mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static size_t
entries(void)
{
    size_t n = 0;
    DIR *d = opendir(".");
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void
test_read(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    assert_int_equal(buf_add_str(&b, ">"), 0);
    write_text("a", "0123456789");
    assert_int_equal(file_read("a", 10, false, &b), 0);
    assert_slice_is(buf_slice(&b), ">0123456789");
    assert_int_equal(file_read("a", 9, false, &b), ERR_LIMIT);
    assert_int_equal(file_read("missing", 9, false, &b), ERR_NOT_FOUND);
    assert_int_equal(file_read("a/b", 9, false, &b), ERR_NOT_FOUND);
    assert_slice_is(buf_slice(&b), ">0123456789");
    write_text("empty", "");
    assert_int_equal(file_read("empty", 0, false, &b), 0);
    buf_free(&b);
}

static void
test_read_takes_regular_files_only(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    assert_int_equal(mkdir("d", 0700), 0);
    assert_int_equal(file_read("d", 10, false, &b), ERR_IO);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(mkfifo("p", 0600), 0);
    assert_int_equal(file_read("p", 10, false, &b), ERR_IO); /* and does not wait for a writer */
    assert_int_equal(file_read("/dev/zero", 10, false, &b), ERR_IO);
    write_text("a", "x");
    assert_int_equal(symlink("a", "link"), 0);
    assert_int_equal(file_read("link", 10, false, &b), 0);
    assert_int_equal(file_read("link", 10, true, &b), ERR_IO);
    buf_free(&b);
}

static void
test_replace(void **state)
{
    (void)state;
    assert_int_equal(file_replace("a", SLICE("one"), 0640), 0);
    expect_content("a", "one");
    assert_int_equal(mode_of("a"), 0640);
    assert_int_equal(file_replace("a", SLICE("two!"), 0600), 0);
    expect_content("a", "two!");
    assert_int_equal(mode_of("a"), 0600);
    assert_int_equal(file_replace("a", SLICE(""), 0600), 0);
    expect_content("a", "");
    assert_int_equal(entries(), 1); /* no temporary file is left */
    char absolute[96];
    snprintf(absolute, sizeof(absolute), "%s/b", dir);
    assert_int_equal(file_replace(absolute, SLICE("x"), 0600), 0);
    expect_content("b", "x");
}

static void
test_replace_leaves_the_old_file_on_failure(void **state)
{
    (void)state;
    assert_int_equal(file_replace("missing/a", SLICE("x"), 0600), ERR_IO);
    assert_int_equal(mkdir("d", 0700), 0);
    assert_int_equal(mkdir("d/full", 0700), 0);
    assert_int_equal(file_replace("d", SLICE("x"), 0600), ERR_IO); /* a directory is there */
    assert_int_equal(entries(), 1);
}

static void
test_replace_replaces_a_link_not_its_target(void **state)
{
    (void)state;
    write_text("target", "precious");
    assert_int_equal(symlink("target", "link"), 0);
    assert_int_equal(file_replace("link", SLICE("new"), 0600), 0);
    expect_content("target", "precious");
    expect_content("link", "new");
}

/* A file size limit stands for the full disk: the write fails half way. */
static void
test_replace_without_room(void **state)
{
    const struct rlimit small = {4096, RLIM_INFINITY};
    struct rlimit before;
    static char big[8192];
    (void)state;
    write_text("a", "old");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int e = file_replace("a", slice_make(big, sizeof(big)), 0600);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(e, ERR_IO);
    assert_int_equal(errno, EFBIG);
    expect_content("a", "old");
    assert_int_equal(entries(), 1);
}

static void
test_make_dirs(void **state)
{
    (void)state;
    assert_int_equal(file_make_dirs("a/b//c/", 0750), 0);
    assert_int_equal(mode_of("a/b/c") & 0700, 0700);
    assert_int_equal(file_make_dirs("a/b/c", 0750), 0);
    write_text("file", "x");
    assert_int_equal(file_make_dirs("file", 0750), ERR_IO);
    assert_int_equal(file_make_dirs("file/x", 0750), ERR_IO);
    assert_int_equal(file_make_dirs("", 0750), ERR_IO);
    assert_int_equal(file_make_dirs("/tmp", 0750), 0);
    assert_int_equal(file_make_dirs("/", 0750), 0);
}

static void
test_key_is_made_once(void **state)
{
    unsigned char key[32], again[32];
    (void)state;
    assert_int_equal(file_key("k", key, 32, false), ERR_NOT_FOUND);
    assert_int_equal(file_key("k", key, 32, true), 0);
    assert_int_equal(mode_of("k"), 0600);
    assert_int_equal(file_key("k", again, 32, true), 0);
    assert_memory_equal(key, again, 32);
    assert_int_equal(file_key("k", again, 16, false), ERR_SYNTAX);
    assert_int_equal(file_key("other", again, 32, true), 0);
    assert_memory_not_equal(key, again, 32);
    assert_int_equal(entries(), 2);
}

static void
test_key_texts(void **state)
{
    unsigned char key[2];
    (void)state;
    write_text("k", "00ff");
    assert_int_equal(file_key("k", key, 2, false), 0);
    assert_memory_equal(key, "\x00\xff", 2);
    write_text("k", " 00FF \r\n");
    assert_int_equal(file_key("k", key, 2, false), ERR_SYNTAX); /* the blank before the line end */
    write_text("k", " 00FF\r\n");
    assert_int_equal(file_key("k", key, 2, false), 0);
    write_text("k", "");
    assert_int_equal(file_key("k", key, 2, true), ERR_SYNTAX); /* never overwritten */
    write_text("k", "00fg\n");
    assert_int_equal(file_key("k", key, 2, false), ERR_SYNTAX);
    write_text("k", "00ff00\n");
    assert_int_equal(file_key("k", key, 2, false), ERR_SYNTAX);
    assert_int_equal(mkdir("d", 0700), 0);
    assert_int_equal(file_key("d", key, 2, true), ERR_IO);
    assert_int_equal(file_key("nowhere/k", key, 2, true), ERR_IO);
}

static void *
take_key(void *into)
{
    return (void *)(intptr_t)file_key("k", into, 32, true);
}

/* Several processes start at once: all must end up with the same key. */
static void
test_key_made_by_many_at_once(void **state)
{
    unsigned char keys[8][32];
    pthread_t threads[8];
    void *e;
    (void)state;
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_key, keys[i]), 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], &e), 0);
        assert_null(e);
        assert_memory_equal(keys[i], keys[0], 32);
    }
    assert_int_equal(entries(), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_read),
        TEST(test_read_takes_regular_files_only),
        TEST(test_replace),
        TEST(test_replace_leaves_the_old_file_on_failure),
        TEST(test_replace_replaces_a_link_not_its_target),
        TEST(test_replace_without_room),
        TEST(test_make_dirs),
        TEST(test_key_is_made_once),
        TEST(test_key_texts),
        TEST(test_key_made_by_many_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
