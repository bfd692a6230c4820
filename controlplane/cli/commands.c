/* The table of commands: dispatch, the list of `headgate help`, and docs/cli.md follow it. */
#include "controlplane/cli/commands.h"

#include "controlplane/cli/items.h"
#include "controlplane/cli/show.h"

/* clang-format off */
#define ITEM(noun, plural, kind, members)                                                          \
    {noun " list", "list " plural, "", "headgate " noun " list --output json",                     \
     item_list_run, &(kind), false},                                                               \
    {noun " show", "show one, with all its members", "NAME", "headgate " noun " show NAME",        \
     item_show_run, &(kind), false},                                                               \
    {noun " create", "create one; a member is MEMBER=VALUE, VALUE text or JSON",                   \
     "NAME [MEMBER=VALUE ...]", "headgate " noun " create " members, item_create_run, &(kind), false}, \
    {noun " set", "change members of one; null removes a member", "NAME MEMBER=VALUE [...]",       \
     "headgate " noun " set " members, item_set_run, &(kind), false},                              \
    {noun " delete", "delete one", "NAME", "headgate " noun " delete NAME", item_delete_run,       \
     &(kind), false}

const struct command commands[] = {
    {"up", "start a whole local gateway, or repair it", "",
     "headgate up\nheadgate up --home /srv/headgate --listen 0.0.0.0:8080 --config headgate.yaml --detach",
     up_run, NULL, false},
    {"down", "stop a local gateway in order, and wait", "", "headgate down --home /srv/headgate",
     down_run, NULL, false},
    {"status", "tell what runs; exit status 0 only when all is well", "",
     "headgate status --output json", status_run, NULL, false},
    {"supervise", "keep a local gateway's processes running (started by up)", "",
     "headgate supervise --home /srv/headgate", supervise_run, NULL, true},

    {"apply", "apply a configuration file", "[FILE]",
     "headgate apply -f headgate.yaml --note 'new team'\nheadgate apply -f headgate.yaml --prune",
     apply_run, NULL, false},
    {"diff", "print what apply would change", "[FILE]", "headgate diff -f headgate.yaml --prune",
     diff_run, NULL, false},
    {"export", "print the configuration as a file that applies as no change", "",
     "headgate export > headgate.yaml", export_run, NULL, false},
    {"schema", "print the JSON Schema of the configuration file", "",
     "headgate schema > headgate.schema.json", schema_run, NULL, false},
    {"revisions", "list the configuration's revisions, or show one", "[REVISION]",
     "headgate revisions\nheadgate revisions 8", revisions_run, NULL, false},
    {"rollback", "restore the configuration of a revision, as a new one", "REVISION",
     "headgate rollback 7 --note 'bad weights'", rollback_run, NULL, false},

    {"key create", "create an API key and print it", "[NAME]",
     "headgate key create --name ci --team research --models 'smart,gpt-*' --expires 2027-01-01",
     key_create_run, NULL, false},
    {"key list", "list API keys", "", "headgate key list --output json", item_list_run, &item_keys, false},
    {"key show", "show one, without its secret", "NAME", "headgate key show ci", item_show_run, &item_keys, false},
    {"key set", "change members of one; null removes a member", "NAME MEMBER=VALUE [...]",
     "headgate key set ci disabled=true", item_set_run, &item_keys, false},
    {"key rotate", "give a key a new secret and print it; the one before goes on for the grace", "NAME",
     "headgate key rotate ci --grace 24h", key_rotate_run, NULL, false},
    {"key revoke", "revoke an API key", "NAME", "headgate key revoke ci", key_revoke_run, NULL, false},
    ITEM("team", "teams", item_teams, "research 'allow.models=[\"smart\",\"gpt-*\"]'"),
    ITEM("project", "projects", item_projects, "chatbot team=research"),
    ITEM("user", "users", item_users, "ada kind=person 'teams=[\"research\"]'"),
    {"role list", "list roles, the built-in ones too", "", "headgate role list", role_list_run, NULL, false},
    {"role show", "show one with its permissions", "NAME", "headgate role show team-admin", role_show_run, NULL, false},
    {"role create", "create one; a member is MEMBER=VALUE, VALUE text or JSON", "NAME [MEMBER=VALUE ...]",
     "headgate role create key-maker 'permissions=[\"keys.read\",\"keys.create\"]'", item_create_run, &item_roles, false},
    {"role set", "change members of one; null removes a member", "NAME MEMBER=VALUE [...]",
     "headgate role set key-maker 'permissions=[\"keys.*\"]'", item_set_run, &item_roles, false},
    {"role delete", "delete one", "NAME", "headgate role delete key-maker", item_delete_run, &item_roles, false},
    ITEM("group", "groups", item_groups, "sre 'users=[\"ada\"]'"),
    ITEM("binding", "bindings", item_bindings, "research-leads role=team-admin team=research 'groups=[\"sre\"]'"),
    ITEM("issuer", "issuers of tokens", item_issuers, "idp issuer=https://idp.example audience=headgate team=research"),
    ITEM("sign-in", "identity providers that administrators sign in with", item_sign_ins,
         "okta issuer=https://example.okta.com client_id=0oa1 credential=env:OKTA_SECRET"),
    ITEM("provider", "providers", item_providers,
         "local kind=openai-compatible base_url=http://127.0.0.1:9000/v1 allow_private=true"),
    ITEM("model", "models", item_models, "smart 'targets=[{\"provider\":\"openai\",\"model\":\"gpt-4o\"}]'"),
    {"price list", "list prices that add to or override the built-in book", "", "headgate price list",
     item_list_run, &item_prices, false},
    {"price show", "show one", "NAME", "headgate price show local/m1", item_show_run, &item_prices, false},
    {"price create", "create one; a member is MEMBER=VALUE", "MEMBER=VALUE [...]",
     "headgate price create provider=local model=m1 input_per_mtok_usd=2.50 output_per_mtok_usd=10",
     item_create_run, &item_prices, false},
    {"price set", "change members of one; null removes a member", "NAME MEMBER=VALUE [...]",
     "headgate price set local/m1 output_per_mtok_usd=12", item_set_run, &item_prices, false},
    {"price delete", "delete one", "NAME", "headgate price delete local/m1", item_delete_run, &item_prices, false},
    {"import litellm", "print LiteLLM's config.yaml as a configuration of ours, or apply it", "FILE",
     "headgate import litellm config.yaml > headgate.yaml", import_litellm_run, NULL, false},
    {"prices import", "import a published price list as one revision", "FILE",
     "headgate prices import prices.json --dry-run\nheadgate prices import prices.json --provider openai",
     prices_import_run, NULL, false},
    {"prices list", "show what models cost, and where each price comes from", "",
     "headgate prices list --provider openai --model 'gpt-4o*'", prices_list_run, NULL, false},

#define LIMIT(noun, plural, kind, list, members)                                                    \
    {noun " list", list, "", "headgate " noun " list", item_list_run, &(kind), false},             \
    {noun " show", "show one, with how it stands", "NAME", "headgate " noun " show NAME",          \
     item_show_run, &(kind), false},                                                               \
    {noun " create", "create one; a member is MEMBER=VALUE, VALUE text or JSON",                   \
     "NAME [MEMBER=VALUE ...]", "headgate " noun " create " members, item_create_run, &(kind), false}, \
    {noun " set", "change members of one; null removes a member", "NAME MEMBER=VALUE [...]",       \
     "headgate " noun " set " members, item_set_run, &(kind), false},                              \
    {noun " delete", "delete one", "NAME", "headgate " noun " delete NAME", item_delete_run,       \
     &(kind), false}
    LIMIT("quota", "quotas", item_quotas, "list quotas and what of them is in use",
          "research-rpm team=research requests_per_minute=600"),
    LIMIT("budget", "budgets", item_budgets, "list budgets: limit, spent, held by workers, remaining",
          "research-month team=research limit_usd=500 period=month"),
    {"budget override", "allow more than a budget's limit for a while", "NAME",
     "headgate budget override research-month --add-usd 50 --until 2027-01-01", budget_override_run, NULL, false},

    ITEM("alert", "alerts", item_alerts, "ops kind=webhook url=https://hooks.example.com/x credential=env:HOOK_SECRET"),
    {"alert deliveries", "list what alerts sent or are to send, newest first", "", "headgate alert deliveries --state failed",
     alert_deliveries_run, NULL, false},
    {"alert test", "send a test message; exit status 0 when it was taken", "NAME", "headgate alert test ops",
     alert_test_run, NULL, false},

    {"usage", "sum up requests, tokens and cost", "", "headgate usage --group-by team,model --from 2026-11-01",
     usage_run, NULL, false},
    {"events", "list single upstream attempts, newest first", "", "headgate events --key ci --limit 5",
     events_run, NULL, false},
    {"ledger", "list the accounts of the cost ledger with their balances", "", "headgate ledger",
     list_run, &listing_accounts, false},
    {"ledger verify", "prove the books whole, or name each thing that is wrong", "",
     "headgate ledger verify --from 2026-11-01", ledger_verify_run, NULL, false},
    {"ledger rerate", "post what is booked anew, at the prices now in force", "",
     "headgate ledger rerate --provider local --model 'm1*' --from 2026-11-01 --to 2026-12-01 --dry-run",
     ledger_rerate_run, NULL, false},
    {"ledger reconcile", "compare with a provider's own report; exit status 0 when nothing differs", "",
     "headgate ledger reconcile --provider openai --file costs.json --format openai", ledger_reconcile_run, NULL, false},

    {"secrets list", "list credentials that are references, and how they stand", "", "headgate secrets list",
     list_run, &listing_secrets, false},
    {"secrets refresh", "fetch what secret managers hold again, now", "[NAME]", "headgate secrets refresh openai",
     secrets_refresh_run, NULL, false},
    {"secrets keys", "list sealing keys, who has them, and what is sealed under each", "", "headgate secrets keys",
     secrets_keys_run, NULL, false},
    {"secrets reseal", "seal what the database holds anew, under the key that seals", "", "headgate secrets reseal",
     secrets_reseal_run, NULL, false},
    {"secrets rotate-key", "replace the sealing key of a local gateway; call again when it was interrupted", "",
     "headgate secrets rotate-key", secrets_rotate_key_run, NULL, false},
    {"workers", "list workers and the policy each holds", "", "headgate workers", list_run, &listing_workers, false},
    {"controlplanes", "list control planes: who leads, who stands by", "", "headgate controlplanes",
     list_run, &listing_controlplanes, false},
    {"snapshots", "list published policies, newest first", "", "headgate snapshots", list_run, &listing_snapshots, false},

    {"audit list", "list what was done by whom, newest first", "", "headgate audit list --action key.create",
     audit_list_run, NULL, false},
    {"audit verify", "prove the audit log whole, or name its first bad row", "", "headgate audit verify",
     audit_verify_run, NULL, false},
    {"token create", "create an admin token and print it", "[NAME]", "headgate token create --name ci --user ci-bot",
     token_create_run, NULL, false},
    {"token list", "list admin tokens", "", "headgate token list", list_run, &listing_tokens, false},
    {"token revoke", "revoke an admin token", "NAME", "headgate token revoke ci", token_revoke_run, NULL, false},
    {"login", "sign in with an identity provider, through a browser", "",
     "headgate login --issuer okta\nheadgate login --url https://headgate.example.com", login_run, NULL, false},
    {"logout", "end that session", "", "headgate logout", logout_run, NULL, false},
    {"session list", "list sessions of people who signed in: one's own, or all", "", "headgate session list",
     list_run, &listing_sessions, false},
    {"session end", "end a session", "ID", "headgate session end 019a2f60-7c1e-7bbd-9d7c-1d2a3b4c5d6e", session_end_run,
     NULL, false},
    {"whoami", "tell whose token this is, and what it may do", "", "headgate whoami", whoami_run, NULL, false},
    {"can", "explain whether something is allowed; exit status 0 when it is", "ACTION [RESOURCE]",
     "headgate can --as ada chat.completions model:gpt-4o", can_run, NULL, false},

    {"snippets", "print code that calls this gateway", "", "headgate snippets --language python",
     snippets_run, NULL, false},
};
const size_t command_count = sizeof(commands) / sizeof(commands[0]);
