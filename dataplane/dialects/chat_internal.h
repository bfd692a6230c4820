/*
 * Private to chat*.c: the parts of the chat-completions dialect, one file each.
 */
#ifndef DATAPLANE_DIALECTS_CHAT_INTERNAL_H
#define DATAPLANE_DIALECTS_CHAT_INTERNAL_H

#include "dataplane/dialects/dialect.h"

/* chat_brief.c */
int chat_brief(struct slice body, const struct dialect_call *call, struct arena *a,
               struct request_brief *ret, struct dialect_refusal *why);
int chat_address(const struct dialect_target *t, bool stream, struct arena *a,
                 struct dialect_address *ret);

/* chat_watch.c */
int chat_watch(struct watched *w, struct slice name, struct slice data, enum watch *ret);
int chat_look(struct slice body, struct usage_report *report, bool *ret_error);

#endif
