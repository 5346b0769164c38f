/* SPDX-License-Identifier: MIT */
#include "http/socket.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/identities.h"
#include "serve/auth.h"
#include "serve/certificate.h"

/* --- certificates -------------------------------------------------------------------------------
 */

static bool use_chain(SSL_CTX *context, const char *pem)
{
        BIO *bio = BIO_new_mem_buf(pem, -1);
        X509 *own = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL, *issuer;
        bool ok = own && SSL_CTX_use_certificate(context, own) == 1;

        X509_free(own);
        while (ok && (issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
                if (SSL_CTX_add0_chain_cert(context, issuer) != 1) {
                        X509_free(issuer);
                        ok = false;
                }
        BIO_free(bio);
        return ok;
}

static bool use_key(SSL_CTX *context, const char *pem)
{
        BIO *bio = BIO_new_mem_buf(pem, -1);
        EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
        bool ok = key && SSL_CTX_use_PrivateKey(context, key) == 1;

        EVP_PKEY_free(key);
        BIO_free(bio);
        return ok;
}

/* Also names the authorities, so that a client can choose its certificate. */
static bool trust(SSL_CTX *context, const char *pem)
{
        BIO *bio = BIO_new_mem_buf(pem, -1);
        X509_STORE *store = SSL_CTX_get_cert_store(context);
        X509 *root;
        bool ok = bio;

        while (ok && (root = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
                ok = X509_STORE_add_cert(store, root) == 1 &&
                     SSL_CTX_add_client_CA(context, root) == 1;
                X509_free(root);
        }
        BIO_free(bio);
        return ok;
}

/* A client that asks for a protocol gets HTTP/1.1, even if it would rather have another. */
static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_length,
                           const unsigned char *offered, unsigned length, void *user)
{
        static const unsigned char ours[] = "\x08http/1.1";

        return SSL_select_next_proto((unsigned char **)ret, ret_length, ours, sizeof ours - 1,
                                     offered, length) == OPENSSL_NPN_NEGOTIATED
                       ? SSL_TLSEXT_ERR_OK
                       : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool set_up(SSL_CTX *context, const struct certificate *certificate,
                   const struct conf_tls *conf)
{
        int verify = SSL_VERIFY_PEER;

        if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
                return false;
        (void)SSL_CTX_set_options(
                context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
        (void)SSL_CTX_set_num_tickets(context, 0);
        (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                                SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
        if (!use_chain(context, certificate->chain) || !use_key(context, certificate->key))
                return false;
        if (!certificate->roots)
                return true;
        if (!conf->client_optional)
                verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
        SSL_CTX_set_verify(context, verify, NULL);
        return trust(context, certificate->roots);
}

SSL_CTX *http_context_new(const struct certificate *certificate, const struct conf_tls *conf)
{
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());

        if (context && !set_up(context, certificate, conf)) {
                SSL_CTX_free(context);
                context = NULL;
        }
        ERR_clear_error(); /* the end of each PEM text is one */
        return context;
}

/* --- bytes --------------------------------------------------------------------------------------
 */

int http_socket_begin(struct http_socket *s, int fd, SSL_CTX *context)
{
        *s = (struct http_socket){ .fd = fd };
        if (!context)
                return 0;
        s->ssl = SSL_new(context);
        if (s->ssl && SSL_set_fd(s->ssl, fd) == 1) {
                SSL_set_accept_state(s->ssl);
                return 0;
        }
        SSL_free(s->ssl);
        s->ssl = NULL;
        return -ENOMEM;
}

/* What a function of OpenSSL that has not returned 1 means. The error queue was empty before. */
static int ssl_error(struct http_socket *s, int r)
{
        int error = SSL_get_error(s->ssl, r);

        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
                return -EAGAIN;
        ERR_clear_error();
        if (error == SSL_ERROR_SYSCALL)
                return -ECONNRESET;
        return error == SSL_ERROR_ZERO_RETURN ? 0 : -EPROTO;
}

int http_socket_handshake(struct http_socket *s)
{
        int r;

        ERR_clear_error();
        r = SSL_do_handshake(s->ssl);
        if (r == 1)
                return 0;
        r = ssl_error(s, r);
        return r == 0 ? -ECONNRESET : r;
}

ssize_t http_socket_read(struct http_socket *s, void *bytes, size_t size)
{
        size_t n;
        ssize_t r;

        if (s->ssl) {
                ERR_clear_error();
                r = SSL_read_ex(s->ssl, bytes, size, &n);
                return r == 1 ? (ssize_t)n : ssl_error(s, (int)r);
        }
        do
                r = recv(s->fd, bytes, size, 0);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : r;
}

/* A lack of memory in the kernel is the same to its caller as a full buffer. */
static ssize_t send_plain(int fd, const void *bytes, size_t size)
{
        ssize_t n;

        do
                n = send(fd, bytes, size, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0 && (errno == ENOBUFS || errno == ENOMEM))
                return -EAGAIN;
        return n < 0 ? -errno : n;
}

ssize_t http_socket_write(struct http_socket *s, const void *bytes, size_t size)
{
        size_t n;
        int r;

        if (!s->ssl)
                return send_plain(s->fd, bytes, size);
        ERR_clear_error();
        r = SSL_write_ex(s->ssl, bytes, size, &n);
        if (r == 1)
                return (ssize_t)n;
        r = ssl_error(s, r);
        return r < 0 ? r : -EPIPE;
}

void http_socket_shutdown(struct http_socket *s)
{
        ERR_clear_error();
        if (s->ssl && SSL_is_init_finished(s->ssl))
                (void)SSL_shutdown(s->ssl);
        ERR_clear_error();
        (void)shutdown(s->fd, SHUT_WR);
}

void http_socket_close(struct http_socket *s)
{
        SSL_free(s->ssl);
        s->ssl = NULL;
        (void)close(s->fd);
        s->fd = -1;
}

/* --- the client's certificate -------------------------------------------------------------------
 */

struct names {
        struct auth_name *list;
        size_t n;
        char *next; /* the texts are behind the list */
        size_t left;
};

static void add_name(struct names *names, unsigned kind, const ASN1_STRING *text)
{
        size_t length = (size_t)ASN1_STRING_length(text);
        const unsigned char *bytes = ASN1_STRING_get0_data(text);

        if (names->n == HTTP_NAMES_MAX || length == 0 || length >= names->left ||
            memchr(bytes, '\0', length))
                return;
        memcpy(names->next, bytes, length);
        names->next[length] = '\0';
        names->list[names->n++] = (struct auth_name){ kind, names->next };
        names->next += length + 1;
        names->left -= length + 1;
}

/* False: the certificate has no such names, not even bad ones. */
static bool add_alternatives(struct names *names, const GENERAL_NAMES *list, int type,
                             unsigned kind)
{
        bool any = false;

        for (int i = 0; i < sk_GENERAL_NAME_num(list); i++) {
                const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);

                if (name->type != type)
                        continue;
                any = true;
                add_name(names, kind, name->d.ia5);
        }
        return any;
}

static void add_common_name(struct names *names, X509 *certificate)
{
        const X509_NAME *subject = X509_get_subject_name(certificate);
        int i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

        if (i >= 0)
                add_name(names, IDENTITY_COMMON_NAME,
                         X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
}

/* The texts of all names together. */
#define NAMES_BYTES 4096

static void find_names(struct names *names, X509 *certificate)
{
        GENERAL_NAMES *list = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
        bool any = false;

        if (list) {
                any = add_alternatives(names, list, GEN_URI, IDENTITY_URI);
                any = add_alternatives(names, list, GEN_DNS, IDENTITY_DNS) || any;
                GENERAL_NAMES_free(list);
        }
        if (!any)
                add_common_name(names, certificate);
}

size_t http_socket_names(const struct http_socket *s, struct auth_name **ret)
{
        X509 *certificate = s->ssl ? SSL_get1_peer_certificate(s->ssl) : NULL;
        struct names names = { .left = NAMES_BYTES };

        *ret = NULL;
        if (certificate && SSL_get_verify_result(s->ssl) == X509_V_OK)
                names.list = malloc(HTTP_NAMES_MAX * sizeof *names.list + NAMES_BYTES);
        if (names.list) {
                names.next = (char *)(names.list + HTTP_NAMES_MAX);
                find_names(&names, certificate);
        }
        X509_free(certificate);
        if (names.n == 0) {
                free(names.list);
                return 0;
        }
        *ret = names.list;
        return names.n;
}
