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
int chat_write_error(const struct canon_error *e, struct buf *into);
int chat_write_error_event(const struct canon_error *e, struct buf *into);
int chat_read_error(const struct dialect_fault *f, struct arena *a, struct canon_error *ret);
int chat_watch(struct watched *w, struct slice name, struct slice data, enum watch_verdict *ret);
int chat_look(struct slice body, struct usage_report *report, bool *ret_error);

#endif
