/* Which sealing keys the newest published version needs. */
#include "controlplane/publish/publisher.h"
#include "lib/control/section.h"

static void
note(struct publisher_keys *k, struct slice sealed)
{
    unsigned char id[KEYRING_ID_BYTES];

    if (sealed.len == 0)
        return;
    if (!keyring_sealed_id(sealed, id)) {
        k->without_id = true;
        return;
    }
    for (size_t i = 0; i < k->count; i++)
        if (memcmp(k->ids[i], id, sizeof(id)) == 0)
            return;
    if (k->count < PUBLISHER_KEYS_MOST)
        memcpy(k->ids[k->count++], id, sizeof(id));
}

static int
note_provider(struct publisher_keys *k, struct slice item)
{
    struct section_provider p;
    struct arena arena;
    int err;

    arena_init(&arena, 16 * LIMIT_ITEM_BYTES);
    err = section_get_provider(item, &arena, &p);
    if (!err)
        note(k, p.sealed_credential);
    arena_free(&arena);
    return err;
}

static int
note_section(struct publisher_keys *k, const struct section *s, enum section_id id)
{
    struct slice rest = s ? section_bytes(s) : SLICE("");
    struct slice item;
    int kind, err = 0;

    while (!err &&
           (kind = section_next(slice_of(section_id_name(id)), &rest, &item)) != SECTION_END) {
        if (kind == SECTION_PEPPER)
            note(k, item);
        else if (kind == SECTION_PROVIDER)
            err = note_provider(k, item);
        else if (kind < 0)
            err = kind;
    }
    return err;
}

int
publisher_seal_keys(struct publisher *p, struct publisher_keys *ret_keys)
{
    struct head *h = shelf_newest(p->shelf);
    int err;

    *ret_keys = (struct publisher_keys){0};
    if (!h)
        return 0;
    ret_keys->epoch = h->epoch;
    ret_keys->version = h->version;
    err = note_section(ret_keys, h->sections->fixed[SECTION_SETTINGS], SECTION_SETTINGS);
    if (!err)
        err = note_section(ret_keys, h->sections->fixed[SECTION_PROVIDERS], SECTION_PROVIDERS);
    head_unref(h);
    return err;
}
