/* SPDX-License-Identifier: MIT */
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdlib.h>

#include "rpc/decrypt.h"
#include "rpc/inspect.h"
#include "rpc/listen.h"

static int place = -1; /* of the struct inspect in an SSL */

/* The core makes the SSL of a connection right after it has accepted it, on the same thread. */
static void inspect_new(void *ssl, void *none, CRYPTO_EX_DATA *data, int index, long l, void *p)
{
        const struct peer_key *peer = listen_accepted();
        struct inspect *inspect = peer ? calloc(1, sizeof *inspect) : NULL;

        if (inspect)
                inspect->peer = *peer;
        (void)CRYPTO_set_ex_data(data, index, inspect);
}

static void inspect_free(void *ssl, void *inspect, CRYPTO_EX_DATA *data, int index, long l, void *p)
{
        free(inspect);
}

bool decrypt_init(void)
{
        if (place < 0)
                place = SSL_get_ex_new_index(0, NULL, inspect_new, NULL, inspect_free);
        return place >= 0;
}

/* The connections of bricks to others come here, too: they are clients. */
__attribute__((visibility("default"))) int SSL_read(SSL *ssl, void *buffer, int size)
{
        struct inspect *inspect = SSL_is_server(ssl) ? SSL_get_ex_data(ssl, place) : NULL;
        size_t n;

        /* SSL_get_error() makes no difference between the two. */
        if (size < 0 || SSL_read_ex(ssl, buffer, (size_t)size, &n) <= 0)
                return -1;
        return !inspect || inspect_bytes(inspect, buffer, n) ? (int)n : -1;
}
