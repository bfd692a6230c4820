/* docs/openapi.yaml, read once for a test program: load() and unload() are its group's set-up and
 * end. */
#ifndef TESTS_UNIT_CONTROLPLANE_API_OPENAPI_H
#define TESTS_UNIT_CONTROLPLANE_API_OPENAPI_H

#include "controlplane/cli/yaml.h"
#include "lib/base/file.h"
#include "tests/unit/check.h"

static struct json *document;

static int
load(void **state)
{
    struct buf text, why;
    struct yaml_places *places = NULL;
    (void)state;
    buf_init(&text, 0);
    buf_init(&why, 4096);
    if (file_read("docs/openapi.yaml", 4 << 20, false, &text) != 0)
        fail_msg("docs/openapi.yaml cannot be read: run the tests from the repository's root");
    if (yaml_read(buf_slice(&text), &document, &places, &why) != 0)
        fail_msg("docs/openapi.yaml: %s", buf_str(&why));
    yaml_places_free(places);
    buf_free(&text);
    buf_free(&why);
    return 0;
}

static int
unload(void **state)
{
    (void)state;
    json_free(document);
    return 0;
}

#endif
