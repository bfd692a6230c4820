/* See page.h. */
#include "controlplane/api/page.h"

#include <stdarg.h>
#include <stdio.h>

static int
add_escaped(struct buf *into, const char *text)
{
    int err = 0;
    for (const char *c = text; *c && !err; c++)
        err = strchr("&<>\"'`", *c) || (unsigned char)*c < 0x20
                  ? buf_addf(into, "&#%u;", (unsigned)(unsigned char)*c)
                  : buf_add(into, c, 1);
    return err;
}

static int
add_element(struct buf *into, const char *before, const char *text, const char *after)
{
    int err = buf_add_str(into, before);
    if (!err)
        err = add_escaped(into, text);
    return err ? err : buf_add_str(into, after);
}

static int
write_page(const struct api_request *r, const struct page *p, struct buf *into)
{
    int err = add_element(into,
                          "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
                          "<meta name=\"viewport\" content=\"width=device-width\"><title>",
                          p->title, " - Headgate</title>");
    if (!err)
        err = add_element(into,
                          "<style>body{font:16px/1.5 sans-serif;max-width:36em;margin:4em auto;"
                          "padding:0 1em}</style><h1>",
                          p->title, "</h1>");
    if (!err)
        err = add_element(into, "<p>", p->text, "</p>");
    if (!err && p->go_on)
        err = add_element(into, "<meta http-equiv=\"refresh\" content=\"0;url=", p->links[0].href,
                          "\">");
    for (size_t i = 0; i < p->count && !err; i++) {
        err = add_element(into, "<p><a href=\"", p->links[i].href, "\">");
        if (!err)
            err = add_element(into, "", p->links[i].text, "</a></p>");
    }
    return err ? err
               : add_element(into, "<p><small>Request ", r->request_id ? r->request_id : "",
                             "</small></p></html>\n");
}

int
page_reply(struct api_request *r, struct api_reply *reply, const struct page *p)
{
    json_free(reply->body);
    reply->body = NULL;
    reply->location[0] = '\0';
    buf_clear(&reply->text);
    reply->status = p->status;
    reply->text_type = "text/html; charset=utf-8";
    if (write_page(r, p, &reply->text) != 0)
        return api_fail(r, reply, ERR_NOMEM);
    return p->status < 400 ? 0 : -p->status;
}

int
page_refuse(struct api_request *r, struct api_reply *reply, int status, const char *text, ...)
{
    static const struct page_link again[] = {{"/auth/login", "Sign in again"}};
    char message[1024];
    va_list args;
    va_start(args, text);
    vsnprintf(message, sizeof(message), text, args);
    va_end(args);
    return page_reply(r, reply,
                      &(struct page){.status = status,
                                     .title = "You are not signed in",
                                     .text = message,
                                     .links = again,
                                     .count = 1});
}

int
page_fail(struct api_request *r, struct api_reply *reply, int err)
{
    (void)api_fail(r, reply, err); /* it logs, and knows the status */
    int status = reply->status, retry_after_s = reply->retry_after_s;
    err = page_refuse(r, reply, status, "%s",
                      status == 503 ? "The gateway cannot do this now. Try again in a moment."
                                    : "Something is wrong with the gateway. Its log has more.");
    reply->retry_after_s = retry_after_s;
    return err;
}
