/*
 * make_policy DOCUMENT.json DIR: a data plane's policy without a control plane, for tests and
 * benches.
 *
 * Reads a configuration document (the JSON form of the YAML file) and writes
 *   DIR/seal.key, DIR/verify.key      for --seal-key and --verify-key (DIR/sign.key, pepper.key
 * beside) DIR/state/policy/                 the last good policy, for --state-dir DIR/state
 *   DIR/keys.json                     {"NAME": "sk-hg-..."}
 * A second run with the same DIR keeps the keys and writes the next version. A key item may have a
 * member "key" with the text to use. Credentials are literals or env:NAME.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/publish/item_bytes.h"
#include "controlplane/publish/sections.h"
#include "controlplane/rules/item.h"
#include "controlplane/rules/pricebook.h"
#include "controlplane/secrets/seal.h"
#include "lib/base/clock.h"
#include "lib/base/encode.h"
#include "lib/base/file.h"
#include "lib/base/rand.h"
#include "lib/control/section.h"
#include "lib/policy/lkg.h"

struct maker {
    const char *dir;
    struct keyring ring; /* of sealing keys */
    unsigned char sign_secret[SIGN_SECRET_BYTES], pepper[32];
    unsigned char public_key[SIGN_PUBLIC_BYTES];
    uint64_t version;
    struct json *known;  /* keys.json of the run before */
    struct json *minted; /* keys.json of this one */
    struct sections *sections;
    struct key_edits *edits;
    struct hmac *hmac;
    struct buf fixed[FIXED_SECTIONS];
};

static void die(const char *what, int err) __attribute__((noreturn));

static void
die(const char *what, int err)
{
    fprintf(stderr, "make_policy: %s%s%s\n", what, err ? ": " : "", err ? err_name(err) : "");
    exit(1);
}

static void
must(int err, const char *what)
{
    if (err)
        die(what, err);
}

static char *
path_of(const struct maker *m, const char *name)
{
    static char path[4096];

    snprintf(path, sizeof(path), "%s/%s", m->dir, name);
    return path;
}

static void
write_file(const struct maker *m, const char *name, struct slice content)
{
    must(file_replace(path_of(m, name), content, 0600), name);
}

static struct json *
read_json(const char *path, bool may_miss)
{
    struct buf text;
    struct json *doc = NULL;
    char why[256];
    int err;

    buf_init(&text, 0);
    err = file_read(path, (size_t)64 << 20, false, &text);
    if (err == ERR_NOT_FOUND && may_miss)
        return json_new_map();
    must(err, path);
    if (json_parse(buf_slice(&text), &doc, why, sizeof(why)) != 0) {
        fprintf(stderr, "make_policy: %s: %s\n", path, why);
        exit(1);
    }
    buf_free(&text);
    return doc;
}

/* --- keys and secrets ---------------------------------------------------------------------- */

static void
load_keys(struct maker *m)
{
    unsigned char seal_key[SEAL_KEY_BYTES];
    char hex[2 * SIGN_PUBLIC_BYTES + 2];

    must(file_make_dirs(path_of(m, "state"), 0700), "state");
    must(file_key(path_of(m, "seal.key"), seal_key, SEAL_KEY_BYTES, true), "seal.key");
    m->ring = keyring_of(seal_key);
    must(file_key(path_of(m, "sign.key"), m->sign_secret, SIGN_SECRET_BYTES, true), "sign.key");
    must(file_key(path_of(m, "pepper.key"), m->pepper, sizeof(m->pepper), true), "pepper.key");
    must(sign_public(m->sign_secret, m->public_key), "sign.key");
    hex_encode(m->public_key, SIGN_PUBLIC_BYTES, hex);
    strncat(hex, "\n", 1);
    write_file(m, "verify.key", slice_of(hex));
    m->hmac = hmac_new(m->pepper, sizeof(m->pepper));
    m->known = read_json(path_of(m, "keys.json"), true);
    m->minted = json_new_map();
    if (!m->hmac || !m->known || !m->minted)
        die("no memory", 0);
}

static int
add_sealed(struct maker *m, struct slice context, struct slice plain, struct buf *into)
{
    char *at = buf_reserve(into, plain.len + SEAL_OVERHEAD_BYTES);
    int err = at ? keyring_seal(&m->ring, context, plain, at) : ERR_NOMEM;

    if (!err)
        buf_commit(into, plain.len + SEAL_OVERHEAD_BYTES);
    return err;
}

static int
credential(void *ctx, struct slice provider, const struct json *body, struct buf *into,
           struct buf *why)
{
    struct slice text = json_str(json_get(body, "credential"));
    char context[256], name[256];

    (void)why;
    if (!text.at)
        return 0;
    if (slice_starts(text, SLICE("env:"))) {
        snprintf(name, sizeof(name), "%.*s", SLICE_ARG(slice_from(text, 4)));
        text = slice_of(getenv(name));
        if (!text.at)
            return ERR_NOT_FOUND;
    }
    snprintf(context, sizeof(context), "provider/%.*s", SLICE_ARG(provider));
    return add_sealed(ctx, slice_of(context), text, into);
}

/* The key's text: given, known from the run before, or new; its digest goes into the body. */
static void
mint(struct maker *m, struct slice name, struct slice given, struct json *body)
{
    char text[KEY_TEXT_BYTES + 1], hex[2 * SHA256_BYTES + 1], member[256];
    unsigned char digest[SHA256_BYTES];
    struct slice key = given;

    snprintf(member, sizeof(member), "%.*s", SLICE_ARG(name));
    if (!key.at)
        key = json_str(json_get(m->known, member));
    if (!key.at) {
        secrets_mint_key(text);
        key = slice_of(text);
    }
    hmac_sha256(m->hmac, key.at, key.len, digest);
    hex_encode(digest, SHA256_BYTES, hex);
    must(json_set_str(body, "digest", hex), "digest");
    must(json_set_text(m->minted, member, key), "keys.json");
}

/* --- items --------------------------------------------------------------------------------- */

static enum section_id
section_of(enum kind_id kind)
{
    for (size_t i = 0; i < FIXED_SECTIONS; i++)
        if (strcmp(section_id_name((enum section_id)i), item_section(kind)) == 0)
            return (enum section_id)i;
    die("a kind without a section", 0);
}

static void
add_item(struct maker *m, const struct kind *kind, struct json *input, size_t at)
{
    unsigned char digest[SHA256_BYTES];
    struct buf why, name, item;
    char path[64], id[37];
    unsigned char uuid[16];
    struct slice given = json_str(json_get(input, "key"));
    struct json *key = given.at ? json_new_text(given) : NULL;
    struct json *body;
    struct item_source source = {.kind = kind->id,
                                 .revision = (int64_t)m->version,
                                 .created_ms = clock_wall_ms(),
                                 .credential = credential,
                                 .ctx = m};

    buf_init(&why, 0);
    buf_init(&name, 0);
    buf_init(&item, 0);
    snprintf(path, sizeof(path), "%s[%zu]", kind->plural, at);
    if (key)
        (void)json_remove(input, "key");
    if (item_check(kind, input, path, &why) != 0)
        die(buf_str(&why), 0);
    must(item_name(kind, input, &name), path);
    if (!(body = item_body(kind, input)))
        die("no memory", 0);
    if (kind->id == KIND_KEYS)
        mint(m, buf_slice(&name), key ? json_str(key) : (struct slice){0}, body);
    uuid7(uuid);
    uuid_format(uuid, id);
    source.name = buf_slice(&name);
    source.id = slice_of(id);
    source.body = body;
    if (item_bytes(&source, &item, digest, &why) != 0)
        die(buf_str(&why), 0);
    must(kind->id == KIND_KEYS ? key_edits_put(m->edits, digest, buf_slice(&item))
                               : buf_add_slice(&m->fixed[section_of(kind->id)], buf_slice(&item)),
         path);
    json_free(body);
    json_free(key);
    buf_free(&item);
    buf_free(&name);
    buf_free(&why);
}

static void
add_price_book(struct maker *m)
{
    struct pricebook book;
    struct section_price p;

    pricebook_start(&book);
    while (pricebook_next(&book, &p))
        must(section_put_price(&m->fixed[SECTION_PRICES], &p), "prices");
}

static void
add_document(struct maker *m, const struct json *document)
{
    struct buf sealed;

    for (size_t k = 0; k < KIND_COUNT; k++) {
        const struct json *list = json_get(document, kinds[k].plural);

        for (size_t i = 0; i < json_size(list); i++)
            add_item(m, &kinds[k], json_at(list, i), i);
    }
    add_price_book(m);
    buf_init(&sealed, 0);
    must(add_sealed(m, SLICE("pepper"), slice_make(m->pepper, sizeof(m->pepper)), &sealed),
         "pepper");
    must(section_put_pepper(&m->fixed[SECTION_SETTINGS], buf_slice(&sealed)), "settings");
    buf_free(&sealed);
    for (size_t i = 0; i < FIXED_SECTIONS; i++) {
        struct section *s =
            section_new(section_id_name((enum section_id)i), buf_slice(&m->fixed[i]));

        if (!s)
            die("no memory", 0);
        sections_set_fixed(m->sections, (enum section_id)i, s);
    }
    must(key_edits_apply(m->edits, m->sections), "keys");
}

/* --- out ----------------------------------------------------------------------------------- */

/* The worker's own compiler has the last word. */
static void
check(const struct maker *m, struct section *const *list, size_t count)
{
    struct policy_section all[SECTIONS_MOST];
    struct policy_input in = {
        .epoch = 1, .version = m->version, .sections = all, .count = count, .keys = &m->ring};
    struct policy *policy;
    struct buf why;

    buf_init(&why, 0);
    for (size_t i = 0; i < count; i++) {
        all[i].name = slice_of(list[i]->name);
        all[i].bytes = section_bytes(list[i]);
        memcpy(all[i].digest, list[i]->sha256, SHA256_BYTES);
    }
    if (policy_compile(&in, &policy, &why) != 0)
        die(buf_str(&why), 0);
    policy_unref(policy);
    buf_free(&why);
}

static void
save(const struct maker *m)
{
    struct section *list[SECTIONS_MOST];
    struct section_ref refs[SECTIONS_MOST] = {0};
    struct slice bytes[SECTIONS_MOST];
    size_t count = sections_list(m->sections, list);
    struct snapshot_root root = {.cluster_id = SLICE("make-policy"),
                                 .epoch = 1,
                                 .version = m->version,
                                 .revision = m->version,
                                 .created_ms = clock_wall_ms(),
                                 .sections = refs,
                                 .count = count};
    struct buf envelope;
    struct lkg *lkg;

    check(m, list, count);
    for (size_t i = 0; i < count; i++) {
        refs[i] = (struct section_ref){.name = slice_of(list[i]->name), .size = list[i]->size};
        memcpy(refs[i].sha256, list[i]->sha256, SHA256_BYTES);
        bytes[i] = section_bytes(list[i]);
    }
    buf_init(&envelope, 0);
    must(snapshot_sign(&root, m->sign_secret, &envelope), "signing");
    must(lkg_open(path_of(m, "state/policy"), &m->ring, &lkg), "state/policy");
    must(lkg_save(lkg, buf_slice(&envelope), &root, bytes), "state/policy");
    lkg_close(lkg);
    buf_free(&envelope);
}

/* One more than what is there. */
static uint64_t
next_version(const struct maker *m)
{
    struct snapshot_trust trust = {
        .public_keys = &m->public_key, .key_count = 1, .now_wall_ms = clock_wall_ms()};
    struct lkg_found found = {0};
    uint64_t version = 1;
    struct lkg *lkg;
    struct buf why;

    buf_init(&why, 0);
    must(lkg_open(path_of(m, "state/policy"), &m->ring, &lkg), "state/policy");
    if (lkg_load(lkg, &trust, &m->ring, &found, &why) == 0)
        version = policy_version(found.policy) + 1;
    policy_unref(found.policy);
    lkg_close(lkg);
    buf_free(&why);
    return version;
}

int
main(int argc, char **argv)
{
    struct maker m = {0};
    struct json *document;
    struct buf keys;

    if (argc != 3) {
        fprintf(stderr, "usage: make_policy DOCUMENT.json DIR\n");
        return 2;
    }
    m.dir = argv[2];
    load_keys(&m);
    m.version = next_version(&m);
    m.sections = sections_new(NULL);
    m.edits = key_edits_new();
    if (!m.sections || !m.edits)
        die("no memory", 0);
    document = read_json(argv[1], false);
    add_document(&m, document);
    save(&m);
    buf_init(&keys, 0);
    must(json_write(m.minted, false, 2, &keys), "keys.json");
    write_file(&m, "keys.json", buf_slice(&keys));
    printf("version %" PRIu64 " in %s/state/policy\n", m.version, m.dir);
    buf_free(&keys);
    for (size_t i = 0; i < FIXED_SECTIONS; i++)
        buf_free(&m.fixed[i]);
    key_edits_free(m.edits);
    sections_unref(m.sections);
    hmac_free(m.hmac);
    json_free(m.known);
    json_free(m.minted);
    json_free(document);
    return 0;
}
