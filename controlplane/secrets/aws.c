/* AWS Secrets Manager, Systems Manager's Parameter Store and KMS: signed JSON calls. */
#include <stdio.h>

#include "controlplane/secrets/manager.h"
#include "lib/base/clock.h"
#include "lib/http/url.h"
#include "lib/sign/sigv4.h"

/* The services differ in names only. */
struct service {
    const char *name, *target, *question, *outer, *inner;
};
static const struct service services[] = {
    [MANAGER_AWS_SM] = {"secretsmanager", "secretsmanager.GetSecretValue", "SecretId", NULL,
                        "SecretString"},
    [MANAGER_AWS_SSM] = {"ssm", "AmazonSSM.GetParameter", "Name", "Parameter", "Value"},
};

static const struct service kms = {"kms", "TrentService.Decrypt", "CiphertextBlob", NULL,
                                   "Plaintext"};

struct aws {
    const struct service *service;
    const char *region;
    struct sigv4_key key;
    struct buf url, body;
};

static int
read_settings(struct ask *a, struct aws *w)
{
    const char *id = manager_setting("AWS_ACCESS_KEY_ID"),
               *secret = manager_setting("AWS_SECRET_ACCESS_KEY"),
               *session = manager_setting("AWS_SESSION_TOKEN");
    w->region = manager_setting("AWS_REGION");
    if (!w->region)
        w->region = manager_setting("AWS_DEFAULT_REGION");
    if (!id || !secret || !w->region)
        return ask_fail(a, ERR_BAD_STATE,
                        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION must be set in "
                        "the control plane's environment");
    w->key =
        (struct sigv4_key){slice_of(id), slice_of(secret), session ? slice_of(session) : SLICE("")};
    return 0;
}

static int
make_url(struct aws *w)
{
    const char *base = manager_setting("AWS_ENDPOINT_URL");
    bool china = strncmp(w->region, "cn-", 3) == 0;
    if (!base)
        return buf_addf(&w->url, "https://%s.%s.amazonaws.com%s/", w->service->name, w->region,
                        china ? ".cn" : "");
    struct slice at = slice_of(base);
    while (at.len && at.at[at.len - 1] == '/')
        at.len--;
    return buf_addf(&w->url, "%.*s/", SLICE_ARG(at));
}

static int
make_body(struct aws *w, struct slice asked)
{
    struct json *question = json_new_map();
    int err = question ? json_set_text(question, w->service->question, asked) : ERR_NOMEM;
    if (!err && w->service == &services[MANAGER_AWS_SSM])
        err = json_set_bool(question, "WithDecryption", true);
    if (!err)
        err = json_write(question, false, 0, &w->body);
    json_free(question);
    return err;
}

static int
sign(struct ask *a, const struct aws *w, struct sigv4_signature *ret)
{
    struct url url;
    char host[300];
    const char *why = "";
    if (url_parse(buf_slice(&w->url), &url, &why) != 0)
        return ask_fail(a, ERR_SYNTAX, "AWS_ENDPOINT_URL or AWS_REGION: %s", why);
    if (url.port == (url.https ? 443 : 80))
        snprintf(host, sizeof(host), "%.*s", SLICE_ARG(url.host));
    else
        snprintf(host, sizeof(host), "%.*s:%d", SLICE_ARG(url.host), url.port);
    const struct sigv4_header headers[] = {
        {SLICE("content-type"), SLICE("application/x-amz-json-1.1")},
        {SLICE("x-amz-target"), slice_of(w->service->target)},
    };
    struct slice body = buf_slice(&w->body);
    struct sigv4_request request = {.method = SLICE("POST"),
                                    .host = slice_of(host),
                                    .path = url.path,
                                    .query = SLICE(""),
                                    .headers = headers,
                                    .header_count = 2,
                                    .body = &body,
                                    .body_count = 1,
                                    .region = slice_of(w->region),
                                    .service = slice_of(w->service->name),
                                    .wall_ms = clock_wall_ms()};
    int err = sigv4_sign(&request, &w->key, ret);
    return err ? ask_fail(a, err, "the request cannot be signed: %s", err_name(err)) : 0;
}

/* AWS tells what is wrong in "__type", "com.amazonaws...#ResourceNotFoundException". */
static int
explain(struct ask *a, int err, const struct json *document)
{
    struct slice type = json_str(json_get(document, "__type"));
    size_t hash = type.at ? slice_find(type, '#', 0) : 0;
    struct slice name = hash < type.len ? slice_from(type, hash + 1) : type;
    if (!type.at)
        return err;
    for (size_t i = 0; i < name.len; i++)
        if (!((name.at[i] | 32) >= 'a' && (name.at[i] | 32) <= 'z'))
            return err;
    return name.len > 0 && name.len <= 80 ? ask_fail(a, err, "AWS refuses: %.*s", SLICE_ARG(name))
                                          : err;
}

static int
call_service(struct ask *a, const struct aws *w, struct json **ret_document)
{
    struct sigv4_signature s;
    int err = sign(a, w, &s);
    *ret_document = NULL;
    if (err)
        return err;
    const struct http_field fields[] = {
        {SLICE("content-type"), SLICE("application/x-amz-json-1.1"), false},
        {SLICE("x-amz-target"), slice_of(w->service->target), false},
        {SLICE("x-amz-date"), slice_of(s.date), false},
        {SLICE("authorization"), slice_of(s.authorization), true},
        {SLICE("x-amz-security-token"), w->key.session_token, true},
    };
    struct ask_call call = {.what = w->service->name,
                            .method = SLICE("POST"),
                            .url = buf_slice(&w->url),
                            .body = buf_slice(&w->body),
                            .fields = fields,
                            .count = w->key.session_token.len ? 5 : 4};
    err = ask_json(a, &call, ret_document);
    return err ? explain(a, err, *ret_document) : 0;
}

/* The text that the service answers to what is asked for, in *ret_document (the caller frees). */
static int
ask_service(struct ask *a, const struct service *service, struct slice asked,
            struct json **ret_document, struct slice *ret_text)
{
    struct aws w = {.service = service};
    *ret_document = NULL;
    buf_init(&w.url, 0);
    buf_init(&w.body, 0);
    int err = read_settings(a, &w);
    if (!err)
        err = make_url(&w);
    if (!err)
        err = make_body(&w, asked);
    if (!err)
        err = call_service(a, &w, ret_document);
    buf_free(&w.url);
    buf_free(&w.body);
    const struct json *at =
        service->outer ? json_get(*ret_document, service->outer) : *ret_document;
    *ret_text = json_str(json_get(at, service->inner));
    return err;
}

int
aws_get(struct ask *a, struct manager_state *s, const struct reference *r, struct secret *ret_value)
{
    struct json *document;
    struct slice text;
    (void)s;
    int err = ask_service(a, &services[r->manager], r->name, &document, &text);
    if (!err)
        err = text.at ? ask_take(a, text, r->field, ret_value)
                      : ask_fail(a, ERR_SYNTAX, "the secret has no text (a binary one?)");
    json_free(document);
    return err;
}

int
aws_unwrap(struct ask *a, struct manager_state *s, struct slice wrapped, struct secret *ret_plain)
{
    struct json *document;
    struct slice text;
    (void)s;
    int err = ask_service(a, &kms, wrapped, &document, &text);
    if (!err)
        err = ask_plain(a, text, ret_plain);
    json_free(document);
    return err;
}
