/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reads and checks the files of a port's TLS. gRPC core does not report what is wrong with such
 * files; it may even accept them and then refuse every client.
 */

#include <time.h>

#include "util/cleanup.h"

struct conf_tls;
struct diag;

/* From when until when a certificate is valid, and when it should be renewed. */
struct validity {
        time_t begins;
        time_t renew;
        time_t ends;
};

struct certificate {
        char *chain; /* PEM: the server's own first */
        char *key;   /* PEM */
        char *roots; /* PEM, the client_ca; NULL: clients are asked for no certificate */
        struct validity chain_validity; /* of the server's own certificate */
        struct validity roots_validity; /* of the one that is valid longest */
};

/*
 * -EINVAL: there are mistakes, which are in diag: files that cannot be read or have no certificate
 * or key, a key that others may read or that belongs to another certificate, certificates in the
 * wrong order, keys and signatures too weak for this machine's OpenSSL, a certificate that is not
 * for servers. A certificate that is not valid now is no mistake: the clock may be wrong. [main]
 */
int certificate_read(struct certificate **ret, const struct conf_tls *tls, const char *base,
                     struct diag *diag);

/* Erases the key. [any] */
struct certificate *certificate_free(struct certificate *certificate);
DEFINE_CLEANUP(struct certificate *, certificate_free);
