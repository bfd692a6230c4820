/* See ring.h. */
#include "controlplane/secrets/ring.h"

#include "controlplane/secrets/manager.h"

_Static_assert(ASK_WHY_BYTES == KEYRING_WHY_BYTES, "one kind of line");

struct opener {
    bool allow_private;
    struct managers *managers; /* made when the first wrapped key is met */
};

static int
open_wrapped(void *ctx, struct slice wrapped, struct secret *ret_plain,
             char ret_why[static KEYRING_WHY_BYTES])
{
    struct opener *o = ctx;
    if (!o->managers)
        o->managers = managers_new(o->allow_private);
    ret_why[0] = '\0';
    return o->managers ? managers_unwrap(o->managers, wrapped, ret_plain, ret_why) : ERR_NOMEM;
}

int
ring_load(struct keyring_source *source, bool allow_private, struct keyring *ret,
          char ret_why[static KEYRING_WHY_BYTES])
{
    struct opener o = {.allow_private = allow_private};
    struct keyring_unwrap unwrap = {open_wrapped, &o};
    int err = keyring_load(source, &unwrap, ret, ret_why);
    managers_free(o.managers);
    return err;
}
