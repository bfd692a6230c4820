#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controlplane/cli/home.h"

static char root[] = "/tmp/headgate-test-XXXXXX";

static int
make_root(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int
remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command);
}

static void
assert_found(const char *option, const char *want)
{
    char dir[HOME_PATH_BYTES];
    assert_int_equal(home_find(option, false, dir), 0);
    assert_string_equal(dir, want);
}

static void
test_find_order(void **state)
{
    (void)state;
    char dir[HOME_PATH_BYTES];
    setenv("HOME", "/nowhere", 1);
    unsetenv("HEADGATE_HOME");
    unsetenv("HEADGATE_ADMIN_URL");
    assert_found(NULL, "/nowhere/.headgate");
    setenv("HEADGATE_ADMIN_URL", "http://127.0.0.1:1", 1);
    assert_int_equal(home_find(NULL, false, dir), ERR_NOT_FOUND);
    assert_int_equal(home_find(NULL, true, dir), 0);
    setenv("HEADGATE_HOME", "/elsewhere", 1);
    assert_found(NULL, "/elsewhere");
    assert_found("/given", "/given");
    unsetenv("HEADGATE_HOME");
    unsetenv("HEADGATE_ADMIN_URL");
}

static void
test_find_resolves(void **state)
{
    (void)state;
    char link[64], sub[64], want[128];
    assert_found("/", "/");
    assert_found("/no/such//dir/", "/no/such//dir");
    snprintf(sub, sizeof(sub), "%s/real", root);
    snprintf(link, sizeof(link), "%s/link", root);
    assert_int_equal(mkdir(sub, 0700), 0);
    assert_int_equal(symlink(sub, link), 0);
    snprintf(want, sizeof(want), "%s/real/new/er", root);
    snprintf(sub, sizeof(sub), "%s/link/new/er", root);
    assert_found(sub, want);
    assert_int_equal(chdir(root), 0);
    snprintf(want, sizeof(want), "%s/here", root);
    assert_found("here", want);
    char longer[HOME_PATH_BYTES + 10], dir[HOME_PATH_BYTES];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    assert_int_not_equal(home_find(longer, false, dir), 0);
}

static void
test_save_and_open(void **state)
{
    (void)state;
    struct home h, again;
    assert_int_equal(home_open(&h, root), ERR_NOT_FOUND);
    assert_string_equal(h.listen, "127.0.0.1:8080");
    snprintf(h.listen, sizeof(h.listen), "0.0.0.0:1234");
    snprintf(h.user, sizeof(h.user), "somebody");
    h.workers = 3;
    h.drain_ms = 77;
    h.uid = 12;
    h.gid = 34;
    assert_int_equal(home_save(&h), 0);
    assert_int_equal(home_open(&again, root), 0);
    assert_string_equal(again.listen, "0.0.0.0:1234");
    assert_string_equal(again.admin, "127.0.0.1:8081");
    assert_string_equal(again.user, "somebody");
    assert_int_equal(again.workers, 3);
    assert_int_equal(again.drain_ms, 77);
    assert_int_equal(again.uid, 12);
    assert_int_equal(again.gid, 34);
    assert_true(again.exists);
}

static void
test_env(void **state)
{
    (void)state;
    struct home h = {0};
    struct stat st;
    char text[64], path[64];
    snprintf(h.dir, sizeof(h.dir), "%s", root);
    assert_int_equal(home_env_get(&h, "A", text, sizeof(text)), ERR_NOT_FOUND);
    const char *const pairs[][2] = {{"A", "1=2"}, {"AB", "x"}, {"EMPTY", ""}};
    assert_int_equal(home_env_write(&h, pairs, 3), 0);
    assert_int_equal(home_env_get(&h, "A", text, sizeof(text)), 0);
    assert_string_equal(text, "1=2");
    assert_int_equal(home_env_get(&h, "AB", text, sizeof(text)), 0);
    assert_string_equal(text, "x");
    assert_int_equal(home_env_get(&h, "EMPTY", text, sizeof(text)), ERR_NOT_FOUND);
    assert_int_equal(home_env_get(&h, "A", text, 3), ERR_LIMIT);
    snprintf(path, sizeof(path), "%s/env", root);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void
test_urls(void **state)
{
    (void)state;
    static const char *const urls[][2] = {
        {"127.0.0.1:8080", "http://127.0.0.1:8080"},
        {"0.0.0.0:80", "http://127.0.0.1:80"},
        {":9", "http://127.0.0.1:9"},
        {"[::]:9", "http://[::1]:9"},
        {"[fe80::1]:9", "http://[fe80::1]:9"},
        {"gw.example:443", "http://gw.example:443"},
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        char url[100];
        home_url(urls[i][0], url, sizeof(url));
        assert_string_equal(url, urls[i][1]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_order),    cmocka_unit_test(test_find_resolves),
        cmocka_unit_test(test_save_and_open), cmocka_unit_test(test_env),
        cmocka_unit_test(test_urls),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
