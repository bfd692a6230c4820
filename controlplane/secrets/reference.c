/* See reference.h. */
#include "controlplane/secrets/reference.h"

#define VAULT_FORM "vault: takes PATH#FIELD, such as vault:secret/llm/openai#key"
#define AWS_SM_FORM                                                                                \
    "aws-sm: takes the name or ARN of a secret, and #FIELD for one member of its JSON"
#define AWS_SSM_FORM "aws-ssm: takes the name or ARN of a parameter, such as aws-ssm:/llm/openai"
#define GCP_FORM                                                                                   \
    "gcp-sm: takes projects/PROJECT/secrets/SECRET, and /versions/VERSION for one version"
#define AZURE_FORM                                                                                 \
    "azure-kv: takes VAULT/SECRET[/VERSION], or https://VAULT.vault.azure.net/secrets/SECRET"

static const struct scheme {
    const char *name;
    enum manager manager;
} schemes[] = {
    {"vault", MANAGER_VAULT}, {"aws-sm", MANAGER_AWS_SM},  {"aws-ssm", MANAGER_AWS_SSM},
    {"gcp-sm", MANAGER_GCP},  {"azure-kv", MANAGER_AZURE},
};

static enum manager
manager_of(struct slice text, struct slice *ret_rest)
{
    *ret_rest = text;
    struct slice scheme = slice_cut(ret_rest, ':');
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]) && ret_rest->at; i++)
        if (slice_is(scheme, schemes[i].name))
            return schemes[i].manager;
    return MANAGER_NONE;
}

bool
reference_is_managed(struct slice text)
{
    struct slice rest;
    return manager_of(text, &rest) != MANAGER_NONE;
}

static bool
is_word(struct slice s, const char *more)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (!c || !strchr(more, c)))
            return false;
    }
    return s.len > 0;
}

/* Segments that mean themselves in a URL: none empty, no dots to climb with. */
static bool
is_path(struct slice s)
{
    struct slice rest = s;
    while (rest.at) {
        struct slice part = slice_cut(&rest, '/');
        if (!is_word(part, "-_.~+=@:") || slice_is(part, ".") || slice_is(part, ".."))
            return false;
    }
    return true;
}

/* Cuts "#FIELD" off: false where it is malformed. */
static bool
cut_field(struct slice *rest, struct reference *ret)
{
    struct slice field = *rest;
    *rest = slice_cut(&field, '#');
    ret->field = field.at ? field : SLICE("");
    return !field.at || is_word(field, "-_. ");
}

static int
refuse(const char *form, const char **ret_why)
{
    *ret_why = form;
    return ERR_SYNTAX;
}

static int
parse_vault(struct slice rest, struct reference *ret, const char **ret_why)
{
    bool good = cut_field(&rest, ret) && ret->field.len > 0 && is_path(rest) &&
                slice_find(rest, '/', 0) < rest.len;
    ret->name = rest;
    return good ? 0 : refuse(VAULT_FORM, ret_why);
}

static int
parse_aws(struct slice rest, struct reference *ret, const char **ret_why)
{
    bool parameter = ret->manager == MANAGER_AWS_SSM;
    bool good = parameter || cut_field(&rest, ret);
    ret->name = rest;
    good = good && is_word(rest, parameter ? "-_./:" : "-_./+=.@:!") && rest.len <= 600;
    return good ? 0 : refuse(parameter ? AWS_SSM_FORM : AWS_SM_FORM, ret_why);
}

static int
parse_google(struct slice rest, struct reference *ret, const char **ret_why)
{
    bool good = slice_is(slice_cut(&rest, '/'), "projects");
    ret->name = slice_cut(&rest, '/');
    good = good && slice_is(slice_cut(&rest, '/'), "secrets");
    ret->secret = slice_cut(&rest, '/');
    if (good && rest.at) {
        good = slice_is(slice_cut(&rest, '/'), "versions") && rest.at && is_word(rest, "-_");
        ret->version = rest;
    }
    good =
        good && is_word(ret->name, "-:.") && ret->name.at[0] != '.' && is_word(ret->secret, "-_");
    return good ? 0 : refuse(GCP_FORM, ret_why);
}

/* Only Azure's own hosts: the token that is sent along opens every vault. */
static bool
is_vault_host(struct slice host)
{
    static const char *const suffixes[] = {".vault.azure.net", ".vault.azure.cn",
                                           ".vault.usgovcloudapi.net"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        struct slice suffix = slice_of(suffixes[i]);
        if (slice_ends(host, suffix))
            return is_word(slice_make(host.at, host.len - suffix.len), "-");
    }
    return false;
}

static int
parse_azure(struct slice rest, struct reference *ret, const char **ret_why)
{
    bool url = slice_starts(rest, SLICE("https://"));
    if (url)
        rest = slice_from(rest, 8);
    ret->name = slice_cut(&rest, '/');
    bool good = url ? is_vault_host(ret->name) && slice_is(slice_cut(&rest, '/'), "secrets")
                    : is_word(ret->name, "-");
    ret->secret = slice_cut(&rest, '/');
    if (rest.at) {
        good = good && is_word(rest, "");
        ret->version = rest;
    }
    good = good && is_word(ret->secret, "-");
    return good ? 0 : refuse(AZURE_FORM, ret_why);
}

int
reference_parse(struct slice text, struct reference *ret, const char **ret_why)
{
    struct slice rest;
    *ret = (struct reference){
        .manager = manager_of(text, &rest),
        .name = SLICE(""),
        .field = SLICE(""),
        .secret = SLICE(""),
        .version = SLICE(""),
    };
    if (text.len > LIMIT_REFERENCE_BYTES)
        return refuse("a reference has at most 1024 bytes", ret_why);
    switch (ret->manager) {
    case MANAGER_VAULT:
        return parse_vault(rest, ret, ret_why);
    case MANAGER_AWS_SM:
    case MANAGER_AWS_SSM:
        return parse_aws(rest, ret, ret_why);
    case MANAGER_GCP:
        return parse_google(rest, ret, ret_why);
    case MANAGER_AZURE:
        return parse_azure(rest, ret, ret_why);
    case MANAGER_NONE:
        break;
    }
    return refuse("this is no reference to a secret manager", ret_why);
}
