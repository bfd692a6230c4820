#include "dataplane/dialects/converse_internal.h"

#include <string.h>

static const struct {
    struct slice part; /* of the id */
    enum converse_family family;
} families[] = {
    {{"anthropic.claude", 16}, CONVERSE_CLAUDE}, {{"amazon.nova-2", 13}, CONVERSE_NOVA_2},
    {{"amazon.nova", 11}, CONVERSE_NOVA},        {{"amazon.titan", 12}, CONVERSE_TITAN},
    {{"mistral.", 8}, CONVERSE_MISTRAL},         {{"meta.llama", 10}, CONVERSE_LLAMA},
    {{"openai.gpt-oss", 14}, CONVERSE_GPT_OSS},
};

/* Models without a family of their own that structure their output themselves. */
static const struct slice natives[] = {
    {"zai.", 4},    {"qwen.", 5},   {"moonshot", 8}, {"deepseek.v3", 11},
    {"minimax", 7}, {"google.", 7}, {"nvidia.", 7},
};

/* Where `part` begins at the id's start or behind one of its dots, slashes and colons. */
static const char *
find_part(struct slice id, struct slice part)
{
    struct slice rest = id;
    for (;;) {
        const char *at = rest.len ? memmem(rest.at, rest.len, part.at, part.len) : NULL;
        if (!at || at == id.at || at[-1] == '.' || at[-1] == '/' || at[-1] == ':')
            return at;
        rest = slice_from(id, (size_t)(at - id.at) + 1);
    }
}

static enum converse_family
family_of(struct slice id)
{
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        if (find_part(id, families[i].part))
            return families[i].family;
    return CONVERSE_OTHER;
}

static bool
is_native(struct slice id)
{
    for (size_t i = 0; i < sizeof(natives) / sizeof(natives[0]); i++)
        if (find_part(id, natives[i]))
            return true;
    return false;
}

/* What a Claude can do is told by its name at Anthropic, but for the first ones, which had others.
 */
static void
describe_claude(struct slice id, struct converse_model *m)
{
    const char *name = find_part(id, families[0].part) + sizeof("anthropic.") - 1;
    struct slice rest = slice_from(id, (size_t)(name - id.at));
    bool is_old =
        slice_starts(rest, SLICE("claude-instant")) || slice_starts(rest, SLICE("claude-v"));
    m->claude = anthropic_model_of(is_old ? SLICE("claude-3-haiku") : rest);
    m->may_choose_any = m->may_choose_one = m->has_status = m->has_cache = true;
    m->has_cache_hour = m->claude->schema;
    m->json = m->claude->schema ? CONVERSE_JSON_NATIVE : CONVERSE_JSON_TOOL;
}

struct converse_model
converse_model_of(struct slice id)
{
    struct converse_model m = {.family = id.len ? family_of(id) : CONVERSE_OTHER,
                               .json = CONVERSE_JSON_ASKED};
    switch (m.family) {
    case CONVERSE_CLAUDE:
        describe_claude(id, &m);
        break;
    case CONVERSE_NOVA:
    case CONVERSE_NOVA_2:
        m.may_choose_any = m.may_choose_one = m.has_status = m.has_cache = true;
        m.json = CONVERSE_JSON_TOOL;
        break;
    case CONVERSE_MISTRAL:
        m.may_choose_any = true;
        m.json = CONVERSE_JSON_TOOL;
        break;
    case CONVERSE_GPT_OSS:
        m.json = CONVERSE_JSON_NATIVE;
        break;
    case CONVERSE_OTHER:
        m.json = is_native(id) ? CONVERSE_JSON_NATIVE : CONVERSE_JSON_ASKED;
        break;
    case CONVERSE_LLAMA:
    case CONVERSE_TITAN:
        break;
    }
    return m;
}
