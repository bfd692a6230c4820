/*
 * What the handlers of LiteLLM's calls share. A call that writes is a struct shim from shim_open()
 * to shim_close(): its body is read against a table, changes are gathered, and all of them are one
 * revision. Nothing is ignored silently: what has no counterpart is refused by name, unless it says
 * nothing (null, empty, false, zero), and the few harmless members that are passed over are named
 * in x-headgate-ignored.
 */
#ifndef CONTROLPLANE_API_LITELLM_SHIM_H
#define CONTROLPLANE_API_LITELLM_SHIM_H

#include "controlplane/api/change.h"
#include "controlplane/rules/item.h"
#include "controlplane/store/items.h"

#define LIMIT_SHIM_ITEMS 1000 /* that one call deletes, or lists */

struct shim {
    struct api_request *r;
    struct api_reply *reply;
    struct json *given;          /* the body, checked, without what says nothing */
    const struct json *metadata; /* of the body; borrowed; NULL: none */
    struct changes changes;
    struct minted minted;
};

void shim_open(struct shim *s, struct api_request *r, struct api_reply *reply);
/* Wipes and frees; hands err through. */
int shim_close(struct shim *s, int err);
/* Reads the body. metadata: it may have some, of any members (keys' become tags). 0 or a problem.
 */
MUST_CHECK int shim_body(struct shim *s, const struct field_table *table, bool metadata);
/* Whether a member was given as null: on an update that takes away what is there. */
bool shim_is_null(const struct shim *s, const char *member);
/* A member of the body as text, or at == NULL. */
struct slice shim_text(const struct shim *s, const char *member);
/* Notes that a member has no effect, if it was given. */
void shim_ignore(struct shim *s, const char *member);

/* Checks an item in the form that POST takes and notes the change; what is the same as before is no
 * change. input is borrowed. 0 or a problem. */
MUST_CHECK int shim_put(struct shim *s, const struct kind *kind, const char *name,
                        const struct item *stored, const struct json *input);
/* Whether such a change is noted. */
bool shim_has(const struct shim *s, const struct kind *kind, const char *name);
/* A refusal that names a member. */
int shim_refuse(struct shim *s, int status, const char *code, const char *member,
                const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The name that was given, or (at == NULL) a new one. */
void shim_name(struct slice given, const char *prefix, char ret[static LIMIT_NAME_BYTES + 1]);
/* Notes that it is deleted; once, however often it is asked. 0 or a problem. */
MUST_CHECK int shim_drop(struct shim *s, const struct kind *kind, const struct item *stored);
/* The form that POST takes, of a stored item, to be changed. NULL: no memory. */
struct json *shim_input(const struct kind *kind, const struct item *stored);
/* Whether nothing of that name is there yet: 0, or a problem that names the member. */
MUST_CHECK int shim_is_new(struct shim *s, const struct kind *kind, const char *name,
                           const char *member);
/* The item of that name that the caller may do to what the route is for: 0, or a problem that names
 * the member. The caller frees. */
MUST_CHECK int shim_find(struct api_request *r, struct api_reply *reply, const struct kind *kind,
                         struct slice name, const char *member, struct item *ret_item);

/* Budget and quota of one key, team or user ("key", its name): named "key-NAME", and changed with
 * it. From max_budget, budget_duration, rpm_limit, tpm_limit, max_parallel_requests of the body. 0
 * or a problem. */
MUST_CHECK int shim_limits(struct shim *s, const char *subject, const char *name);
MUST_CHECK int shim_limits_drop(struct shim *s, const char *subject, const char *name);
/* The name of both; "" when it would be too long for one. */
#define SHIM_NAME_BYTES (LIMIT_NAME_BYTES + 8)
void shim_limit_name(const char *subject, struct slice name, char ret[static SHIM_NAME_BYTES]);
/* Whether a quota or budget counts this subject and nothing else. */
bool shim_limit_is_of(const struct json *body, const char *subject, struct slice name);

/* Keys, teams or users as LiteLLM shows them, appended to a list, with limits and spend. 0 or an
 * error. */
MUST_CHECK int shim_views(struct api_request *r, const struct kind *kind, const struct items *list,
                          struct json *into);
/* One of them, by name, as it is now: 0 or a problem. */
MUST_CHECK int shim_view(struct api_request *r, struct api_reply *reply, const struct kind *kind,
                         const char *name, struct json **ret_view);
/* Adds members_with_roles to a team's view. 0 or an error. */
MUST_CHECK int shim_add_members(struct api_request *r, struct json *view, const char *team);

/* A page of a list: the query parameters `page` and (its name) how many on each, at most 100. 0 or
 * a problem. */
struct shim_page {
    int64_t page, size, total;
};
MUST_CHECK int shim_page(struct api_request *r, struct api_reply *reply, const char *size_name,
                         int64_t usual, struct shim_page *ret);
int64_t shim_pages(const struct shim_page *p);
/* A query parameter that is true or false: 0 or a problem. */
MUST_CHECK int shim_flag(struct api_request *r, struct api_reply *reply, const char *name,
                         bool *ret_flag);
/* A query parameter as a terminated text; NULL: absent or empty. */
const char *shim_query(struct api_request *r, const char *name);
/* Refuses query parameters, space between them, that were given and have no counterpart. */
MUST_CHECK int shim_refuse_query(struct api_request *r, struct api_reply *reply, const char *names);

/* Keys, for the calls about users: notes one that is made from the body of /user/new, or that all
 * of these are deleted. 0 or a problem. */
MUST_CHECK int shim_add_key(struct shim *s, const char *name, struct json *input);
MUST_CHECK int shim_drop_keys(struct shim *s, const struct item_query *q);
/* All keys that q chooses (the first LIMIT_SHIM_ITEMS) that the caller may see, as a list; the
 * caller frees, also after a problem. */
MUST_CHECK int shim_keys_of(struct api_request *r, struct api_reply *reply, struct item_query q,
                            struct json **ret_list);
/* Answers with a page of items: {MEMBER, "total", "page", "page_size", "total_pages"}. */
MUST_CHECK int shim_paged(struct api_request *r, struct api_reply *reply, const struct kind *kind,
                          struct item_query *q, const char *member);
/* The dollars of this many nanodollars, as LiteLLM's number. NULL: no memory. */
struct json *shim_usd(int64_t amount);

#endif
