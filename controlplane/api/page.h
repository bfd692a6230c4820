/*
 * The few pages that people see who sign in: plain, without scripts, everything escaped. What is
 * wrong, and what to do.
 */
#ifndef CONTROLPLANE_API_PAGE_H
#define CONTROLPLANE_API_PAGE_H

#include "controlplane/api/api.h"

struct page_link {
    const char *href, *text;
};
struct page {
    int status;
    const char *title, *text;
    const struct page_link *links;
    size_t count;
    bool go_on; /* the first link is followed at once */
};
/* Fills the reply, in the place of whatever it had. 0, or -status. */
int page_reply(struct api_request *r, struct api_reply *reply, const struct page *p);
/* A page without links that tells of a refusal. Gives -status. */
int page_refuse(struct api_request *r, struct api_reply *reply, int status, const char *text, ...)
    __attribute__((format(printf, 4, 5)));
/* The database's failure as a page. */
int page_fail(struct api_request *r, struct api_reply *reply, int err);

#endif
