/*
 * What the daemon holds: its configuration, its keys, and the parts that run. Made by main.c before
 * any thread starts, and constant afterwards but for the objects that guard themselves (secrets,
 * publisher). Every thread opens its own struct db with plane_db().
 */
#ifndef CONTROLPLANE_PLANE_H
#define CONTROLPLANE_PLANE_H

#include "controlplane/alerts/deliver.h"
#include "controlplane/jobs/books.h"
#include "controlplane/store/db.h"
#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/keyring.h"

#include <stdatomic.h>
#include <stdbool.h>

struct publisher;  /* controlplane/publish */
struct secrets;    /* controlplane/secrets */
struct api_server; /* controlplane/api */
struct jobs;       /* controlplane/jobs */
struct throttle;   /* controlplane/api/throttle.h */

struct plane_config {
    const char *database;         /* DSN of the application's role */
    const char *admin_listen;     /* "127.0.0.1:8081" */
    const char *admin_public_url; /* its origin as browsers see it; NULL: nobody signs in */
    const char *admin_tls_cert, *admin_tls_key;          /* both or none */
    const char *bus_pub, *bus_req;                       /* URLs */
    const char *bus_tls_ca, *bus_tls_cert, *bus_tls_key; /* all or none */
    const char *state_dir;
    const char *credentials_dir; /* of file: references; NULL: they are refused */
    long secrets_refresh_s;      /* how often secret managers are asked */
    bool secrets_allow_private;  /* also at private addresses, without TLS */
    long threads;                /* of the admin API */
    long wrong_per_minute;       /* credentials, of an account at an address; 0: no limit */
    bool litellm_shim;           /* LiteLLM's management calls are there too */
    long anchor_s;               /* seconds between exports of the audit log's head */
};

struct plane {
    struct plane_config config;
    struct keyring_source keys;           /* of sealing; what it says is in `secrets` */
    atomic_bool reread_keys;              /* now, whether the file has changed or not */
    char keys_problem[KEYRING_WHY_BYTES]; /* told in the log already; of the job that watches */
    unsigned char sign_secret[SIGN_SECRET_BYTES];
    unsigned char sign_public[SIGN_PUBLIC_BYTES];
    struct secrets *secrets;
    struct publisher *publisher; /* NULL in commands that do not serve */
    struct api_server *api;
    struct throttle *throttle; /* NULL: none */
    struct jobs *jobs;
    int64_t started_ms;                       /* monotonic */
    atomic_ullong requests, request_failures; /* of the admin API, for metrics */
    struct alert_counts alerts;
    struct books_status books;
    atomic_int signing_in; /* threads that wait for identity providers */
};

/* A connection to the application's database for the calling thread; connects lazily. NULL: no
 * memory. purpose ends up in application_name: "api", "publish", "ingest". */
struct db *plane_db(const struct plane *p, const char *purpose);

#endif
