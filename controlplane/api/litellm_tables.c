/* See litellm_tables.h. docs/migrating-from-litellm.md says the same in prose. */
#include "controlplane/api/litellm_tables.h"

#include "controlplane/compat/litellm.h"
#include "controlplane/rules/fields.h"

#define TABLE(name_, rows_)                                                                        \
    {                                                                                              \
        .noun = (name_), .rows = (rows_), .count = sizeof(rows_) / sizeof((rows_)[0])              \
    }

// clang-format off
#define NAME(name_) {.name = (name_), .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_name}
#define NEEDED(name_) {.name = (name_), .kind = FIELD_TEXT, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_text}
#define NAMES(name_) {.name = (name_), .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_text}
#define DURATION(name_) {.name = (name_), .kind = FIELD_TEXT, .min = 1, .max = 32, .check = field_is_text}
#define RATE(name_) {.name = (name_), .kind = FIELD_INT, .min = 1, .max = LIMIT_LITELLM_RATE}
#define MODELS {.name = "models", .kind = FIELD_TEXTS, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_pattern}
#define LIMITS {.name = "max_budget", .kind = FIELD_USD}, DURATION("budget_duration"), RATE("rpm_limit"), RATE("tpm_limit"), RATE("max_parallel_requests")
#define BLOCKED {.name = "blocked", .kind = FIELD_BOOL}

/* ---- keys -------------------------------------------------------------------------------------- */

static const char *const key_types[] = {"default", "llm_api", NULL}; /* what every key here is */
#define KEY_ROWS                                                                                   \
    NAME("key_alias"), NAME("team_id"), NAME("user_id"), NAME("project_id"), MODELS, DURATION("duration"), LIMITS, BLOCKED, NAMES("tags"), \
    {.name = "key_type", .kind = FIELD_ENUM, .values = key_types}, {.name = "send_invite_email", .kind = FIELD_BOOL}

static const struct field_row key_rows[] = {KEY_ROWS};
const struct field_table litellm_key_fields = TABLE("key", key_rows);
static const struct field_row key_update_rows[] = {NEEDED("key"), KEY_ROWS};
const struct field_table litellm_key_update_fields = TABLE("key", key_update_rows);
static const struct field_row one_key_rows[] = {NEEDED("key")};
const struct field_table litellm_one_key_fields = TABLE("call", one_key_rows);
static const struct field_row regenerate_rows[] = {{.name = "key", .kind = FIELD_TEXT, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_text}};
const struct field_table litellm_regenerate_fields = TABLE("call", regenerate_rows);
static const struct field_row key_delete_rows[] = {NAMES("keys"), NAMES("key_aliases")};
const struct field_table litellm_key_delete_fields = TABLE("call", key_delete_rows);

/* ---- teams ------------------------------------------------------------------------------------- */

static const char *const member_roles[] = {"user", NULL};
static const struct field_row member_rows[] = {
    {.name = "role", .kind = FIELD_ENUM, .values = member_roles}, NAME("user_id"), NAME("user_email"),
};
static const struct field_table member_table = TABLE("member", member_rows);
#define MEMBERS(name_) {.name = (name_), .kind = FIELD_LIST, .item = &member_table}

static const struct field_row team_rows[] = {
    NAME("team_id"), NAME("team_alias"), MODELS, LIMITS, BLOCKED, MEMBERS("members_with_roles"),
};
const struct field_table litellm_team_fields = TABLE("team", team_rows);
static const struct field_row team_update_rows[] = {NEEDED("team_id"), NAME("team_alias"), MODELS, LIMITS, BLOCKED};
const struct field_table litellm_team_update_fields = TABLE("team", team_update_rows);
static const struct field_row one_team_rows[] = {NEEDED("team_id")};
const struct field_table litellm_one_team_fields = TABLE("call", one_team_rows);
static const struct field_row team_delete_rows[] = {{.name = "team_ids", .kind = FIELD_TEXTS, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_text}};
const struct field_table litellm_team_delete_fields = TABLE("call", team_delete_rows);
/* A single member is made a list of one before this is looked at. */
static const struct field_row member_add_rows[] = {NEEDED("team_id"), {.name = "member", .kind = FIELD_LIST, .required = true, .item = &member_table}};
const struct field_table litellm_member_add_fields = TABLE("call", member_add_rows);
static const struct field_row member_delete_rows[] = {NEEDED("team_id"), NAME("user_id"), NAME("user_email")};
const struct field_table litellm_member_delete_fields = TABLE("call", member_delete_rows);

/* ---- users ------------------------------------------------------------------------------------- */

static const char *const user_roles[] = {"internal_user", NULL};
#define USER_ROWS                                                                                  \
    NAME("user_id"), NAME("user_email"), {.name = "user_alias", .kind = FIELD_TEXT, .max = 256, .check = field_is_text}, \
    {.name = "user_role", .kind = FIELD_ENUM, .values = user_roles}, LIMITS, BLOCKED

static const struct field_row user_rows[] = {
    USER_ROWS, NAMES("teams"), NAME("key_alias"), DURATION("duration"),
    {.name = "auto_create_key", .kind = FIELD_BOOL}, {.name = "send_invite_email", .kind = FIELD_BOOL},
};
const struct field_table litellm_user_fields = TABLE("user", user_rows);
static const struct field_row user_update_rows[] = {USER_ROWS};
const struct field_table litellm_user_update_fields = TABLE("user", user_update_rows);
static const struct field_row user_delete_rows[] = {{.name = "user_ids", .kind = FIELD_TEXTS, .required = true, .min = 1, .max = LIMIT_NAME_BYTES, .check = field_is_text}};
const struct field_table litellm_user_delete_fields = TABLE("call", user_delete_rows);
// clang-format on
