/* Whole files: read with a bound, replaced atomically. */
#ifndef LIB_BASE_FILE_H
#define LIB_BASE_FILE_H

#include "lib/base/buf.h"
#include "lib/base/err.h"

#include <stdbool.h>
#include <sys/types.h>

/* Appends the content to *into: 0, ERR_NOT_FOUND, ERR_LIMIT, ERR_NOMEM, ERR_IO. Regular files
 * only; symbolic links are refused when no_links. */
MUST_CHECK int file_read(const char *path, size_t max_bytes, bool no_links, struct buf *into);
/* Writes a temporary file beside it, fsyncs, renames, fsyncs the directory. 0 or ERR_IO, ERR_FULL.
 */
MUST_CHECK int file_replace(const char *path, struct slice content, mode_t mode);
/* mkdir -p with this mode for what is made; 0 or ERR_IO. */
MUST_CHECK int file_make_dirs(const char *path, mode_t mode);
/* A key file of exactly n raw bytes as 2n hex digits (and a newline). When it does not exist and
 * `make` is set, n random bytes are written with mode 0600. 0, ERR_NOT_FOUND, ERR_SYNTAX, ERR_IO.
 */
MUST_CHECK int file_key(const char *path, void *ret_key, size_t n, bool make);

#endif
