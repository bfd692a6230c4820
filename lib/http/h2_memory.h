/*
 * Memory of nghttp2's sessions: malloc, with a small reserve behind it.
 *
 * nghttp2 1.52 frees a DATA item twice when the queue it puts it into cannot grow
 * (session_ob_data_push fails after the item was attached to its stream). So small allocations of a
 * session must not fail: what malloc refuses comes from a fixed reserve, which outlasts the moment
 * it takes our own allocations to fail and the connection to end. Large ones fail as they should.
 */
#ifndef LIB_HTTP_H2_MEMORY_H
#define LIB_HTTP_H2_MEMORY_H

#include <nghttp2/nghttp2.h>

/* To be given to nghttp2_session_*_new3(). Static; sessions of several threads may share it. */
nghttp2_mem *h2_memory(void);
/* Pieces of the reserve in use. */
unsigned h2_memory_in_reserve(void);

#endif
