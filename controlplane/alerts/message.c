/* See message.h. */
#include "controlplane/alerts/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/encode.h"
#include "lib/base/hash.h"
#include "lib/base/utf8.h"

#define LIMIT_SHOWN_BYTES 200 /* of a text that a client may have chosen */
#define LIMIT_TITLE_BYTES 150 /* of a header block of Slack's */

/* --- texts ------------------------------------------------------------------------------------ */

/* Control characters, C1 ones and separators of lines included. */
static bool
is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029;
}

/* On one line, cut at a character, whatever it was. */
static int
add_clean(struct buf *into, struct slice text, size_t most)
{
    int err = 0;
    uint32_t code = 0;
    for (size_t i = 0, n; i < text.len && !err; i += n) {
        n = utf8_take(text.at + i, text.len - i, &code);
        bool shown = n > 0 && !is_control(code);
        n = n ? n : 1;
        if (i + n > most)
            return buf_add_str(into, "...");
        err = shown ? buf_add(into, text.at + i, n) : buf_add_str(into, "?");
    }
    return err;
}

static struct slice
fact(const struct alert_message *m, const char *name)
{
    struct slice text = json_str(json_get(json_get(m->event, "data"), name));
    return text.at ? text : SLICE("");
}

static int64_t
percent(const struct alert_message *m)
{
    int64_t n = 0;
    return json_to_int(json_get(json_get(m->event, "data"), "percent"), &n) == 0 ? n : 0;
}

static bool
is_threshold(const struct alert_message *m)
{
    return slice_is(json_str(json_get(m->event, "type")), "budget.threshold");
}

/* "12.50 USD", "3000 tokens" */
static int
add_amount(const struct alert_message *m, const char *name, struct buf *into)
{
    const struct json *v = json_get(json_get(m->event, "data"), name);
    char text[JSON_DECIMAL_BYTES];
    if (json_decimal(v, text) != 0)
        return buf_add_str(into, "?");
    return buf_addf(into, "%s %s", text, slice_is(fact(m, "unit"), "usd") ? "USD" : "tokens");
}

/* "key 'ci'", when the budget counts so */
static int
add_subject(const struct alert_message *m, struct buf *into)
{
    int err = add_clean(into, fact(m, "per"), LIMIT_SHOWN_BYTES);
    if (!err)
        err = buf_add_str(into, " '");
    if (!err)
        err = add_clean(into, fact(m, "subject"), LIMIT_SHOWN_BYTES);
    return err ? err : buf_add_str(into, "'");
}

int
message_title(const struct alert_message *m, struct buf *into)
{
    if (!is_threshold(m))
        return buf_addf(into, "Headgate: a test of alert '%s'", m->alert);
    int err = buf_add_str(into, "Headgate: budget '");
    if (!err)
        err = add_clean(into, fact(m, "budget"), LIMIT_SHOWN_BYTES);
    if (!err)
        err = buf_addf(into, "' has reached %" PRId64 " %%", percent(m));
    if (!err && fact(m, "per").len) {
        err = buf_add_str(into, " for ");
        if (!err)
            err = add_subject(m, into);
    }
    return err;
}

/* --- what it says, line by line --------------------------------------------------------------- */

static int
add_period(const struct alert_message *m, struct buf *into)
{
    struct slice from = fact(m, "period_start"), to = fact(m, "period_end");
    int err = add_clean(into, fact(m, "period"), LIMIT_SHOWN_BYTES);
    if (!err && from.len)
        err = buf_addf(into, ", %.*s to %.*s", SLICE_ARG(from), SLICE_ARG(to));
    return err;
}

static int
add_budget(const struct alert_message *m, struct buf *into)
{
    return add_clean(into, fact(m, "budget"), LIMIT_SHOWN_BYTES);
}

static int
add_reached(const struct alert_message *m, struct buf *into)
{
    return buf_addf(into, "%" PRId64 " %%", percent(m));
}

static int
add_spent(const struct alert_message *m, struct buf *into)
{
    return add_amount(m, "spent", into);
}

static int
add_limit(const struct alert_message *m, struct buf *into)
{
    return add_amount(m, "limit", into);
}

static int
add_time(const struct alert_message *m, struct buf *into)
{
    return add_clean(into, json_str(json_get(m->event, "timestamp")), LIMIT_SHOWN_BYTES);
}

static const struct line {
    const char *label;
    const char *fact; /* left out without it; NULL: never */
    bool of_threshold;
    int (*add)(const struct alert_message *m, struct buf *into);
} lines[] = {
    {"Budget", NULL, true, add_budget},   {"For", "per", true, add_subject},
    {"Reached", NULL, true, add_reached}, {"Spent", NULL, true, add_spent},
    {"Limit", NULL, true, add_limit},     {"Period", "period", true, add_period},
    {"When", NULL, false, add_time},
};
#define LINES (sizeof(lines) / sizeof(lines[0]))

static bool
has_line(const struct alert_message *m, const struct line *l)
{
    return (!l->of_threshold || is_threshold(m)) && (!l->fact || fact(m, l->fact).len);
}

/* --- a webhook's body ------------------------------------------------------------------------- */

int
message_webhook(const struct alert_message *m, struct buf *into)
{
    static const char *const members[] = {"type", "timestamp", "data"};
    struct json *out = json_new_map();
    int err = out ? json_set_str(out, "id", m->id) : ERR_NOMEM;
    if (!err)
        err = json_set_str(out, "alert", m->alert);
    for (size_t i = 0; i < 3 && !err; i++)
        if (json_get(m->event, members[i]))
            err = json_set(out, members[i], json_copy(json_get(m->event, members[i])));
    if (!err)
        err = json_write(out, false, 0, into);
    json_free(out);
    return err;
}

int
message_sign(const struct secret *key, const char *id, int64_t wall_s, struct slice body,
             char ret_text[static ALERT_SIGNATURE_BYTES])
{
    unsigned char mac[SHA256_BYTES];
    struct hmac *h = hmac_new(key->at, key->len);
    struct buf text;
    buf_init(&text, 0);
    int err = h ? buf_addf(&text, "%s.%" PRId64 ".", id, wall_s) : ERR_NOMEM;
    if (!err)
        err = buf_add_slice(&text, body);
    if (!err) {
        hmac_sha256(h, text.at, text.len, mac);
        memcpy(ret_text, "v1,", 3);
        base64_encode(mac, sizeof(mac), ret_text + 3);
    }
    buf_free(&text);
    hmac_free(h);
    return err;
}

/* --- Slack's ---------------------------------------------------------------------------------- */

/* '&', '<' and '>' are all that is special there: mentions and links begin with '<'. */
static int
add_escaped(struct slice text, struct buf *into)
{
    int err = 0;
    for (size_t i = 0; i < text.len && !err; i++) {
        char c = text.at[i];
        err = c == '&'   ? buf_add_str(into, "&amp;")
              : c == '<' ? buf_add_str(into, "&lt;")
              : c == '>' ? buf_add_str(into, "&gt;")
                         : buf_add(into, &c, 1);
    }
    return err;
}

/* {"type","text"}; takes err. verbatim: no addresses or names are looked for in it. */
static struct json *
text_object(const char *type, const struct buf *text, int err)
{
    struct json *out = err ? NULL : json_new_map();
    if (out && json_set_str(out, "type", type) == 0 &&
        json_set_text(out, "text", buf_slice(text)) == 0 &&
        (strcmp(type, "mrkdwn") != 0 || json_set_bool(out, "verbatim", true) == 0))
        return out;
    json_free(out);
    return NULL;
}

static struct json *
slack_line(const struct alert_message *m, const struct line *l)
{
    struct buf plain, text;
    buf_init(&plain, 0);
    buf_init(&text, 0);
    int err = l->add(m, &plain);
    if (!err)
        err = buf_addf(&text, "*%s*\n", l->label);
    if (!err)
        err = add_escaped(buf_slice(&plain), &text);
    struct json *out = text_object("mrkdwn", &text, err);
    buf_free(&plain);
    buf_free(&text);
    return out;
}

static struct json *
slack_lines(const struct alert_message *m)
{
    struct json *fields = json_new_list();
    int err = fields ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < LINES && !err; i++)
        if (has_line(m, &lines[i]))
            err = json_append(fields, slack_line(m, &lines[i]));
    if (!err)
        return fields;
    json_free(fields);
    return NULL;
}

static struct json *
slack_header(const struct buf *title)
{
    struct buf text;
    buf_init(&text, 0);
    int err = add_clean(&text, buf_slice(title), LIMIT_TITLE_BYTES - 3);
    struct json *out = text_object("plain_text", &text, err);
    buf_free(&text);
    return out;
}

static struct json *
slack_foot(const struct alert_message *m)
{
    struct json *list = json_new_list();
    struct buf text;
    buf_init(&text, 0);
    int err = list ? buf_addf(&text, "%s by Headgate's alert '%s'", m->id, m->alert) : ERR_NOMEM;
    if (!err)
        err = json_append(list, text_object("mrkdwn", &text, 0));
    buf_free(&text);
    if (!err)
        return list;
    json_free(list);
    return NULL;
}

static int
add_block(struct json *blocks, const char *type, const char *member, struct json *value)
{
    struct json *block = json_new_map();
    int err = block ? json_set_str(block, "type", type) : ERR_NOMEM;
    if (err)
        json_free(value);
    else
        err = json_set(block, member, value);
    if (!err)
        return json_append(blocks, block);
    json_free(block);
    return err;
}

static struct json *
slack_blocks(const struct alert_message *m, const struct buf *title)
{
    struct json *blocks = json_new_list();
    int err = blocks ? add_block(blocks, "header", "text", slack_header(title)) : ERR_NOMEM;
    if (!err)
        err = add_block(blocks, "section", "fields", slack_lines(m));
    if (!err)
        err = add_block(blocks, "context", "elements", slack_foot(m));
    if (!err)
        return blocks;
    json_free(blocks);
    return NULL;
}

int
message_slack(const struct alert_message *m, struct buf *into)
{
    struct json *out = json_new_map();
    struct buf title, text;
    buf_init(&title, 0);
    buf_init(&text, 0);
    int err = out ? message_title(m, &title) : ERR_NOMEM;
    if (!err)
        err = add_escaped(buf_slice(&title), &text);
    if (!err)
        err = json_set_text(out, "text", buf_slice(&text));
    if (!err)
        err = json_set(out, "blocks", slack_blocks(m, &title));
    if (!err)
        err = json_write(out, false, 0, into);
    buf_free(&title);
    buf_free(&text);
    json_free(out);
    return err;
}

/* --- mail ------------------------------------------------------------------------------------- */

static bool
is_ascii(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] < 0x20 || text.at[i] > 0x7e)
            return false;
    return true;
}

/* Encoded words of RFC 2047, at most 75 bytes each, none with half a character. */
static int
add_encoded(struct slice text, struct buf *into)
{
    char word[64];
    int err = 0;
    uint32_t code;
    for (size_t i = 0, n; i < text.len && !err; i += n) {
        for (n = 0; i + n < text.len;) {
            size_t more = utf8_take(text.at + i + n, text.len - i - n, &code);
            more = more ? more : 1;
            if (n + more > 42)
                break;
            n += more;
        }
        base64_encode(text.at + i, n, word);
        err = buf_addf(into, "%s=?utf-8?B?%s?=", i ? "\r\n " : "", word);
    }
    return err;
}

static int
add_subject_line(const struct alert_message *m, struct buf *into)
{
    struct buf title;
    buf_init(&title, 0);
    int err = message_title(m, &title);
    if (!err)
        err = buf_add_str(into, "Subject: ");
    if (!err)
        err = is_ascii(buf_slice(&title)) ? buf_add_slice(into, buf_slice(&title))
                                          : add_encoded(buf_slice(&title), into);
    buf_free(&title);
    return err ? err : buf_add_str(into, "\r\n");
}

static int
add_receivers(const struct json *to, struct buf *into)
{
    int err = 0;
    for (size_t i = 0; i < json_size(to) && !err; i++)
        err = buf_addf(into, "%s%.*s", i ? ",\r\n " : "To: ", SLICE_ARG(json_str(json_at(to, i))));
    return err ? err : buf_add_str(into, "\r\n");
}

static int
add_date(int64_t wall_ms, struct buf *into)
{
    static const char days[] = "SunMonTueWedThuFriSat",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm t;
    gmtime_r(&seconds, &t);
    return buf_addf(into, "Date: %.3s, %d %.3s %d %02d:%02d:%02d +0000\r\n", days + 3 * t.tm_wday,
                    t.tm_mday, months + 3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min,
                    t.tm_sec);
}

static int
add_head(const struct alert_message *m, const struct mail_envelope *e, struct buf *into)
{
    struct slice domain = e->from;
    (void)slice_cut(&domain, '@');
    int err = buf_addf(into, "From: Headgate <%.*s>\r\n", SLICE_ARG(e->from));
    if (!err)
        err = add_receivers(e->to, into);
    if (!err)
        err = add_subject_line(m, into);
    if (!err)
        err = add_date(e->date_ms, into);
    if (err)
        return err;
    return buf_addf(into,
                    "Message-ID: <%s@%.*s>\r\n"
                    "X-Headgate-Alert-Id: %s\r\n"
                    "Auto-Submitted: auto-generated\r\n"
                    "MIME-Version: 1.0\r\n"
                    "Content-Type: text/plain; charset=utf-8\r\n"
                    "Content-Transfer-Encoding: base64\r\n\r\n",
                    m->id, SLICE_ARG(domain), m->id);
}

static int
add_text(const struct alert_message *m, struct buf *into)
{
    int err = message_title(m, into);
    if (!err)
        err = buf_add_str(into, ".\r\n\r\n");
    for (size_t i = 0; i < LINES && !err; i++) {
        if (!has_line(m, &lines[i]))
            continue;
        err = buf_addf(into, "%-8s ", lines[i].label);
        if (!err)
            err = lines[i].add(m, into);
        if (!err)
            err = buf_add_str(into, "\r\n");
    }
    if (err)
        return err;
    return buf_addf(into,
                    "\r\nSent by Headgate's alert '%s'. A message with the same id is the same "
                    "one:\r\n%s\r\n",
                    m->alert, m->id);
}

int
message_mail(const struct alert_message *m, const struct mail_envelope *e, struct buf *into)
{
    struct buf text;
    char line[80];
    buf_init(&text, 0);
    int err = add_head(m, e, into);
    if (!err)
        err = add_text(m, &text);
    for (size_t i = 0; i < text.len && !err; i += 57) {
        size_t n = text.len - i < 57 ? text.len - i : 57;
        base64_encode(text.at + i, n, line);
        err = buf_addf(into, "%s\r\n", line);
    }
    buf_free(&text);
    return err;
}
