#include "controlplane/cli/table.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <wchar.h>

#include "controlplane/cli/cli.h"
#include "lib/base/buf.h"

#define MAX_COLUMNS 24
#define GAP 2
#define LEAST_WIDTH 8  /* of a text that is cut, as long as a column can be left out instead */
#define LEAST_OF_ALL 4 /* after that */

struct grid {
    const struct table_column *columns;
    size_t count, rows;
    char **cells; /* rows * count, heap texts */
    size_t width[MAX_COLUMNS];
    bool hidden[MAX_COLUMNS];
};

/* --- widths ------------------------------------------------------------------------------------
 */

size_t
table_width(int fd)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    unsigned long long n = 0;
    if (columns && slice_to_u64(slice_of(columns), &n) == 0 && n > 0 && n < 100000)
        return (size_t)n;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* The next character of a UTF-8 text: its bytes, and how many cells it takes. */
static size_t
next_char(const char *text, size_t *ret_cells)
{
    wchar_t c;
    mbstate_t state = {0};
    size_t n = mbrtowc(&c, text, strlen(text), &state);
    if (n == 0 || n > 16) { /* broken text: byte by byte */
        *ret_cells = 1;
        return 1;
    }
    int cells = wcwidth(c);
    *ret_cells = cells < 0 ? 1 : (size_t)cells;
    return n;
}

size_t
table_text_width(const char *text)
{
    size_t sum = 0;
    while (*text) {
        size_t cells;
        text += next_char(text, &cells);
        sum += cells;
    }
    return sum;
}

/* --- cells -------------------------------------------------------------------------------------
 */

static char *
join_texts(const struct json *list)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    int e = 0;
    for (size_t i = 0; i < json_size(list) && e == 0; i++) {
        char *item = table_cell(json_at(list, i));
        e = buf_addf(&text, "%s%s", i ? ", " : "", item ? item : "");
        free(item);
    }
    char *copy = slice_dup(text.len ? buf_slice(&text) : SLICE("-"));
    buf_free(&text);
    return copy;
}

static char *
plain_json(const struct json *value)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    char *copy = json_write(value, false, 0, &text) == 0 ? cli_clean(buf_slice(&text)) : NULL;
    buf_free(&text);
    return copy;
}

char *
table_cell(const struct json *value)
{
    switch (json_kind(value)) {
    case JSON_ABSENT:
    case JSON_NULL_:
        return slice_dup(SLICE("-"));
    case JSON_TEXT:
        return cli_clean(json_str(value).len ? json_str(value) : SLICE("-"));
    case JSON_TRUE_:
        return slice_dup(SLICE("yes"));
    case JSON_FALSE_:
        return slice_dup(SLICE("no"));
    case JSON_LIST:
        return join_texts(value);
    case JSON_NUMBER:
    case JSON_MAP:
        return plain_json(value);
    }
    return NULL;
}

/* The value at "a.b" of a row. */
static const struct json *
member(const struct json *row, const char *path)
{
    char name[64];
    for (const char *dot; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        snprintf(name, sizeof(name), "%.*s", (int)(dot - path), path);
        row = json_get(row, name);
    }
    return json_get(row, path);
}

static bool
grid_init(struct grid *g, const struct table_column *columns, size_t count, const struct json *rows)
{
    *g = (struct grid){.columns = columns, .count = count, .rows = json_size(rows)};
    g->cells = calloc(g->rows * count + 1, sizeof(*g->cells));
    if (!g->cells || count > MAX_COLUMNS)
        return false;
    for (size_t c = 0; c < count; c++)
        g->width[c] = table_text_width(columns[c].title);
    for (size_t i = 0; i < g->rows * count; i++) {
        g->cells[i] = table_cell(member(json_at(rows, i / count), columns[i % count].member));
        size_t width = table_text_width(g->cells[i] ? g->cells[i] : "");
        if (width > g->width[i % count])
            g->width[i % count] = width;
    }
    return true;
}

static void
grid_fini(struct grid *g)
{
    for (size_t i = 0; g->cells && i < g->rows * g->count; i++)
        free(g->cells[i]);
    free(g->cells);
}

/* --- fitting -----------------------------------------------------------------------------------
 */

static size_t
line_width(const struct grid *g)
{
    size_t sum = 0;
    for (size_t c = 0; c < g->count; c++)
        if (!g->hidden[c])
            sum += g->width[c] + (sum ? GAP : 0);
    return sum;
}

/* Narrows the widest text column by one; false when none may be narrower. */
static bool
narrow(struct grid *g, size_t least)
{
    size_t widest = g->count;
    for (size_t c = 0; c < g->count; c++) {
        if (g->hidden[c] || g->columns[c].right || g->width[c] <= least)
            continue;
        if (widest == g->count || g->width[c] > g->width[widest])
            widest = c;
    }
    if (widest == g->count)
        return false;
    g->width[widest]--;
    return true;
}

static bool
leave_out(struct grid *g)
{
    size_t worst = g->count;
    for (size_t c = 0; c < g->count; c++)
        if (!g->hidden[c] && g->columns[c].rank > 0 &&
            (worst == g->count || g->columns[c].rank > g->columns[worst].rank))
            worst = c;
    if (worst == g->count)
        return false;
    g->hidden[worst] = true;
    return true;
}

static void
fit(struct grid *g, size_t width)
{
    size_t natural[MAX_COLUMNS];
    memcpy(natural, g->width, sizeof(natural));
    while (line_width(g) > width) {
        if (narrow(g, LEAST_WIDTH))
            continue;
        if (!leave_out(g))
            break;
        memcpy(g->width, natural, sizeof(natural));
    }
    while (line_width(g) > width)
        if (!narrow(g, LEAST_OF_ALL))
            return;
}

/* --- printing ----------------------------------------------------------------------------------
 */

/* At most `width` cells of text; the last one an ellipsis when something is left out. */
static size_t
put_cut(FILE *out, const char *text, size_t width)
{
    size_t done = 0, cells;
    bool whole = table_text_width(text) <= width;
    while (*text) {
        size_t n = next_char(text, &cells);
        if (done + cells + (whole ? 0 : 1) > width)
            break;
        fwrite(text, 1, n, out);
        text += n;
        done += cells;
    }
    if (!whole && done < width) {
        fputs("…", out);
        done++;
    }
    return done;
}

static void
put_line(FILE *out, const struct grid *g, char *const *cells)
{
    size_t pending = 0; /* blanks owed, so that no line ends with any */
    bool first = true;
    for (size_t c = 0; c < g->count; c++) {
        if (g->hidden[c])
            continue;
        const char *text = cells ? cells[c] : g->columns[c].title;
        size_t width = table_text_width(text ? text : "");
        size_t before = g->columns[c].right && width < g->width[c] ? g->width[c] - width : 0;
        fprintf(out, "%*s", (int)(pending + before + (first ? 0 : GAP)), "");
        size_t done = put_cut(out, text ? text : "", g->width[c]);
        pending = g->columns[c].right || done > g->width[c] ? 0 : g->width[c] - done;
        first = false;
    }
    fputc('\n', out);
}

static void
note_hidden(FILE *out, const struct grid *g)
{
    bool any = false;
    for (size_t c = 0; c < g->count; c++)
        if (g->hidden[c]) {
            fprintf(out, "%s%s", any ? ", " : "(too narrow for: ", g->columns[c].title);
            any = true;
        }
    if (any)
        fputs(")\n", out);
}

void
table_print(FILE *out, const struct table_column *columns, size_t count, const struct json *rows,
            size_t width)
{
    struct grid g;
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        setlocale(LC_CTYPE, "");
    if (!grid_init(&g, columns, count, rows)) {
        cli_fail("out of memory");
        grid_fini(&g);
        return;
    }
    if (width == 0)
        width = table_width(fileno(out));
    if (width > 0)
        fit(&g, width);
    put_line(out, &g, NULL);
    for (size_t i = 0; i < g.rows; i++)
        put_line(out, &g, g.cells + i * count);
    if (out == stdout)
        note_hidden(stderr, &g);
    grid_fini(&g);
}
