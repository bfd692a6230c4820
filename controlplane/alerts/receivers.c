/* See receivers.h. */
#include "controlplane/alerts/receivers.h"

#include <stdio.h>

#define TAKEN "taken"

struct json *
receivers_left(const struct json *to, const struct json *settled)
{
    struct json *left = json_new_list();
    for (size_t i = 0; left && i < json_size(to); i++) {
        struct slice one = json_str(json_at(to, i));
        if (json_get(settled, one.at) || json_append(left, json_new_text(one)) == 0)
            continue;
        json_free(left);
        left = NULL;
    }
    return left;
}

bool
receivers_is_open(const struct json *to, const struct json *settled)
{
    for (size_t i = 0; i < json_size(to); i++)
        if (!json_get(settled, json_str(json_at(to, i)).at))
            return true;
    return false;
}

bool
receivers_has_taken(struct json *settled)
{
    const char *one;
    struct json *how;
    for (void *i = NULL; json_each(settled, &i, &one, &how);)
        if (slice_is(json_str(how), TAKEN))
            return true;
    return false;
}

int
receivers_note(struct json *settled, const struct json *asked, const struct smtp_replies *replies,
               bool sent)
{
    bool somebody = sent || receivers_has_taken(settled);
    int err = 0;
    for (size_t i = 0; i < json_size(asked) && i < LIMIT_ALERT_RECEIVERS && !err; i++) {
        struct slice one = json_str(json_at(asked, i));
        int status = replies->at[i];
        char text[16];
        snprintf(text, sizeof(text), "%d", status);
        if (sent && status >= 200 && status <= 299)
            err = json_set_str(settled, one.at, TAKEN);
        else if (somebody && status >= 500 && status <= 599)
            err = json_set_str(settled, one.at, text);
    }
    return err;
}

int
receivers_refused(struct json *settled, struct buf *out)
{
    const char *one;
    struct json *how;
    int err = 0;
    for (void *i = NULL; !err && json_each(settled, &i, &one, &how);)
        if (!slice_is(json_str(how), TAKEN))
            err = buf_addf(out, "%s%s (%.*s)", out->len ? ", " : "", one, SLICE_ARG(json_str(how)));
    return err;
}
