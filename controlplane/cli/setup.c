#include "controlplane/cli/setup.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/cli/cli.h"
#include "controlplane/cli/cluster.h"
#include "lib/base/clock.h"
#include "lib/base/secret.h"

#define POLL_MS 20
#define USABLE_MS 30000
#define PROBE_MS 2000

/* What a new gateway serves before anybody configured it. */
static const char default_document[] =
    "{\"teams\":[{\"name\":\"default\"}],"
    "\"providers\":[{\"name\":\"simulator\",\"kind\":\"simulator\"}],"
    "\"models\":[{\"name\":\"simulator\","
    "\"targets\":[{\"provider\":\"simulator\",\"model\":\"simulator\"}]}]}";

/* A provider whose key is in the environment, and its models that get a bare name. All others are
 * reachable as PROVIDER/MODEL. */
struct known_provider {
    const char *name, *variable;
    const char *const *models;
};
static const char *const openai_models[] = {"gpt-5.6",
                                            "gpt-5.4",
                                            "gpt-5.4-mini",
                                            "gpt-5.4-nano",
                                            "gpt-5",
                                            "gpt-5-mini",
                                            "gpt-5-nano",
                                            "gpt-4.1",
                                            "gpt-4.1-mini",
                                            "gpt-4.1-nano",
                                            "gpt-4o",
                                            "gpt-4o-mini",
                                            "o3",
                                            "o4-mini",
                                            "gpt-3.5-turbo",
                                            "text-embedding-3-small",
                                            "text-embedding-3-large",
                                            NULL};
static const char *const anthropic_models[] = {
    "claude-opus-5",     "claude-sonnet-5",   "claude-opus-4-8",
    "claude-opus-4-6",   "claude-sonnet-4-6", "claude-opus-4-5",
    "claude-sonnet-4-5", "claude-haiku-4-5",  NULL};
static const char *const gemini_models[] = {"gemini-3-pro-preview", "gemini-2.5-pro",
                                            "gemini-2.5-flash", "gemini-2.5-flash-lite", NULL};
static const char *const no_models[] = {NULL};
/* The variables are those that the vendors' own SDKs read. */
static const struct known_provider known_providers[] = {
    {"openai", "OPENAI_API_KEY", openai_models},
    {"anthropic", "ANTHROPIC_API_KEY", anthropic_models},
    {"gemini", "GEMINI_API_KEY", gemini_models},
    {"gemini", "GOOGLE_API_KEY", gemini_models},
    {"cohere", "COHERE_API_KEY", no_models},
    {"mistral", "MISTRAL_API_KEY", no_models},
    {"groq", "GROQ_API_KEY", no_models},
    {"together", "TOGETHER_API_KEY", no_models},
    {"deepseek", "DEEPSEEK_API_KEY", no_models},
    {"xai", "XAI_API_KEY", no_models},
    {"openrouter", "OPENROUTER_API_KEY", no_models},
    {"fireworks", "FIREWORKS_API_KEY", no_models},
    {"cerebras", "CEREBRAS_API_KEY", no_models},
    {"perplexity", "PERPLEXITY_API_KEY", no_models},
    {"huggingface", "HF_TOKEN", no_models},
};

/* --- the admin token ---------------------------------------------------------------------------
 */

static bool
token_works(const struct setup *s)
{
    char url[HOME_ADDRESS_BYTES + 64];
    home_url(s->home->admin, url, sizeof(url));
    size_t n = strlen(url);
    snprintf(url + n, sizeof(url) - n, "/api/v1/whoami");
    return s->token[0] && client_probe(url, s->token, PROBE_MS) == 200;
}

/* Runs the daemon's own command, which writes the token to its standard output: it is in no
 * argument and no file but ours. */
static int
run_token_command(struct setup *s, const char *name, char *why, size_t why_bytes)
{
    char dsn[HOME_PATH_BYTES + 128], token_name[64];
    int out[2];
    cluster_dsn(s->home, "headgate_app", dsn, sizeof(dsn));
    snprintf(token_name, sizeof(token_name), "%s", name);
    if (pipe(out) < 0)
        return ERR_IO;
    char *argv[] = {(char[]){"headgate-controlplane"},
                    (char[]){"token"},
                    (char[]){"--database"},
                    dsn,
                    (char[]){"--name"},
                    token_name,
                    (char[]){"--role"},
                    (char[]){"admin"},
                    NULL};
    char *env[] = {(char[]){"PATH=/usr/bin:/bin"}, NULL};
    char log[HOME_PATH_BYTES];
    bool fits = home_path(s->home, log, sizeof(log), "log/token.log");
    struct spawn spawn = {.program = s->programs->control_plane,
                          .argv = argv,
                          .env = env,
                          .log = fits ? log : NULL,
                          .output = out[1],
                          .same_session = true};
    int status = process_run(&spawn, why, why_bytes);
    close(out[1]);
    ssize_t n = status == 0 ? read(out[0], s->token, sizeof(s->token) - 1) : -1;
    close(out[0]);
    s->token[n > 0 ? n : 0] = '\0';
    s->token[strcspn(s->token, "\r\n")] = '\0';
    if (n > 0 && s->token[0])
        return 0;
    if (status >= 0)
        snprintf(why, why_bytes, "the admin token could not be made (see %s)", log);
    return ERR_IO;
}

static int
ensure_token(struct setup *s)
{
    char why[HOME_PATH_BYTES + 300] = "", name[64];
    if (home_env_get(s->home, "HEADGATE_ADMIN_TOKEN", s->token, sizeof(s->token)) != 0)
        s->token[0] = '\0';
    if (token_works(s))
        return CLI_OK;
    s->progress("creating an admin token");
    if (run_token_command(s, "local", why, sizeof(why)) == 0 && token_works(s))
        return CLI_OK;
    /* There was one before, and its text is lost. */
    snprintf(name, sizeof(name), "local-%lld", (long long)(clock_wall_ms() / 1000));
    if (run_token_command(s, name, why, sizeof(why)) != 0)
        return cli_fail("%s", why);
    return token_works(s) ? CLI_OK : cli_fail("the admin token that was made does not work");
}

/* --- the configuration
 * ---------------------------------------------------------------------------- */

static int
apply_json(const struct client *c, struct json *doc, const char *note)
{
    struct config_file f = {.path = "(defaults)", .doc = doc};
    struct json *applied = NULL;
    struct json *places_doc = NULL;
    struct buf why;
    buf_init(&why, 0);
    /* No file, so no places: an empty document's will do. */
    int e = yaml_read(SLICE("{}"), &places_doc, &f.places, &why) == 0
                ? config_apply(c, &f, &(struct apply_options){.note = note}, &applied)
                : cli_fail("out of memory");
    json_free(places_doc);
    json_free(applied);
    yaml_places_free(f.places);
    buf_free(&why);
    return e;
}

static int
apply_defaults(const struct client *c)
{
    char why[200];
    struct json *doc = NULL;
    if (json_parse(slice_of(default_document), &doc, why, sizeof(why)) != 0)
        return cli_fail("the default configuration is broken: %s", why);
    int e = apply_json(c, doc, "defaults of headgate up");
    json_free(doc);
    return e;
}

/* Whether an item is there: 1, 0, or CLI_FAILED with the error printed (as -1). */
static int
exists(const struct client *c, const char *kind, const char *name)
{
    char path[300], why[CLIENT_URL_BYTES + 300];
    struct client_answer answer;
    if (!client_path(path, sizeof(path), kind, name))
        return 0;
    struct client_call call = {.method = "GET", .path = path};
    if (client_call(c, &call, &answer, why, sizeof(why)) != 0) {
        cli_fail("%s", why);
        return -1;
    }
    int found = answer.status == 200 ? 1 : answer.status == 404 ? 0 : -1;
    if (found < 0)
        client_complain(&answer);
    client_answer_free(&answer);
    return found;
}

static int
add_target(struct json *models, const char *provider, const char *model)
{
    struct json *item = json_new_map(), *targets = json_new_list(), *target = json_new_map();
    int e = item && targets && target ? 0 : ERR_NOMEM;
    if (e == 0)
        e = json_set_str(target, "provider", provider);
    if (e == 0)
        e = json_set_str(target, "model", model);
    if (e == 0)
        e = json_append(targets, json_ref(target));
    if (e == 0)
        e = json_set_str(item, "name", model);
    if (e == 0)
        e = json_set(item, "targets", json_ref(targets));
    if (e == 0)
        e = json_append(models, json_ref(item));
    json_free(target);
    json_free(targets);
    json_free(item);
    return e;
}

static struct json *
provider_document(const struct client *c, const struct known_provider *p)
{
    char credential[80];
    struct json *doc = json_new_map(), *item = json_new_map(), *providers = json_new_list();
    struct json *models = json_new_list();
    int e = doc && item && providers && models ? 0 : ERR_NOMEM;
    snprintf(credential, sizeof(credential), "env:%s", p->variable);
    if (e == 0)
        e = json_set_str(item, "name", p->name);
    if (e == 0)
        e = json_set_str(item, "kind", p->name);
    if (e == 0)
        e = json_set_str(item, "credential", credential);
    if (e == 0)
        e = json_append(providers, json_ref(item));
    for (const char *const *m = p->models; *m && e == 0; m++)
        if (exists(c, "models", *m) == 0)
            e = add_target(models, p->name, *m);
    if (e == 0)
        e = json_set(doc, "providers", json_ref(providers));
    if (e == 0)
        e = json_set(doc, "models", json_ref(models));
    json_free(item);
    json_free(providers);
    json_free(models);
    if (e == 0)
        return doc;
    json_free(doc);
    return NULL;
}

static int
add_provider(const struct setup *s, const struct client *c, const struct known_provider *p)
{
    const char *value = getenv(p->variable);
    if (!value || !*value)
        return CLI_OK;
    int found = exists(c, "providers", p->name);
    if (found != 0)
        return found < 0 ? CLI_FAILED : CLI_OK;
    if (!s->fresh_control_plane) {
        cli_note("%s is set, but the running gateway was started without it: `headgate down` and "
                 "`headgate up` add the provider",
                 p->variable);
        return CLI_OK;
    }
    struct json *doc = provider_document(c, p);
    int e =
        doc ? apply_json(c, doc, "provider found in the environment") : cli_fail("out of memory");
    json_free(doc);
    return e;
}

static int
apply_config(const struct setup *s, const struct client *c)
{
    struct json *applied = NULL;
    if (!s->config)
        return CLI_OK;
    s->progress("applying the configuration");
    int e = config_apply(c, s->config, &(struct apply_options){.note = "headgate up --config"},
                         &applied);
    if (e == CLI_OK)
        config_print_changes(stdout, applied);
    json_free(applied);
    return e;
}

/* --- the first key ------------------------------------------------------------------------------
 */

static int
post_key(struct setup *s, const struct client *c, int *ret_status)
{
    char why[CLIENT_URL_BYTES + 300];
    struct client_answer answer;
    struct json *body = json_new_map();
    if (!body || json_set_str(body, "name", "default") != 0 ||
        json_set_str(body, "team", "default") != 0) {
        json_free(body);
        return cli_fail("out of memory");
    }
    struct client_call call = {.method = "POST", .path = "/api/v1/keys", .body = body};
    int e = client_call(c, &call, &answer, why, sizeof(why));
    json_free(body);
    if (e != 0)
        return cli_fail("%s", why);
    struct slice key = json_str(json_get(answer.body, "key"));
    *ret_status = answer.status;
    if (answer.status == 201 && key.len > 0 && key.len < sizeof(s->key))
        snprintf(s->key, sizeof(s->key), "%.*s", SLICE_ARG(key));
    else if (answer.status != 409)
        client_complain(&answer);
    client_answer_free(&answer);
    return s->key[0] || *ret_status == 409 ? CLI_OK : CLI_FAILED;
}

/* An interrupted first start may have left a key whose text nobody has: it is replaced. */
static int
create_key(struct setup *s, const struct client *c)
{
    int status = 0;
    s->progress("creating a team and a key");
    int e = apply_defaults(c);
    if (e == CLI_OK)
        e = post_key(s, c, &status);
    if (e != CLI_OK || status != 409)
        return e;
    struct client_call call = {.method = "DELETE", .path = "/api/v1/keys/default", .if_match = "*"};
    e = client_do(c, &call, NULL);
    return e == CLI_OK ? post_key(s, c, &status) : e;
}

/* --- usable -------------------------------------------------------------------------------------
 */

static int
write_env(const struct setup *s)
{
    char url[HOME_ADDRESS_BYTES + 16], admin[HOME_ADDRESS_BYTES + 16];
    char metrics[HOME_ADDRESS_BYTES + 32];
    home_url(s->home->listen, url, sizeof(url));
    home_url(s->home->admin, admin, sizeof(admin));
    home_url(s->home->metrics, metrics, sizeof(metrics));
    size_t n = strlen(metrics);
    snprintf(metrics + n, sizeof(metrics) - n, "/metrics");
    const char *const pairs[][2] = {
        {"HEADGATE_URL", url},
        {"HEADGATE_API_KEY", s->key},
        {"HEADGATE_ADMIN_URL", admin},
        {"HEADGATE_ADMIN_TOKEN", s->token},
        {"HEADGATE_METRICS_URL", metrics},
    };
    int e = home_env_write(s->home, pairs, sizeof(pairs) / sizeof(pairs[0]));
    return e == 0 ? CLI_OK : cli_fail("cannot write %s/env: %s", s->home->dir, err_name(e));
}

/* The first item of a collection: a reference, or NULL. */
static struct json *
first_of(const struct client *c, const char *path)
{
    char why[CLIENT_URL_BYTES + 300];
    struct client_answer answer;
    struct client_call call = {.method = "GET", .path = path, .total_ms = PROBE_MS};
    if (client_call(c, &call, &answer, why, sizeof(why)) != 0)
        return NULL;
    struct json *first = json_ref(json_at(json_get(answer.body, "data"), 0));
    client_answer_free(&answer);
    return first;
}

static int64_t
number_of(const struct json *item, const char *name)
{
    int64_t v;
    return json_to_int(json_get(item, name), &v) == 0 ? v : 0;
}

/* Whether a worker's row speaks of one that runs here and holds less than this snapshot. */
static bool
is_behind(const struct json *worker, const struct json *snapshot)
{
    int64_t pid = number_of(worker, "pid");
    int64_t epoch = number_of(worker, "held_epoch"), wanted = number_of(snapshot, "epoch");
    if (!json_is_true(json_get(worker, "alive")) || pid <= 0 ||
        (kill((pid_t)pid, 0) < 0 && errno == ESRCH))
        return false;
    return epoch < wanted ||
           (epoch == wanted && number_of(worker, "held_version") < number_of(snapshot, "version"));
}

static bool
workers_are_current(const struct client *c, const struct json *snapshot)
{
    char why[CLIENT_URL_BYTES + 300];
    struct client_answer answer;
    struct client_call call = {.method = "GET", .path = "/api/v1/workers", .total_ms = PROBE_MS};
    if (client_call(c, &call, &answer, why, sizeof(why)) != 0)
        return false;
    const struct json *workers = json_get(answer.body, "data");
    bool current = json_size(workers) > 0;
    for (size_t i = 0; i < json_size(workers) && current; i++)
        current = !is_behind(json_at(workers, i), snapshot);
    client_answer_free(&answer);
    return current;
}

/* Until what was configured is published, and all workers hold it. */
static int
wait_applied(const struct setup *s, const struct client *c)
{
    int64_t deadline = clock_mono_ms() + USABLE_MS;
    for (bool done = false; !done;) {
        struct json *revision = first_of(c, "/api/v1/revisions?limit=1");
        struct json *snapshot = first_of(c, "/api/v1/snapshots?limit=1");
        done = snapshot && number_of(snapshot, "revision") >= number_of(revision, "revision") &&
               workers_are_current(c, snapshot);
        json_free(snapshot);
        json_free(revision);
        if (done)
            break;
        if (clock_mono_ms() >= deadline)
            return cli_fail("the workers do not take the configuration: see `headgate workers "
                            "--home %s`",
                            s->home->dir);
        process_pause(POLL_MS);
    }
    return CLI_OK;
}

/* Asks with the key until the workers know it. `known`: the key is from an earlier start, and may
 * have been revoked since. */
static int
wait_usable(const struct setup *s, bool known)
{
    char url[HOME_ADDRESS_BYTES + 64];
    int64_t deadline = clock_mono_ms() + USABLE_MS;
    home_url(s->home->listen, url, sizeof(url));
    size_t n = strlen(url);
    snprintf(url + n, sizeof(url) - n, "/v1/models");
    for (;;) {
        int status = client_probe(url, s->key, PROBE_MS);
        if (status == 200)
            return CLI_OK;
        if (known && (status == 401 || status == 403)) {
            cli_note("the key in %s/env no longer works: `headgate key create` makes another",
                     s->home->dir);
            return CLI_OK;
        }
        if (clock_mono_ms() >= deadline)
            return cli_fail("the gateway runs, but GET %s answers %d with the key (see %s/log)",
                            url, status > 0 ? status : 0, s->home->dir);
        process_pause(POLL_MS);
    }
}

int
setup_run(struct setup *s)
{
    struct client c;
    int e = ensure_token(s);
    if (e != CLI_OK)
        return e;
    client_open_local(&c, s->home, s->token);
    bool known = home_env_get(s->home, "HEADGATE_API_KEY", s->key, sizeof(s->key)) == 0;
    if (!known)
        e = create_key(s, &c);
    for (size_t i = 0; i < sizeof(known_providers) / sizeof(known_providers[0]) && e == CLI_OK; i++)
        e = add_provider(s, &c, &known_providers[i]);
    if (e == CLI_OK && s->key[0])
        e = write_env(s);
    if (e == CLI_OK)
        e = apply_config(s, &c);
    if (e == CLI_OK)
        e = wait_applied(s, &c);
    if (e == CLI_OK)
        e = wait_usable(s, known);
    client_close(&c);
    return e;
}
