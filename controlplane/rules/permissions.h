/*
 * Permissions: what the admin API lets somebody do, as RESOURCE.VERB. The universe follows from the
 * kinds of configuration items (four verbs each) and a list of the other resources; a role is a set
 * of them, written as names and patterns. No I/O.
 */
#ifndef CONTROLPLANE_RULES_PERMISSIONS_H
#define CONTROLPLANE_RULES_PERMISSIONS_H

#include "lib/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PERMISSIONS_MOST 256
#define PERMISSION_TEXT_BYTES 48

struct permissions { /* a set */
    uint64_t bits[PERMISSIONS_MOST / 64];
};

size_t permission_count(void);
/* "keys.create" of 0 <= i < permission_count(). */
void permission_name(size_t i, char ret_name[static PERMISSION_TEXT_BYTES]);
/* Its number, or -1: there is no such permission, and nobody has it. */
int permission_find(struct slice name);

/* Adds what a name or pattern ("keys.*", "*.read", "*") stands for: how many permissions that are.
 */
size_t permissions_add(struct permissions *p, struct slice pattern);
bool permissions_has(const struct permissions *p, int permission); /* -1: false */
bool permissions_is_empty(const struct permissions *p);
/* *p without what the other has. */
void permissions_remove(struct permissions *p, const struct permissions *other);

struct builtin_role {
    const char *name, *help;
    const char *permissions; /* names and patterns, separated by spaces */
};
/* NULL: none is called so. */
const struct builtin_role *builtin_role_find(struct slice name);
const struct builtin_role *builtin_role_at(size_t i); /* NULL behind the last */
void builtin_role_permissions(const struct builtin_role *role, struct permissions *ret);

#endif
