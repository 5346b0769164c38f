/* SPDX-License-Identifier: MIT */

/* A client that leaves during the TLS handshake is told from one that breaks it. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/conf.h"
#include "http/socket.h"
#include "serve/certificate.h"

/* A ClientHello's record of 512 bytes, of which no more comes. */
static const char half_record[] = "\x16\x03\x01\x02\x00\x01";

static char *to_text(BIO *bio)
{
        char *bytes, *text;
        long n = BIO_get_mem_data(bio, &bytes);

        text = calloc(1, (size_t)n + 1);
        assert(text);
        memcpy(text, bytes, (size_t)n);
        BIO_free(bio);
        return text;
}

static SSL_CTX *make_context(void)
{
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        X509 *x509 = X509_new();
        BIO *chain = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());
        struct certificate certificate = { 0 };
        const struct conf_tls conf = { 0 };
        SSL_CTX *context;

        assert(X509_set_version(x509, X509_VERSION_3) == 1);
        assert(X509_gmtime_adj(X509_getm_notBefore(x509), 0));
        assert(X509_gmtime_adj(X509_getm_notAfter(x509), 3600));
        assert(X509_set_pubkey(x509, key) == 1 && X509_sign(x509, key, NULL) > 0);
        assert(PEM_write_bio_X509(chain, x509) == 1);
        assert(PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) == 1);
        certificate.chain = to_text(chain);
        certificate.key = to_text(secret);
        context = http_context_new(&certificate, &conf);
        assert(context);
        free(certificate.chain);
        free(certificate.key);
        X509_free(x509);
        EVP_PKEY_free(key);
        return context;
}

static void send_all(int fd, const char *bytes, size_t length)
{
        assert(send(fd, bytes, length, 0) == (ssize_t)length);
}

/* What the handshake returns when a client has sent these bytes, and after it has closed. */
static void check(SSL_CTX *context, const char *bytes, size_t length, int before, int after)
{
        struct http_socket s;
        int pair[2];

        assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
        assert(http_socket_begin(&s, pair[0], context) == 0);
        send_all(pair[1], bytes, length);
        assert(http_socket_handshake(&s) == before);
        (void)close(pair[1]);
        if (after)
                assert(http_socket_handshake(&s) == after);
        http_socket_close(&s);
}

/* Closing a socket with unread bytes resets the connection. */
static void check_reset(SSL_CTX *context)
{
        const struct linger reset = { .l_onoff = 1 };
        struct sockaddr_in address = { .sin_family = AF_INET };
        socklen_t size = sizeof address;
        int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0),
            fd;
        struct http_socket s;

        assert(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0);
        assert(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
        assert(connect(client, (struct sockaddr *)&address, size) == 0);
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        assert(fd >= 0 && http_socket_begin(&s, fd, context) == 0);
        assert(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
        (void)close(client);
        assert(http_socket_handshake(&s) == -ECONNRESET);
        http_socket_close(&s);
        (void)close(listener);
}

int main(void)
{
        static const char plain[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        SSL_CTX *context = make_context();

        check(context, "", 0, -EAGAIN, -ECONNRESET);
        check(context, half_record, sizeof half_record - 1, -EAGAIN, -ECONNRESET);
        check(context, plain, sizeof plain - 1, -EPROTO, 0);
        check_reset(context);
        SSL_CTX_free(context);
        return 0;
}
