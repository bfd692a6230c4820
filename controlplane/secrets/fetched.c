/* See fetched.h. */
#include "controlplane/secrets/fetched.h"

#include <stdlib.h>

static struct fetched_value *
find(const struct fetched *f, struct slice reference)
{
    struct fetched_value *v;
    LIST_FOREACH(v, f, link)
    {
        if (slice_is(reference, v->reference))
            return v;
    }
    return NULL;
}

const struct fetched_value *
fetched_find(const struct fetched *f, struct slice reference)
{
    return find(f, reference);
}

int
fetched_put(struct fetched *f, struct slice reference, int64_t version, struct secret *value)
{
    struct fetched_value *v = find(f, reference);
    if (!v) {
        v = calloc(1, sizeof(*v));
        char *name = slice_dup(reference);
        if (!v || !name) {
            free(v);
            free(name);
            secret_free(value);
            return ERR_NOMEM;
        }
        v->reference = name;
        LIST_INSERT_HEAD(f, v, link);
    }
    secret_free(&v->value);
    v->value = *value;
    v->version = version;
    *value = (struct secret){0};
    return 0;
}

void
fetched_fini(struct fetched *f)
{
    struct fetched_value *v;
    while ((v = LIST_FIRST(f)) != NULL) {
        LIST_REMOVE(v, link);
        secret_free(&v->value);
        free(v->reference);
        free(v);
    }
}
