/* The bodies that LiteLLM's calls take, as far as they have a meaning here. */
#ifndef CONTROLPLANE_API_LITELLM_TABLES_H
#define CONTROLPLANE_API_LITELLM_TABLES_H

#include "controlplane/api/litellm_shim.h"

extern const struct field_table litellm_key_fields, litellm_key_update_fields,
    litellm_one_key_fields, litellm_regenerate_fields, litellm_key_delete_fields,
    litellm_team_fields, litellm_team_update_fields, litellm_one_team_fields,
    litellm_team_delete_fields, litellm_member_add_fields, litellm_member_delete_fields,
    litellm_user_fields, litellm_user_update_fields, litellm_user_delete_fields;

/* `models` of the body into an input of a key, or into a team's `allow`. 0 or a problem. */
MUST_CHECK int shim_set_models(struct shim *s, struct json *input);

#endif
