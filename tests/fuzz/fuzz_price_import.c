/*
 * A published price list of any bytes. Beyond not crashing: what is taken of it is a whole price of
 * a model once, its amounts are amounts, and what it would change is no change the second time.
 */

#include "controlplane/cli/price_diff.h"
#include "controlplane/cli/price_import.h"
#include "tests/fuzz/fuzz.h"

static void
check_amounts(struct json *map)
{
    const char *name;
    void *iter = NULL;
    struct json *value;

    while (json_each(map, &iter, &name, &value))
        if (slice_ends(slice_of(name), SLICE("_usd")))
            CHECK(price_amount(json_str(value)) >= 0);
}

/* What is applied, applies. */
static void
check_settles(const struct price_import *in)
{
    struct price_diff first, second;
    struct price_state nothing = {0}, after = {0};

    CHECK(price_diff_init(&first) == 0 && price_diff_init(&second) == 0);
    for (size_t i = 0; i < json_size(in->rows); i++) {
        const struct json *row = json_at(in->rows, i);
        struct slice kind = json_str(json_get(row, "kind"));
        CHECK(price_diff_add(&first, &nothing, kind, kind, json_str(json_get(row, "model")),
                             json_get(row, "price")) == 0);
    }
    CHECK(first.changed == 0 && first.unchanged == 0 && first.implausible == 0);
    CHECK(first.added == json_size(in->rows));
    after.prices = first.items;
    for (size_t i = 0; i < json_size(in->rows); i++) {
        const struct json *row = json_at(in->rows, i);
        struct slice kind = json_str(json_get(row, "kind"));
        CHECK(price_diff_add(&second, &after, kind, kind, json_str(json_get(row, "model")),
                             json_get(row, "price")) == 0);
    }
    CHECK(second.unchanged == json_size(in->rows));
    price_diff_fini(&first);
    price_diff_fini(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct price_import in;
    struct buf why;

    buf_init(&why, 0);
    int err = price_import_read(slice_make(data, n), &in, &why);
    CHECK(err == 0 || (err == ERR_SYNTAX && why.len > 0));
    for (size_t i = 0; !err && i < json_size(in.rows); i++) {
        struct json *price = json_get(json_at(in.rows, i), "price");
        struct json *variants = json_get(price, "variants");
        CHECK(json_size(price) > 0);
        check_amounts(price);
        for (size_t k = 0; k < json_size(variants); k++)
            check_amounts(json_at(variants, k));
    }
    if (!err) {
        check_settles(&in);
        price_import_free(&in);
    }
    buf_free(&why);
    return 0;
}
