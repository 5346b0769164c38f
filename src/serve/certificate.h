/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The files of a port's TLS, read and judged before gRPC core sees them: the core tells nobody what
 * is wrong with them, or takes them and then refuses every client.
 */

#include <time.h>

#include "util/cleanup.h"

struct conf_tls;
struct diag;

/* When what is in a file may be used, and from when on it is time to renew it. */
struct validity {
        time_t begins;
        time_t renew;
        time_t ends;
};

struct certificate {
        char *chain; /* PEM: the server's own first */
        char *key;   /* PEM */
        char *roots; /* PEM, of the authorities of clients; NULL: clients are asked for nothing */
        struct validity chain_validity; /* of the server's own */
        struct validity roots_validity; /* of whichever is valid longest */
};

/*
 * Mistakes go to diag: files that cannot be read or hold nothing of the kind, a key that others may
 * read or that belongs to another certificate, certificates in the wrong order, keys and signatures
 * too weak for this machine's OpenSSL, a certificate that is not for servers. -EINVAL then. A
 * certificate that is not valid now is none of them: the clock may be what is wrong. [main]
 */
int certificate_read(struct certificate **ret, const struct conf_tls *tls, const char *base,
                     struct diag *diag);

/* Erases the key. [any] */
struct certificate *certificate_free(struct certificate *certificate);
DEFINE_CLEANUP(struct certificate *, certificate_free);
