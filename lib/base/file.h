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
/* The same of a file in `dir`, whose name has no slash. A symbolic link is followed when it, and
 * all it leads through, is relative and stays below dir: as Kubernetes lays out a mounted secret
 * (NAME -> ..data/NAME, ..data -> ..2026_11_26). ERR_NOT_FOUND, ERR_DENIED (it leads out),
 * ERR_LIMIT, ERR_NOMEM, ERR_IO. */
MUST_CHECK int file_read_beneath(const char *dir, const char *name, size_t max_bytes,
                                 struct buf *into);
/* Writes a temporary file beside it, fsyncs, renames, fsyncs the directory. 0 or ERR_IO, ERR_FULL.
 */
MUST_CHECK int file_replace(const char *path, struct slice content, mode_t mode);
/* The same for a file that is there: it keeps its mode, and its owner where we may give it away.
 * 0, ERR_NOT_FOUND, ERR_IO, ERR_FULL. */
MUST_CHECK int file_rewrite(const char *path, struct slice content);
/* mkdir -p with this mode for what is made; 0 or ERR_IO. */
MUST_CHECK int file_make_dirs(const char *path, mode_t mode);
/* A key file of exactly n raw bytes as 2n hex digits (and a newline). When it does not exist and
 * `make` is set, n random bytes are written with mode 0600. 0, ERR_NOT_FOUND, ERR_SYNTAX, ERR_IO.
 */
MUST_CHECK int file_key(const char *path, void *ret_key, size_t n, bool make);

#endif
