/* Certificates for tests of TLS, made anew in a temporary folder: a CA, and leaves signed by it. */
#ifndef TESTS_UNIT_LIB_NET_CERTS_H
#define TESTS_UNIT_LIB_NET_CERTS_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct certs {
    char dir[64];
    EVP_PKEY *ca_key;
    X509 *ca;
    long serial;
    char ca_file[128], ca_key_file[128];
};

static inline void
certs_write(const char *path, X509 *x, EVP_PKEY *key)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    if (x)
        assert_int_equal(PEM_write_X509(f, x), 1);
    else
        assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
}

static inline void
certs_extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

/* san: "DNS:localhost,IP:127.0.0.1"; NULL: a CA. days: of validity from yesterday. */
static inline X509 *
certs_sign(struct certs *c, EVP_PKEY *key, const char *name, const char *san, int days)
{
    X509 *x = X509_new();
    assert_non_null(x);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++c->serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -86400);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400L * (days - 1));
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509 *issuer = c->ca ? c->ca : x;
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    certs_extend(x, issuer, NID_basic_constraints, san ? "CA:FALSE" : "critical,CA:TRUE");
    if (san)
        certs_extend(x, issuer, NID_subject_alt_name, san);
    assert_true(X509_sign(x, c->ca_key ? c->ca_key : key, EVP_sha256()) > 0);
    return x;
}

static inline void
certs_init(struct certs *c)
{
    *c = (struct certs){.dir = "/tmp/headgate-certs-XXXXXX"};
    assert_non_null(mkdtemp(c->dir));
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    c->ca = certs_sign(c, key, "test CA", NULL, 10);
    c->ca_key = key;
    snprintf(c->ca_file, sizeof c->ca_file, "%s/ca.pem", c->dir);
    certs_write(c->ca_file, c->ca, NULL);
}

/* A leaf into DIR/NAME.pem and DIR/NAME.key. */
static inline void
certs_leaf(struct certs *c, const char *name, const char *san, int days, char *ret_cert,
           char *ret_key, size_t n)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    X509 *x = certs_sign(c, key, name, san, days);
    snprintf(ret_cert, n, "%s/%s.pem", c->dir, name);
    snprintf(ret_key, n, "%s/%s.key", c->dir, name);
    certs_write(ret_cert, x, NULL);
    certs_write(ret_key, NULL, key);
    X509_free(x);
    EVP_PKEY_free(key);
}

static inline void
certs_fini(struct certs *c)
{
    char command[128];
    X509_free(c->ca);
    EVP_PKEY_free(c->ca_key);
    snprintf(command, sizeof command, "rm -r %s", c->dir);
    assert_int_equal(system(command), 0);
}

#endif
