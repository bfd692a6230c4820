/*
 * References to secrets that a secret manager holds: their forms, without any I/O.
 *
 *   vault:PATH#FIELD                               HashiCorp Vault, OpenBao (key/value, both
 * versions) aws-sm:NAME[#FIELD]                            AWS Secrets Manager; FIELD of a JSON
 * object aws-ssm:NAME                                   AWS Systems Manager, Parameter Store
 *   gcp-sm:projects/P/secrets/S[/versions/V]       Google Secret Manager
 *   azure-kv:VAULT/SECRET[/VERSION], or its URL    Azure Key Vault
 */
#ifndef CONTROLPLANE_SECRETS_REFERENCE_H
#define CONTROLPLANE_SECRETS_REFERENCE_H

#include "lib/base/err.h"
#include "lib/base/slice.h"

#include <stdbool.h>

#define LIMIT_REFERENCE_BYTES 1024

enum manager {
    MANAGER_NONE,
    MANAGER_VAULT,
    MANAGER_AWS_SM,
    MANAGER_AWS_SSM,
    MANAGER_GCP,
    MANAGER_AZURE
};

struct reference {
    enum manager manager;
    struct slice name;            /* path, name, or vault of Azure: "myvault", or a host of a URL */
    struct slice field;           /* after '#'; empty: the whole text */
    struct slice secret, version; /* of Google: project in name; of Azure; version may be empty */
};

/* Whether the text begins as a reference to a manager does. */
bool reference_is_managed(struct slice text);
/* 0 with its parts (slices of text), or ERR_SYNTAX with a static text that says the form. */
MUST_CHECK int reference_parse(struct slice text, struct reference *ret, const char **ret_why);

#endif
