/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The bytes of one connection, in plain text or by TLS. Never waits. On the polling thread; the
 * context is made there, too.
 */

#include <openssl/ssl.h>
#include <stddef.h>
#include <sys/types.h>

struct auth_name;
struct certificate;
struct conf_tls;

struct http_socket {
        int fd;
        SSL *ssl; /* NULL: plain text */
};

/* NULL: out of memory, or OpenSSL takes the certificate no more, which certificate_read() has
 * checked. */
SSL_CTX *http_context_new(const struct certificate *certificate, const struct conf_tls *conf);

/* Takes the descriptor of a connection. context: NULL for plain text. -ENOMEM: the descriptor is
 * still the caller's. */
int http_socket_begin(struct http_socket *s, int fd, SSL_CTX *context);

/* 0: done; -EAGAIN: to be called again when there is an event; -ECONNRESET: the client has left;
 * another errno: it has failed. */
int http_socket_handshake(struct http_socket *s);

/* The number of bytes; 0: the client sends no more; -EAGAIN; or another errno. */
ssize_t http_socket_read(struct http_socket *s, void *bytes, size_t size);
ssize_t http_socket_write(struct http_socket *s, const void *bytes, size_t size);

/* Tells the client that nothing more comes. */
void http_socket_shutdown(struct http_socket *s);
void http_socket_close(struct http_socket *s);

/*
 * The names in the client's verified certificate, in memory for free(): URIs and DNS names, or the
 * common name if it has neither. Returns how many. *ret is NULL if there are none.
 */
#define HTTP_NAMES_MAX 16
size_t http_socket_names(const struct http_socket *s, struct auth_name **ret);
