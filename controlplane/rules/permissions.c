/* See permissions.h. */
#include "controlplane/rules/permissions.h"

#include <assert.h>
#include <stdio.h>

#include "controlplane/rules/kinds.h"
#include "lib/policy/policy.h"

/* Of every kind of configuration item. */
static const char *const verbs[] = {"read", "create", "write", "delete"};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

/* Of everything else. Behind the kinds', so that a new kind moves them: numbers are never stored.
 */
static const char *const others[] = {
    "keys.rotate",    "config.read",   "config.apply",    "tokens.read",     "tokens.create",
    "tokens.delete",  "audit.read",    "usage.read",      "ledger.read",     "ledger.rerate",
    "snapshots.read", "workers.read",  "secrets.read",    "secrets.refresh", "secrets.reseal",
    "scim.provision", "sessions.read", "sessions.delete",
};
#define OTHERS (sizeof(others) / sizeof(others[0]))

_Static_assert(KIND_COUNT *VERBS + OTHERS <= PERMISSIONS_MOST, "a set has too few bits");

// clang-format off
static const struct builtin_role builtin_roles[] = {
    {"owner", "Everything.", "*"},
    {"admin", "Everything but to make roles and to touch what is above it.",
     "*.read providers.* models.* teams.* projects.* users.* groups.* bindings.* issuers.* keys.* prices.* "
     "quotas.* budgets.* alerts.* config.* tokens.* sessions.* secrets.* ledger.rerate"},
    {"team-admin", "A team's keys, projects, budgets, quotas and members' roles; meant for a team.",
     "teams.read projects.* keys.* bindings.* quotas.* budgets.* usage.read ledger.read"},
    {"developer", "Makes and rotates keys, sees usage; meant for a team or a project.",
     "teams.read projects.read keys.read keys.create keys.rotate quotas.read budgets.read usage.read"},
    {"auditor", "Sees everything, changes nothing.", "*.read"},
    {"billing", "Usage, the ledger, prices and budgets.",
     "usage.read ledger.* prices.read budgets.* alerts.read quotas.read teams.read projects.read"},
    {"provisioner", "Users and groups by SCIM, and nothing else; for an identity provider.",
     "scim.provision"},
};
// clang-format on

size_t
permission_count(void)
{
    return KIND_COUNT * VERBS + OTHERS;
}

void
permission_name(size_t i, char ret_name[static PERMISSION_TEXT_BYTES])
{
    assert(i < permission_count());
    if (i < KIND_COUNT * VERBS)
        snprintf(ret_name, PERMISSION_TEXT_BYTES, "%s.%s", kinds[i / VERBS].plural,
                 verbs[i % VERBS]);
    else
        snprintf(ret_name, PERMISSION_TEXT_BYTES, "%s", others[i - KIND_COUNT * VERBS]);
}

int
permission_find(struct slice name)
{
    char text[PERMISSION_TEXT_BYTES];
    for (size_t i = 0; i < permission_count(); i++) {
        permission_name(i, text);
        if (slice_is(name, text))
            return (int)i;
    }
    return -1;
}

size_t
permissions_add(struct permissions *p, struct slice pattern)
{
    char text[PERMISSION_TEXT_BYTES];
    size_t found = 0;
    for (size_t i = 0; i < permission_count(); i++) {
        permission_name(i, text);
        if (!glob_match(pattern, slice_of(text)))
            continue;
        p->bits[i / 64] |= UINT64_C(1) << i % 64;
        found++;
    }
    return found;
}

bool
permissions_has(const struct permissions *p, int permission)
{
    return permission >= 0 && permission < PERMISSIONS_MOST &&
           (p->bits[permission / 64] >> permission % 64 & 1);
}

bool
permissions_is_empty(const struct permissions *p)
{
    for (size_t i = 0; i < sizeof(p->bits) / sizeof(p->bits[0]); i++)
        if (p->bits[i])
            return false;
    return true;
}

void
permissions_remove(struct permissions *p, const struct permissions *other)
{
    for (size_t i = 0; i < sizeof(p->bits) / sizeof(p->bits[0]); i++)
        p->bits[i] &= ~other->bits[i];
}

const struct builtin_role *
builtin_role_at(size_t i)
{
    return i < sizeof(builtin_roles) / sizeof(builtin_roles[0]) ? &builtin_roles[i] : NULL;
}

const struct builtin_role *
builtin_role_find(struct slice name)
{
    const struct builtin_role *role;
    for (size_t i = 0; (role = builtin_role_at(i)) != NULL; i++)
        if (slice_is(name, role->name))
            return role;
    return NULL;
}

void
builtin_role_permissions(const struct builtin_role *role, struct permissions *ret)
{
    struct slice rest = slice_of(role->permissions);
    *ret = (struct permissions){{0}};
    while (rest.len > 0)
        (void)permissions_add(ret, slice_cut(&rest, ' ')); /* quotas may not be a kind yet */
}
