#include "dataplane/state/services.h"

#include <stdio.h>

const struct limits limits_default = {
    .held_bytes = (uint64_t)256 << 20,
    .upload_bytes = (uint64_t)512 << 20,
    .answer_bytes = (size_t)1 << 20,
    .event_bytes = (size_t)16 << 20,
    .cache_bytes = (uint64_t)64 << 20,
    .requests = 50000,
    .drains = 64,
    .drain_ms = 60000,
    .terminal_ms = 1000,
};

struct slice
services_policy_text(struct services *s, const struct policy *p)
{
    uint64_t epoch = policy_epoch(p), version = policy_version(p);
    if (s->policy_text.epoch != epoch || s->policy_text.version != version ||
        !s->policy_text.text[0]) {
        snprintf(s->policy_text.text, sizeof(s->policy_text.text), "%llu.%llu",
                 (unsigned long long)epoch, (unsigned long long)version);
        s->policy_text.epoch = epoch;
        s->policy_text.version = version;
    }
    return slice_of(s->policy_text.text);
}
