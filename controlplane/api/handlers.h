/*
 * Every handler of the route table, by the file that holds it. A handler gets a checked request
 * (see api.h) and fills the reply; it neither authenticates nor commits.
 */
#ifndef CONTROLPLANE_API_HANDLERS_H
#define CONTROLPLANE_API_HANDLERS_H

#include "controlplane/api/api.h"

/* resources.c: one set for every kind; the kind is the path's third segment */
api_handler resources_list, resources_create, resources_get, resources_replace, resources_patch,
    resources_delete;
/* keys.c */
#define LIMIT_GRACE_S 2592000 /* 30 days */
#define DEFAULT_GRACE_S 86400
api_handler keys_rotate;
/* config.c */
api_handler config_export, config_apply, config_schema;
/* revisions.c */
api_handler revisions_list, revisions_get, revisions_rollback;
/* tokens.c */
api_handler tokens_list, tokens_create, tokens_delete;
/* sign_in_start.c, sign_in_finish.c */
api_handler sign_in_start, sign_in_finish, sign_in_token;
/* sessions.c */
api_handler sessions_list, sessions_delete, sign_out;
/* audit.c */
api_handler audit_list, audit_verify_now;
/* can.c */
api_handler system_whoami, system_can, permissions_list;
/* system.c */
api_handler system_health, system_ready, system_metrics;
/* usage.c */
api_handler usage_summary, usage_events, ledger_accounts;
/* books.c */
api_handler ledger_verify_now;
/* rerate.c */
api_handler ledger_rerate_now;
/* pricebook.c */
api_handler pricebook_list;
/* limits.c */
api_handler budgets_override;
/* secrets.c */
api_handler secrets_list, secrets_refresh_now;
api_handler seal_keys_show, seal_keys_reseal;
/* alerts.c */
api_handler deliveries_list, alerts_test;
/* litellm_keys.c, litellm_teams.c, litellm_users.c, litellm_spend.c: LiteLLM's calls */
api_handler litellm_key_generate, litellm_key_update, litellm_key_delete, litellm_key_info,
    litellm_key_list, litellm_key_block, litellm_key_unblock, litellm_key_regenerate;
api_handler litellm_team_new, litellm_team_update, litellm_team_delete, litellm_team_info,
    litellm_team_list, litellm_team_list_v2, litellm_member_add, litellm_member_delete,
    litellm_team_block, litellm_team_unblock;
api_handler litellm_user_new, litellm_user_update, litellm_user_delete, litellm_user_info,
    litellm_user_list;
api_handler litellm_spend_logs, litellm_global_spend, litellm_model_info, litellm_models;
/* scim_read.c, scim_write.c: users and groups for identity providers */
api_handler scim_config, scim_schemas, scim_schema_get, scim_types, scim_type_get, scim_list,
    scim_search, scim_get, scim_create, scim_replace, scim_change, scim_delete;
/* fleet.c */
api_handler workers_list, snapshots_list;
/* planes.c */
api_handler planes_list;

#endif
