/* SPDX-License-Identifier: MIT */
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "rpc/connection.h"
#include "rpc/decrypt.h"
#include "rpc/listen.h"

/*
 * An SSL object names its connection by descriptor and serial. The name needs no memory of its own,
 * and a name that has outlived its connection is recognised. 0: the SSL is not of a connection that
 * gRPC core has accepted.
 */
static int place = -1; /* index of the name in an SSL's extra data */

static uintptr_t name_of(const struct connection *connection)
{
        return (uintptr_t)atomic_load(&connection->serial) << FD_BITS | (uintptr_t)connection->fd;
}
_Static_assert(sizeof(uintptr_t) >= 8, "a name has room for both");

/* The connection of a name; NULL: it has been closed. */
static struct connection *connection_named(uintptr_t name)
{
        struct connection *connection = connection_of((int)(name & (FD_MAX - 1)));

        return connection && name_of(connection) == name ? connection : NULL;
}

/* The core makes the SSL of a connection right after it has accepted it, on the same thread. */
static void name_new(void *ssl, void *none, CRYPTO_EX_DATA *data, int index, long l, void *p)
{
        struct connection *connection = listen_take_accepted();

        if (!connection || CRYPTO_set_ex_data(data, index, (void *)name_of(connection)))
                return;
        /* Out of memory: what the client sends could not be inspected. */
        (void)pthread_mutex_lock(&connection->lock);
        connection_disconnect(connection);
        (void)pthread_mutex_unlock(&connection->lock);
}

bool decrypt_init(void)
{
        if (place < 0)
                place = SSL_get_ex_new_index(0, NULL, name_new, NULL, NULL);
        return place >= 0;
}

static uintptr_t get_name(const SSL *ssl)
{
        return SSL_is_server(ssl) ? (uintptr_t)SSL_get_ex_data(ssl, place) : 0;
}

/* Connections that bricks make, as clients, come here, too. */
__attribute__((visibility("default"))) int SSL_read(SSL *ssl, void *buffer, int size)
{
        uintptr_t name = get_name(ssl);
        struct connection *connection;
        size_t n;

        /* SSL_get_error() treats 0 and -1 alike. */
        if (size < 0)
                return -1;
        connection = name != 0 ? connection_named(name) : NULL;
        if (SSL_read_ex(ssl, buffer, (size_t)size, &n) <= 0) {
                if (connection && SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN)
                        atomic_store(&connection->ended, true);
                return -1;
        }
        if (name == 0)
                return (int)n;
        return connection && inspect_bytes(&connection->inspect, buffer, n) ? (int)n : -1;
}

__attribute__((visibility("default"))) int SSL_write(SSL *ssl, const void *bytes, int size)
{
        uintptr_t name = get_name(ssl);
        struct connection *connection = name != 0 ? connection_named(name) : NULL;
        size_t n;

        if (size < 0 || SSL_write_ex(ssl, bytes, (size_t)size, &n) <= 0)
                return -1;
        if (connection) {
                frames_sent(&connection->inspect.sent, bytes, n,
                            &connection->inspect.frames.unfinished);
                inspect_sent(&connection->inspect);
        }
        return (int)n;
}
