/* headgate workers, controlplanes and snapshots: who serves, who leads, and which policy. */
#include "controlplane/cli/show.h"

static const struct table_column worker_columns[] = {
    {"NODE", "node", false, 2},
    {"SLOT", "slot", true, 0},
    {"PID", "pid", true, 3},
    {"HOST", "host", false, 4},
    {"ALIVE", "alive", false, 0},
    {"EPOCH", "held_epoch", true, 1},
    {"VERSION", "held_version", true, 0},
    {"SPOOL", "spool_records", true, 0},
    {"OPEN", "open_streams", true, 5},
    {"SEEN", "seen_at", false, 6},
    {"REFUSED", "refused.error", false, 0},
};
static const struct table_column plane_columns[] = {
    {"HOST", "host", false, 0},
    {"ADMIN", "admin", false, 0},
    {"PID", "pid", true, 2},
    {"ROLE", "role", false, 0},
    {"LEASES", "lease_epoch", true, 0},
    {"PUBLISHES", "publish_epoch", true, 0},
    {"BUILD", "build", false, 3},
    {"SEEN", "seen_at", false, 1},
};
static const struct table_column snapshot_columns[] = {
    {"EPOCH", "epoch", true, 0},       {"VERSION", "version", true, 0},
    {"REVISION", "revision", true, 0}, {"PUBLISHED", "published_at", false, 0},
    {"SECTIONS", "sections", true, 1}, {"BYTES", "bytes", true, 2},
};

const struct listing listing_workers = {
    .path = "/api/v1/workers",
    .columns = worker_columns,
    .count = sizeof(worker_columns) / sizeof(worker_columns[0]),
    .limited = true,
};
const struct listing listing_controlplanes = {
    .path = "/api/v1/controlplanes",
    .columns = plane_columns,
    .count = sizeof(plane_columns) / sizeof(plane_columns[0]),
    .limited = true,
};
const struct listing listing_snapshots = {
    .path = "/api/v1/snapshots",
    .columns = snapshot_columns,
    .count = sizeof(snapshot_columns) / sizeof(snapshot_columns[0]),
    .limited = true,
    .limit = 20,
};
