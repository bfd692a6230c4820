#include "controlplane/ledger/rollup.h"

#include <stdlib.h>

#include "controlplane/ledger/text.h"
#include "lib/base/crash.h"
#include "lib/base/map.h"
#include "lib/json/doc.h"

#define MS_PER_HOUR INT64_C(3600000)

/* What one group of names has in one hour of this batch. */
struct group {
    const struct batch_item *first; /* for its names */
    int64_t hour;
    int64_t requests, attempts, errors, estimated, incomplete;
    struct tokens tokens;
    __int128 cost;
};

struct groups {
    struct map by_dims;
    struct group *at;
    size_t count;
};

/* --- adding up ------------------------------------------------------------------------------- */

/* Names of different lengths cannot run into each other: each is preceded by its length. */
static struct slice
dims_of(const struct batch_item *item, int64_t hour, struct buf *room)
{
    const struct usage *u = &item->u;
    const struct slice parts[] = {u->team,  u->project,  u->user,           u->key,
                                  u->model, u->provider, u->provider_model, item->tags};
    int err = buf_add(room, &hour, sizeof(hour));

    for (size_t i = 0; !err && i < sizeof(parts) / sizeof(*parts); i++) {
        err = buf_add(room, &parts[i].len, sizeof(parts[i].len));
        if (!err)
            err = buf_add_slice(room, parts[i]);
    }
    if (err)
        return (struct slice){0};
    return buf_slice(room);
}

static void
add_item(struct group *g, const struct batch_item *item)
{
    const struct usage *u = &item->u;

    g->requests += u->attempt_no == 1;
    g->attempts++;
    g->errors += u->error_code.len > 0;
    g->estimated += u->estimated;
    g->incomplete += u->incomplete;
    for (int c = 0; c < USAGE_CLASSES; c++)
        g->tokens.of[c] += u->tokens.of[c];
    g->cost += u->cost;
}

static int
add_to_group(struct groups *all, const struct batch_item *item, struct buf *room, struct arena *a)
{
    int64_t hour = item->time_ms / MS_PER_HOUR * MS_PER_HOUR;
    struct slice dims;
    struct group *g;

    buf_clear(room);
    dims = dims_of(item, hour, room);
    if (!dims.at)
        return ERR_NOMEM;
    if (!(g = map_find(&all->by_dims, dims))) {
        dims = arena_copy(a, dims);
        g = &all->at[all->count];
        *g = (struct group){.first = item, .hour = hour};
        if (!dims.at || map_put(&all->by_dims, dims, g))
            return ERR_NOMEM;
        all->count++;
    }
    add_item(g, item);
    return 0;
}

/* --- writing --------------------------------------------------------------------------------- */

static int
set_names(struct json *row, const struct batch_item *item)
{
    const struct usage *u = &item->u;
    const struct {
        const char *name;
        struct slice value;
    } names[] = {
        {"team", u->team},      {"project", u->project},
        {"user_name", u->user}, {"key", u->key},
        {"model", u->model},    {"provider", u->provider},
        {"tags", item->tags},   {"provider_model", u->provider_model},
    };
    int err = 0;

    for (size_t i = 0; !err && i < sizeof(names) / sizeof(*names); i++)
        err = json_set_text(row, names[i].name, names[i].value);
    return err;
}

static const char *const columns[USAGE_CLASSES] = {
    [CLASS_INPUT] = "tokens_input",
    [CLASS_CACHE_READ] = "tokens_cache_read",
    [CLASS_CACHE_WRITE] = "tokens_cache_write",
    [CLASS_CACHE_WRITE_1H] = "tokens_cache_write_1h",
    [CLASS_OUTPUT] = "tokens_output",
    [CLASS_REASONING] = "tokens_reasoning",
    [CLASS_AUDIO_INPUT] = "tokens_audio_input",
    [CLASS_AUDIO_OUTPUT] = "tokens_audio_output",
    [CLASS_IMAGE_INPUT] = "tokens_image_input",
    [CLASS_IMAGE_OUTPUT] = "tokens_image_output",
    [CLASS_WEB_SEARCHES] = "web_searches",
    [CLASS_SEARCH_UNITS] = "search_units",
    [CLASS_IMAGES] = "images",
    [CLASS_AUDIO_MS] = "audio_ms",
    [CLASS_CHARACTERS] = "characters",
};

static int
set_sums(struct json *row, const struct group *g)
{
    const struct {
        const char *name;
        int64_t value;
    } sums[] = {
        {"hour", g->hour / 1000},         {"requests", g->requests},
        {"attempts", g->attempts},        {"errors", g->errors},
        {"estimated", g->estimated},      {"incomplete", g->incomplete},
        {"cost_nanos", (int64_t)g->cost},
    };
    int err = g->cost > INT64_MAX ? ERR_RANGE : 0;

    for (size_t i = 0; !err && i < sizeof(sums) / sizeof(*sums); i++)
        err = json_set_int(row, sums[i].name, sums[i].value);
    for (int c = 0; !err && c < USAGE_CLASSES; c++)
        if (c < CLASS_COMMON || g->tokens.of[c])
            err = json_set_int(row, columns[c], g->tokens.of[c]);
    return err;
}

static int
write_groups(const struct groups *all, struct buf *into)
{
    struct json *list = json_new_list(), *row;
    int err = list ? 0 : ERR_NOMEM;

    for (size_t i = 0; !err && i < all->count; i++) {
        if (!(row = json_new_map())) {
            err = ERR_NOMEM;
            break;
        }
        if ((err = set_names(row, all->at[i].first)) || (err = set_sums(row, &all->at[i]))) {
            json_free(row);
            break;
        }
        err = json_append(list, row);
    }
    if (!err)
        err = json_write(list, false, 0, into);
    json_free(list);
    return err;
}

/* A class that nobody used stays NULL. */
#define ADD_RARE(c) ", " c " = coalesce(h." c " + EXCLUDED." c ", h." c ", EXCLUDED." c ")"

/* In the order of the primary key: everybody locks rows so. */
static const char upsert[] =
    "INSERT INTO usage_hourly AS h (hour, dims, team, project, user_name, key, model, provider, "
    "provider_model, tags, requests, attempts, errors, estimated, incomplete, tokens_input, "
    "tokens_cache_read, tokens_cache_write, tokens_cache_write_1h, tokens_output, "
    "tokens_reasoning, tokens_audio_input, tokens_audio_output, tokens_image_input, "
    "tokens_image_output, web_searches, search_units, images, audio_ms, characters, cost_nanos) "
    "SELECT to_timestamp(hour), md5(jsonb_build_array(team, project, user_name, key, model, "
    "provider, provider_model, tags::jsonb)::text)::uuid AS dims, team, project, user_name, key, "
    "model, provider, provider_model, tags::jsonb, requests, attempts, errors, estimated, "
    "incomplete, tokens_input, tokens_cache_read, tokens_cache_write, tokens_cache_write_1h, "
    "tokens_output, tokens_reasoning, tokens_audio_input, tokens_audio_output, "
    "tokens_image_input, tokens_image_output, web_searches, search_units, images, audio_ms, "
    "characters, cost_nanos FROM jsonb_to_recordset($1::jsonb) AS r (hour bigint, team text, "
    "project text, user_name text, key text, model text, provider text, provider_model text, tags "
    "text, requests bigint, attempts bigint, errors bigint, estimated bigint, incomplete bigint, "
    "tokens_input bigint, tokens_cache_read bigint, tokens_cache_write bigint, "
    "tokens_cache_write_1h bigint, tokens_output bigint, tokens_reasoning bigint, "
    "tokens_audio_input bigint, tokens_audio_output bigint, tokens_image_input bigint, "
    "tokens_image_output bigint, web_searches bigint, search_units bigint, images bigint, "
    "audio_ms bigint, characters bigint, cost_nanos bigint) ORDER BY 1, 2 ON CONFLICT (hour, "
    "dims) DO UPDATE SET requests = h.requests + EXCLUDED.requests, attempts = h.attempts + "
    "EXCLUDED.attempts, errors = h.errors + EXCLUDED.errors, estimated = h.estimated + "
    "EXCLUDED.estimated, incomplete = h.incomplete + EXCLUDED.incomplete, tokens_input = "
    "h.tokens_input + EXCLUDED.tokens_input, tokens_cache_read = h.tokens_cache_read + "
    "EXCLUDED.tokens_cache_read, tokens_cache_write = h.tokens_cache_write + "
    "EXCLUDED.tokens_cache_write, tokens_cache_write_1h = h.tokens_cache_write_1h + "
    "EXCLUDED.tokens_cache_write_1h, tokens_output = h.tokens_output + EXCLUDED.tokens_output, "
    "tokens_reasoning = h.tokens_reasoning + EXCLUDED.tokens_reasoning, cost_nanos = h.cost_nanos "
    "+ EXCLUDED.cost_nanos" ADD_RARE("tokens_audio_input") ADD_RARE("tokens_audio_output")
        ADD_RARE("tokens_image_input") ADD_RARE("tokens_image_output") ADD_RARE("web_searches")
            ADD_RARE("search_units") ADD_RARE("images") ADD_RARE("audio_ms") ADD_RARE("characters");

static int
save(struct db *db, const struct groups *all)
{
    struct buf text;
    const char *param;
    int err;

    buf_init(&text, 0);
    err = write_groups(all, &text);
    if (!err && !(param = buf_str(&text)))
        err = ERR_NOMEM;
    if (!err)
        err = db_query(db, upsert, &param, 1, NULL);
    buf_free(&text);
    return err;
}

int
rollup_add(struct db *db, const struct batch *b, size_t from, size_t to)
{
    struct groups all = {0};
    struct arena a;
    struct buf room;
    int err = 0;

    if (from == to)
        return 0;
    if (!(all.at = malloc((to - from) * sizeof(*all.at))))
        return ERR_NOMEM;
    map_init(&all.by_dims);
    arena_init(&a, 0);
    buf_init(&room, 0);
    for (size_t i = from; !err && i < to; i++)
        err = add_to_group(&all, &b->items[i], &room, &a);
    if (!err)
        err = save(db, &all);
    CRASHPOINT("ledger.after_rollup");
    buf_free(&room);
    arena_free(&a);
    map_free(&all.by_dims);
    free(all.at);
    return err;
}
