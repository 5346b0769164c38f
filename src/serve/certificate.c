/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/node.h"
#include "conf/option.h"
#include "serve/certificate.h"

/* The largest file. All root certificates of a system are 220 KiB. */
#define FILE_MAX ((size_t)1024 * 1024)

/* A certificate should be renewed when a tenth of its lifetime is left, or two weeks if that is
 * less.
 */
#define RENEW_MAX ((time_t)14 * 24 * 3600)

typedef STACK_OF(X509) x509_list;

static void x509_list_free(x509_list *list)
{
        sk_X509_pop_free(list, X509_free);
}

DEFINE_CLEANUP(BIO *, BIO_free_all);
DEFINE_CLEANUP(SSL_CTX *, SSL_CTX_free);
DEFINE_CLEANUP(X509 *, X509_free);
DEFINE_CLEANUP(x509_list *, x509_list_free);

/* The last error of OpenSSL, as text. Clears its error queue. */
static const char *reason(void)
{
        const char *text = ERR_reason_error_string(ERR_peek_last_error());

        ERR_clear_error();
        return text ? text : "OpenSSL gives no reason";
}

static int add_mistake(struct diag *diag, const struct node *node, const char *path,
                       const char *why)
{
        diag_add(diag, node, "%s: %s", path, why);
        return -EINVAL;
}

static int out_of_memory(void)
{
        ERR_clear_error();
        return -ENOMEM;
}

/* --- PEM ----------------------------------------------------------------------------------------
 */

/* 1: a certificate; 0: there are no more; -EINVAL: reason() says why not. */
static int next_certificate(BIO *bio, X509 **ret)
{
        X509 *found = PEM_read_bio_X509_AUX(bio, NULL, NULL, (void *)"");
        unsigned long error;

        if (found) {
                *ret = found;
                return 1;
        }
        error = ERR_peek_last_error();
        if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
                return -EINVAL;
        ERR_clear_error();
        return 0;
}

static int parse_certificates(const struct node *node, const char *path, const char *pem,
                              x509_list **ret, struct diag *diag)
{
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem, -1);
        _cleanup_(x509_list_freep) x509_list *list = sk_X509_new_null();
        _cleanup_(X509_freep) X509 *found = NULL;
        int r;

        if (!bio || !list)
                return out_of_memory();
        while ((r = next_certificate(bio, &found)) > 0) {
                if (sk_X509_push(list, found) == 0)
                        return out_of_memory();
                found = NULL;
        }
        if (r < 0) {
                diag_add(diag, node, "%s: certificate %d cannot be read: %s", path,
                         sk_X509_num(list) + 1, reason());
                return r;
        }
        if (sk_X509_num(list) == 0)
                return add_mistake(diag, node, path, "holds no certificate in PEM form");
        *ret = TAKE_PTR(list);
        return 0;
}

/* Without this function OpenSSL would ask for the passphrase on the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *asked)
{
        *(bool *)asked = true;
        return -1;
}

static int parse_key(const struct node *node, const char *pem, EVP_PKEY **ret, struct diag *diag)
{
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new_mem_buf(pem, -1);
        EVP_PKEY *key;
        bool asked = false;

        if (!bio)
                return out_of_memory();
        key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
        if (key) {
                *ret = key;
                return 0;
        }
        ERR_clear_error();
        diag_add(diag, node,
                 asked ? "the key is encrypted, and brickd has no passphrase for it"
                       : "holds no private key in PEM form");
        return -EINVAL;
}

/* --- checking ------------------------------------------------------------------------------------
 */

/* What has been read so far. */
struct reading {
        const struct conf_tls *tls;
        const struct node *node; /* the certificate's */
        x509_list *chain;        /* the server's own first */
        EVP_PKEY *key;
        x509_list *roots; /* NULL: there is no client_ca */
};

static void reading_done(struct reading *reading)
{
        x509_list_freep(&reading->chain);
        x509_list_freep(&reading->roots);
        EVP_PKEY_free(reading->key);
}

/* The index of the first certificate that the key belongs to; -1: none. */
static int find_owner(const struct reading *reading)
{
        int found = -1;

        for (int i = 0; found < 0 && i < sk_X509_num(reading->chain); i++)
                if (X509_check_private_key(sk_X509_value(reading->chain, i), reading->key) == 1)
                        found = i;
        ERR_clear_error();
        return found;
}

static int check_key(const struct reading *reading, struct diag *diag)
{
        int owner = find_owner(reading);

        if (owner == 0)
                return 0;
        if (owner > 0)
                diag_add(diag, reading->node,
                         "%s: the key belongs to certificate %d; the server's own must be the "
                         "first",
                         reading->tls->certificate, owner + 1);
        else
                diag_add(diag, reading->tls->key,
                         "the key does not belong to the certificate in %s",
                         reading->tls->certificate);
        return -EINVAL;
}

static int check_order(const struct reading *reading, struct diag *diag)
{
        for (int i = 1; i < sk_X509_num(reading->chain); i++)
                if (X509_check_issued(sk_X509_value(reading->chain, i),
                                      sk_X509_value(reading->chain, i - 1)) != X509_V_OK) {
                        diag_add(diag, reading->node,
                                 "%s: certificate %d has not issued certificate %d; each must be "
                                 "followed by that of its issuer",
                                 reading->tls->certificate, i + 1, i);
                        return -EINVAL;
                }
        return 0;
}

static int check_purpose(const struct reading *reading, struct diag *diag)
{
        if (X509_check_purpose(sk_X509_value(reading->chain, 0), X509_PURPOSE_SSL_SERVER, 0) == 1)
                return 0;
        ERR_clear_error();
        return add_mistake(diag, reading->node, reading->tls->certificate,
                           "the certificate is not for servers: clients would refuse it");
}

/* Whether OpenSSL accepts certificate and key at this machine's security level. */
static int check_strength(const struct reading *reading, struct diag *diag)
{
        _cleanup_(SSL_CTX_freep) SSL_CTX *context = SSL_CTX_new(TLS_server_method());
        _cleanup_(x509_list_freep) x509_list *issuers = X509_chain_up_ref(reading->chain);
        _cleanup_(X509_freep) X509 *own = issuers ? sk_X509_shift(issuers) : NULL;

        if (!context || !own)
                return out_of_memory();
        if (SSL_CTX_use_cert_and_key(context, own, reading->key, issuers, 1) == 1)
                return 0;
        return add_mistake(diag, reading->node, reading->tls->certificate, reason());
}

/* --- validity -----------------------------------------------------------------------------------
 */

static time_t time_of(const ASN1_TIME *asn1)
{
        struct tm tm;

        return ASN1_TIME_to_tm(asn1, &tm) == 1 ? timegm(&tm) : 0;
}

static struct validity validity_of(X509 *x509)
{
        struct validity validity = {
                .begins = time_of(X509_get0_notBefore(x509)),
                .ends = time_of(X509_get0_notAfter(x509)),
        };
        time_t tenth = (validity.ends - validity.begins) / 10;

        validity.renew = validity.ends - (tenth < RENEW_MAX ? tenth : RENEW_MAX);
        return validity;
}

static struct validity longest_validity(x509_list *list)
{
        struct validity longest = validity_of(sk_X509_value(list, 0));

        for (int i = 1; i < sk_X509_num(list); i++) {
                struct validity validity = validity_of(sk_X509_value(list, i));

                if (validity.ends > longest.ends)
                        longest = validity;
        }
        return longest;
}

/* --- reading ------------------------------------------------------------------------------------
 */

static int read_certificates(const struct node *node, const char *path, char **ret_pem,
                             x509_list **ret, struct diag *diag)
{
        *ret_pem = option_text(node, path, FILE_MAX, diag);
        if (!*ret_pem)
                return -EINVAL;
        return parse_certificates(node, path, *ret_pem, ret, diag);
}

static int read_key(const struct conf_tls *tls, const char *base, char **ret_pem, EVP_PKEY **ret,
                    struct diag *diag)
{
        if (!option_secret(tls->key, base, ret_pem, diag))
                return -EINVAL;
        return parse_key(tls->key, *ret_pem, ret, diag);
}

/* Reads every file, to find all mistakes. In a configuration with mistakes, options may be missing.
 */
static int read_all(struct certificate *certificate, const struct conf_tls *tls, const char *base,
                    struct reading *reading, struct diag *diag)
{
        int result = 0, r;

        if (tls->certificate)
                result = read_certificates(reading->node, tls->certificate, &certificate->chain,
                                           &reading->chain, diag);
        if (tls->key) {
                r = read_key(tls, base, &certificate->key, &reading->key, diag);
                result = result < 0 ? result : r;
        }
        if (tls->client_ca) {
                r = read_certificates(node_get(tls->node, "client_ca"), tls->client_ca,
                                      &certificate->roots, &reading->roots, diag);
                result = result < 0 ? result : r;
        }
        return result < 0 || (reading->chain && reading->key) ? result : -EINVAL;
}

int certificate_read(struct certificate **ret, const struct conf_tls *tls, const char *base,
                     struct diag *diag)
{
        _cleanup_(certificate_freep) struct certificate *certificate = NULL;
        _cleanup_(reading_done) struct reading reading = {
                .tls = tls,
                .node = node_get(tls->node, "certificate"),
        };
        int r;

        certificate = calloc(1, sizeof *certificate);
        if (!certificate)
                return -ENOMEM;
        ERR_clear_error();
        r = read_all(certificate, tls, base, &reading, diag);
        if (r == 0)
                r = check_key(&reading, diag);
        if (r == 0)
                r = check_order(&reading, diag);
        if (r == 0)
                r = check_purpose(&reading, diag);
        if (r == 0)
                r = check_strength(&reading, diag);
        if (r < 0)
                return r;
        certificate->chain_validity = validity_of(sk_X509_value(reading.chain, 0));
        if (reading.roots)
                certificate->roots_validity = longest_validity(reading.roots);
        *ret = TAKE_PTR(certificate);
        return 0;
}

struct certificate *certificate_free(struct certificate *certificate)
{
        if (!certificate)
                return NULL;
        free(certificate->chain);
        option_secret_free(certificate->key);
        free(certificate->roots);
        free(certificate);
        return NULL;
}
