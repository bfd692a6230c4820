/* headgate down: stops all of a local gateway in order, and waits until it is gone. */
#include <signal.h>
#include <stdio.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/commands.h"
#include "controlplane/cli/parts.h"

/* The supervisor stops the parts; one that hangs is ended, and what it leaves is stopped here. */
static void
stop_supervisor(const struct home *h, bool quick)
{
    struct process s = process_load(h, "supervisor");
    int64_t patience = 10000;
    if (s.pid == 0)
        return;
    for (int id = 0; id < PART_COUNT; id++)
        patience += part_stop_ms(h, (enum part_id)id);
    process_signal(&s, SIGTERM);
    if (quick) {
        process_pause(100); /* two signals at once would merge into one */
        process_signal(&s, SIGTERM);
    }
    if (!process_wait_gone(&s, patience)) {
        process_signal(&s, SIGKILL);
        process_wait_gone(&s, 5000);
    }
    process_forget(h, "supervisor");
}

static bool
is_patient(void)
{
    return false;
}

static int
stop_rest(const struct home *h, bool quick)
{
    for (int id = PART_COUNT - 1; id >= 0; id--) {
        struct process p = process_load(h, parts[id].name);
        if (p.pid == 0)
            continue;
        part_stop(h, (enum part_id)id, &p, quick ? part_hurry : is_patient);
        if (process_is_alive(&p))
            return cli_fail("%s (pid %d) does not stop", parts[id].title, (int)p.pid);
        process_forget(h, parts[id].name);
    }
    return CLI_OK;
}

static bool
is_running(const struct home *h)
{
    if (process_load(h, "supervisor").pid > 0)
        return true;
    for (int id = 0; id < PART_COUNT; id++)
        if (process_load(h, parts[id].name).pid > 0)
            return true;
    return false;
}

static int
print_result(const struct cli *c, const struct home *h, bool was_running)
{
    if (!c->json) {
        printf(was_running ? "Stopped.\n" : "It was not running.\n");
        return CLI_OK;
    }
    struct json *j = json_new_map();
    int e = j ? json_set_str(j, "home", h->dir) : ERR_NOMEM;
    if (e == 0)
        e = json_set_bool(j, "was_running", was_running);
    e = e == 0 ? cli_print_json(j) : cli_fail("out of memory");
    json_free(j);
    return e;
}

int
down_run(const struct command *command, int argc, char **argv)
{
    struct cli c;
    struct home h;
    char dir[HOME_PATH_BYTES];
    bool quick = false;
    const struct option_row rows[] = {
        {.name = "quick",
         .kind = OPTION_FLAG,
         .into = &quick,
         .help = "do not wait for open streams"},
    };
    int e = cli_begin(&c, command, rows, 1, 0, 0, argc, argv);
    if (e != CLI_GO_ON)
        return e;
    if (home_find(c.home, true, dir) != 0)
        return cli_fail("give the gateway's directory with --home DIR");
    e = home_open(&h, dir);
    if (e == ERR_NOT_FOUND)
        return cli_fail("no gateway in %s", dir);
    if (e != 0)
        return CLI_FAILED;
    bool was_running = is_running(&h);
    stop_supervisor(&h, quick);
    e = stop_rest(&h, quick);
    return e == CLI_OK ? print_result(&c, &h, was_running) : e;
}
