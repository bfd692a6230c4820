/* See plane.h. */
#include "controlplane/plane.h"

#include <stdio.h>

struct db *
plane_db(const struct plane *p, const char *purpose)
{
    char name[64];
    snprintf(name, sizeof(name), "headgate %s", purpose);
    return db_new(p->config.database, name);
}
