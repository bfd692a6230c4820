/*
 * Tables for terminals: columns as wide as their cells, narrowed or left out until the lines fit.
 *
 * The width is that of the terminal, or COLUMNS; output to a file or pipe without COLUMNS is never
 * narrowed. Numbers are never cut: when all texts are as narrow as may be, columns are left out by
 * rank, and a note says which.
 */
#ifndef CONTROLPLANE_CLI_TABLE_H
#define CONTROLPLANE_CLI_TABLE_H

#include "lib/json/doc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct table_column {
    const char *title;
    const char *member; /* of each row: "name", or a path "refused.error" */
    bool right;         /* aligned right: numbers; never cut */
    int rank;           /* left out first when highest; 0: never left out */
};

/* rows: a list of maps. width 0: as table_width(). */
void table_print(FILE *out, const struct table_column *columns, size_t count,
                 const struct json *rows, size_t width);
/* Columns of the terminal at fd, or of COLUMNS; 0: no bound. */
size_t table_width(int fd);
/* How many cells a UTF-8 text takes. */
size_t table_text_width(const char *text);
/* A value as a cell shows it: lists joined by ", ", no value as "-". Gives a heap text, or NULL. */
char *table_cell(const struct json *value);

#endif
