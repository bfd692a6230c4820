/* The three processes of a local gateway, in the order they start: what up, down, status and the
 * supervisor know of each. */
#ifndef CONTROLPLANE_CLI_PARTS_H
#define CONTROLPLANE_CLI_PARTS_H

#include "controlplane/cli/home.h"
#include "controlplane/cli/process.h"
#include "lib/base/err.h"

#include <stdbool.h>
#include <stddef.h>

enum part_id { PART_POSTGRES, PART_CONTROL_PLANE, PART_DATA_PLANE, PART_COUNT };

/* Where the programs are. */
struct programs {
    char postgres_bin[HOME_PATH_BYTES];
    char control_plane[HOME_PATH_BYTES];
    char data_plane[HOME_PATH_BYTES];
};
/* 0, or an error whose one line is in why. */
MUST_CHECK int programs_find(const struct home *h, struct programs *ret_programs, char *why,
                             size_t why_bytes);

struct part {
    const char *name;  /* of its record DIR/pid/NAME and its log DIR/log/NAME.log */
    const char *title; /* for people */
    int (*start)(const struct home *h, const struct programs *programs, struct process *ret_process,
                 char *why, size_t why_bytes);
    bool (*is_ready)(const struct home *h, const struct process *p);
    int64_t ready_ms; /* how long it may take to come up */
    int stop_signal, quick_signal;
};
extern const struct part parts[PART_COUNT];

/* How long an orderly stop may take: the data plane finishes streams. */
int64_t part_stop_ms(const struct home *h, enum part_id id);
/* Orderly, then quickly, then with force; waits. hurry() is asked all the time: true skips the
 * orderly part. */
void part_stop(const struct home *h, enum part_id id, const struct process *p, bool (*hurry)(void));
bool part_hurry(void); /* always */
/* The last line of its log, cleaned; "" when there is none. */
void part_last_log(const struct home *h, enum part_id id, char *ret_line, size_t bytes);
/* `headgate-controlplane migrate` as the owner of the database. */
MUST_CHECK int parts_migrate(const struct home *h, const struct programs *programs, char *why,
                             size_t why_bytes);

#endif
