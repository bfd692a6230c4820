/*
 * Embeddings in canonical form: texts in, one vector for each out. As in canonical.h, everything
 * lies in one arena or points into the text that was read.
 */
#ifndef DATAPLANE_DIALECTS_EMBEDDINGS_H
#define DATAPLANE_DIALECTS_EMBEDDINGS_H

#include "dataplane/dialects/canonical.h"

#define LIMIT_EMBEDDED_TEXTS 2048 /* of one request */

enum canon_encoding { ENCODING_FLOAT, ENCODING_BASE64 };

struct canon_embeddings {
    struct slice model; /* as the client spelt it */
    const struct slice *texts;
    size_t count;
    int64_t dimensions; /* -1: absent */
    enum canon_encoding encoding;
    struct slice task, title; /* Google's "RETRIEVAL_DOCUMENT"; empty: not given */
    struct slice user;
};

struct canon_vectors {
    struct slice model;              /* as the provider says; may be empty */
    const struct slice *vectors_raw; /* each a JSON list of numbers, as it came */
    size_t count;
    struct usage_report usage;
};

#endif
