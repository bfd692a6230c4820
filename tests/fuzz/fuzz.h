/* What every fuzz target has. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdlib.h>

#include "lib/json/scan.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Text that we wrote is a JSON object, or stops the run. */
static inline void
check_valid(struct slice text)
{
    struct json_span root;
    struct json_error wrong;
    CHECK(json_scan(text, &json_limits_default, NULL, 0, NULL, &root, &wrong) == 0);
    CHECK(root.kind == JSON_MAP);
}

#endif
