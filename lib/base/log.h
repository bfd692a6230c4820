/*
 * Structured logging: one JSON object a line on standard error (or a file descriptor set
 * with log_init), a bounded length, and no way to print a struct secret.
 *
 *   log_info("worker.started", F_INT("worker", n), F_STR("listen", addr));
 *
 * Never blocks: when the descriptor would block, the line is dropped and counted.
 * Prompts, keys, credentials and bodies never reach a log call.
 */
#ifndef LIB_BASE_LOG_H
#define LIB_BASE_LOG_H

#include "lib/base/slice.h"

#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_kind { LOG_FIELD_END, LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_BOOL };

struct log_field {
    enum log_kind kind;
    const char *name;
    struct slice text;
    int64_t number;
};

#define F_STR(n, s)                                                                                \
    {                                                                                              \
        LOG_FIELD_STR, (n), slice_of(s), 0                                                         \
    }
#define F_SLICE(n, s)                                                                              \
    {                                                                                              \
        LOG_FIELD_STR, (n), (s), 0                                                                 \
    }
#define F_INT(n, v)                                                                                \
    {                                                                                              \
        LOG_FIELD_INT, (n), {0}, (int64_t)(v)                                                      \
    }
#define F_BOOL(n, v)                                                                               \
    {                                                                                              \
        LOG_FIELD_BOOL, (n), {0}, (v) ? 1 : 0                                                      \
    }
#define F_ERR(e) F_STR("error", err_name(e))

#define log_at(level, event, ...)                                                                  \
    do {                                                                                           \
        if ((level) >= log_threshold())                                                            \
            log_emit((level), (event), (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){0}}); \
    } while (0)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)

/* process: "worker", "controlplane", ...; appears in every line. fd 2 unless set. */
void log_init(const char *process, enum log_level threshold, int fd);
/* "debug", "info", "warn", "error" to a level: 0 or ERR_SYNTAX. */
int log_parse_level(const char *text, enum log_level *ret_level)
    __attribute__((warn_unused_result));
enum log_level log_threshold(void);
void log_emit(enum log_level level, const char *event, const struct log_field *fields);
/* Lines dropped since start. */
uint64_t log_dropped(void);

#endif
