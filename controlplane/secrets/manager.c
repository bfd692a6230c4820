/* See manager.h. */
#include "controlplane/secrets/manager.h"

#include <stdlib.h>

#define ASK_MS 5000
#define MANAGERS (MANAGER_AZURE + 1)

struct managers {
    struct ask ask;
    struct manager_state states[MANAGERS];
};

static manager_get *const getters[MANAGERS] = {
    [MANAGER_VAULT] = vault_get, [MANAGER_AWS_SM] = aws_get,  [MANAGER_AWS_SSM] = aws_get,
    [MANAGER_GCP] = google_get,  [MANAGER_AZURE] = azure_get,
};

struct managers *
managers_new(bool allow_private)
{
    struct managers *m = calloc(1, sizeof(*m));
    const char *why;
    if (!m)
        return NULL;
    m->ask.allow_private = allow_private;
    m->ask.total_ms = ASK_MS;
    if (tls_client_new(NULL, NULL, NULL, NULL, &m->ask.tls, &why) == 0)
        return m;
    managers_free(m);
    return NULL;
}

void
managers_free(struct managers *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < MANAGERS; i++) {
        ask_token_free(&m->states[i].token);
        tls_client_free(m->states[i].tls);
    }
    tls_client_free(m->ask.tls);
    free(m);
}

void
managers_keep(struct managers *m)
{
    vault_keep(&m->ask, &m->states[MANAGER_VAULT]);
}

const char *
manager_setting(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

int
managers_fetch(struct managers *m, struct slice text, struct secret *ret_value,
               char ret_why[static ASK_WHY_BYTES])
{
    struct reference r;
    const char *why = "";
    m->ask.why[0] = '\0';
    int err = reference_parse(text, &r, &why);
    if (err)
        (void)ask_fail(&m->ask, err, "%s", why);
    else
        err = getters[r.manager](&m->ask, &m->states[r.manager], &r, ret_value);
    if (err && !m->ask.why[0])
        (void)ask_fail(&m->ask, err, "%s", err_name(err));
    memcpy(ret_why, m->ask.why, ASK_WHY_BYTES);
    return err;
}

static const struct key_service {
    const char *scheme;
    manager_unwrap *unwrap;
    enum manager state;
} key_services[] = {
    {"aws-kms", aws_unwrap, MANAGER_AWS_SM},
    {"vault-transit", vault_unwrap, MANAGER_VAULT},
};

int
managers_unwrap(struct managers *m, struct slice text, struct secret *ret_plain,
                char ret_why[static ASK_WHY_BYTES])
{
    struct slice rest = text;
    struct slice scheme = slice_cut(&rest, ':');
    const struct key_service *k = NULL;
    int err = ERR_SYNTAX;
    m->ask.why[0] = '\0';
    for (size_t i = 0; i < sizeof(key_services) / sizeof(key_services[0]); i++)
        if (slice_is(scheme, key_services[i].scheme))
            k = &key_services[i];
    if (k && rest.at)
        err = k->unwrap(&m->ask, &m->states[k->state], rest, ret_plain);
    else
        (void)ask_fail(&m->ask, err,
                       "not a key: 64 hexadecimal digits, or aws-kms: or vault-transit: before "
                       "what that service wrapped");
    if (err && !m->ask.why[0])
        (void)ask_fail(&m->ask, err, "%s", err_name(err));
    memcpy(ret_why, m->ask.why, ASK_WHY_BYTES);
    return err;
}
