#include "controlplane/jobs/planes.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "controlplane/leases/leases.h"
#include "controlplane/publish/publisher.h"
#include "controlplane/secrets/seal.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/file.h"

#define INSTANCE_BYTES 8

static const char upsert[] =
    "INSERT INTO control_planes AS c (instance, host, pid, build, admin, started_at, "
    "publish_epoch, "
    "lease_epoch, seal_keys) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (instance) DO "
    "UPDATE SET "
    "host = excluded.host, pid = excluded.pid, build = excluded.build, admin = excluded.admin, "
    "started_at = excluded.started_at, seen_at = now(), publish_epoch = excluded.publish_epoch, "
    "lease_epoch = excluded.lease_epoch, seal_keys = excluded.seal_keys";

static int
read_instance(const struct plane *p, char hex[static 2 * INSTANCE_BYTES + 1])
{
    unsigned char id[INSTANCE_BYTES];
    char path[4096];
    int err;

    snprintf(path, sizeof(path), "%s/instance", p->config.state_dir);
    err = file_key(path, id, sizeof(id), true);
    if (!err)
        hex_encode(id, sizeof(id), hex);
    return err;
}

static void
read_offices(const struct plane *p, uint64_t *ret_publish, uint64_t *ret_lease)
{
    struct publisher_status s = {0};
    struct leases_status l = {0};

    if (p->publisher) {
        publisher_status(p->publisher, &s);
        leases_status(p->publisher->leases, &l);
    }
    *ret_publish = s.leader_epoch;
    *ret_lease = l.leading ? l.epoch : 0;
}

int
planes_note(struct db *db, const struct plane *p)
{
    char instance[2 * INSTANCE_BYTES + 1], host[256] = "", pid[16], started[32], publish[24],
                                           lease[24];
    char ids[KEYRING_IDS_TEXT];
    const char *params[] = {instance, host,  pid, HEADGATE_VERSION, p->config.admin_listen, started,
                            publish,  lease, ids};
    uint64_t publish_epoch, lease_epoch;
    struct keyring ring;
    int err = read_instance(p, instance);

    if (err)
        return err;
    if (gethostname(host, sizeof(host) - 1) != 0)
        host[0] = '\0';
    read_offices(p, &publish_epoch, &lease_epoch);
    snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    clock_rfc3339(clock_wall_ms() - (clock_mono_ms() - p->started_ms), started);
    snprintf(publish, sizeof(publish), "%" PRIu64, publish_epoch);
    snprintf(lease, sizeof(lease), "%" PRIu64, lease_epoch);
    secrets_ring(p->secrets, &ring);
    keyring_ids_text(&ring, ids);
    keyring_wipe(&ring);
    err = db_query(db, upsert, params, 9, NULL);
    if (!err)
        err = db_query(db, "DELETE FROM control_planes WHERE seen_at < now() - interval '1 day'",
                       NULL, 0, NULL);
    return err;
}
