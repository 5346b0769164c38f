/* SPDX-License-Identifier: MIT */

/* What is said of the files of a port's TLS. */

#undef NDEBUG
#include <assert.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "serve/certificate.h"

#define DAY (24 * 3600L)

static char folder[] = "/tmp/test-certificate.XXXXXX";

static EVP_PKEY *root_key, *middle_key, *own_key;
static X509 *root, *middle, *own;

/* --- making them ------------------------------------------------------------------------------ */

static void extend(X509 *x509, int nid, const char *value)
{
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

        assert(extension && X509_add_ext(x509, extension, -1) == 1);
        X509_EXTENSION_free(extension);
}

/* Valid from so many days from now to so many. issuer NULL: its own. */
static X509 *issue(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, long from,
                   long to, const char *usage)
{
        X509 *x509 = X509_new();
        X509_NAME *subject = X509_get_subject_name(x509);
        bool ed25519 = EVP_PKEY_is_a(issuer_key, "ED25519");

        assert(X509_set_version(x509, X509_VERSION_3) == 1);
        assert(ASN1_INTEGER_set(X509_get_serialNumber(x509), 1) == 1);
        assert(X509_gmtime_adj(X509_getm_notBefore(x509), from * DAY));
        assert(X509_gmtime_adj(X509_getm_notAfter(x509), to * DAY));
        assert(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const void *)name, -1, -1,
                                          0) == 1);
        assert(X509_set_issuer_name(x509, issuer ? X509_get_subject_name(issuer) : subject) == 1);
        assert(X509_set_pubkey(x509, key) == 1);
        if (usage)
                extend(x509, NID_ext_key_usage, usage);
        else
                extend(x509, NID_basic_constraints, "CA:TRUE");
        assert(X509_sign(x509, issuer_key, ed25519 ? NULL : EVP_sha256()) > 0);
        return x509;
}

static FILE *open_file(const char *name)
{
        char path[256];
        FILE *f;

        snprintf(path, sizeof path, "%s/%s", folder, name);
        (void)unlink(path);
        f = fopen(path, "w");
        assert(f && fchmod(fileno(f), 0600) == 0);
        return f;
}

static void put_text(const char *name, const char *text)
{
        FILE *f = open_file(name);

        assert(fputs(text, f) >= 0 && fclose(f) == 0);
}

static void put_key(const char *name, EVP_PKEY *key, const char *passphrase)
{
        FILE *f = open_file(name);

        assert(PEM_write_PrivateKey(f, key, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                                    (void *)passphrase) == 1);
        assert(fclose(f) == 0);
}

/* The certificates, up to a NULL. */
static void put_chain(const char *name, ...)
{
        FILE *f = open_file(name);
        va_list args;
        X509 *x509;

        va_start(args, name);
        while ((x509 = va_arg(args, X509 *)))
                assert(PEM_write_X509(f, x509) == 1);
        va_end(args);
        assert(fclose(f) == 0);
}

/* --- judging them ------------------------------------------------------------------------------
 */

/* Reads c.pem and k.pem, and ca.pem if the port has clients. NULL: *ret_text says why. */
static struct certificate *judge(bool clients, char **ret_text)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        _cleanup_(conf_freep) struct conf *conf = NULL;
        struct certificate *certificate = NULL;
        char name[256], text[512];
        size_t length;
        FILE *f;
        int r;

        snprintf(name, sizeof name, "%s/t", folder);
        snprintf(text, sizeof text,
                 "ports: [{ listen: \"127.0.0.1:0\", tls: { certificate: c.pem, key: { file: k.pem "
                 "}%s }}]\n",
                 clients ? ", client_ca: ca.pem" : "");
        assert(diag_new(&diag, "t", NULL, 0) == 0);
        assert(conf_parse(&conf, name, text, strlen(text), diag) == 0);
        r = certificate_read(&certificate, &conf->ports[0].tls, conf->base, diag);
        assert(r == (certificate ? 0 : -EINVAL));
        assert(diag_count(diag) == 0 || !certificate);
        f = open_memstream(ret_text, &length);
        assert(f);
        diag_print(diag, f);
        assert(fclose(f) == 0);
        return certificate;
}

/* clients: there is a client_ca. Then one string for each mistake, which stands in its line, in
 * this order, up to a NULL; none: all is well. */
static void expect(int clients, ...)
{
        _cleanup_(certificate_freep) struct certificate *certificate = NULL;
        _cleanup_free_ char *text = NULL;
        const char *mistake, *rest;
        size_t n = 0, lines = 0;
        va_list args;

        certificate = judge(clients, &text);
        rest = text;
        va_start(args, clients);
        for (; (mistake = va_arg(args, const char *)); n++) {
                rest = strstr(rest, mistake);
                if (!rest)
                        fprintf(stderr, "expected: %s\ngot: %s\n", mistake, text);
                assert(rest);
                rest += strlen(mistake);
        }
        va_end(args);
        for (const char *p = text; *p; p++)
                lines += *p == '\n';
        if (lines != n)
                fprintf(stderr, "got: %s\n", text);
        assert(lines == n && !!certificate == (n == 0));
}

static void reset(void)
{
        put_chain("c.pem", own, middle, (X509 *)NULL);
        put_key("k.pem", own_key, NULL);
        put_chain("ca.pem", root, (X509 *)NULL);
        expect(true, NULL);
}

static void test_good(void)
{
        _cleanup_free_ char *text = NULL, *other = NULL;
        struct certificate *certificate;
        time_t now = time(NULL);

        reset();
        put_chain("ca.pem", root, middle, (X509 *)NULL);
        certificate = judge(true, &text);
        assert(strstr(certificate->chain, "BEGIN CERT") && strstr(certificate->key, "PRIVATE KEY"));
        assert(strstr(certificate->roots, "BEGIN CERT"));
        assert(labs(certificate->chain_validity.begins - (now - DAY)) < 60);
        assert(labs(certificate->chain_validity.ends - (now + 9 * DAY)) < 60);
        assert(labs(certificate->chain_validity.renew - (now + 8 * DAY)) < 60);
        /* of the root, which is valid longer; not a tenth of its time, but two weeks */
        assert(labs(certificate->roots_validity.ends - (now + 1000 * DAY)) < 60);
        assert(labs(certificate->roots_validity.renew - (now + 986 * DAY)) < 60);
        (void)certificate_free(certificate);
        certificate = judge(false, &other);
        assert(!certificate->roots);
        (void)certificate_free(certificate);
        assert(!certificate_free(NULL));
}

/* Their owners can do little about the clock of a machine. */
static void test_times(void)
{
        static const long times[][2] = { { -20, -10 }, { 10, 20 } };

        for (size_t i = 0; i < ELEMENTSOF(times); i++) {
                X509 *x509 = issue("own", own_key, middle, middle_key, times[i][0], times[i][1],
                                   "serverAuth");

                put_chain("c.pem", x509, middle, (X509 *)NULL);
                expect(true, NULL);
                X509_free(x509);
        }
        reset();
}

static void test_chains(void)
{
        X509 *client = issue("own", own_key, middle, middle_key, -1, 9, "clientAuth");
        X509 *self = issue("self", own_key, NULL, own_key, -1, 9, NULL);

        put_chain("c.pem", own, (X509 *)NULL);
        expect(true, NULL);
        put_chain("c.pem", own, middle, root, (X509 *)NULL);
        expect(true, NULL);
        put_chain("c.pem", self, (X509 *)NULL);
        expect(true, NULL);
        put_chain("c.pem", middle, own, (X509 *)NULL);
        expect(true, "/c.pem: the key belongs to certificate 2; the server's", NULL);
        put_chain("c.pem", own, root, middle, (X509 *)NULL);
        expect(true, "c.pem: certificate 2 has not issued certificate 1; each must be", NULL);
        put_chain("c.pem", root, (X509 *)NULL);
        expect(true, ".key: the key does not belong to the certificate in /", NULL);
        put_chain("c.pem", client, middle, (X509 *)NULL);
        expect(true, "c.pem: the certificate is not for servers: clients would refuse it", NULL);
        X509_free(client);
        X509_free(self);
        reset();
}

static void test_keys(void)
{
        static const char *const kinds[] = { "ED25519", "RSA", "EC" };
        EVP_PKEY *keys[] = { EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), EVP_RSA_gen(2048),
                             EVP_EC_gen("P-384") };
        EVP_PKEY *weak = EVP_RSA_gen(1024);
        X509 *x509;

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                assert(EVP_PKEY_is_a(keys[i], kinds[i]));
                x509 = issue("own", keys[i], NULL, keys[i], -1, 9, "serverAuth");
                put_chain("c.pem", x509, (X509 *)NULL);
                put_key("k.pem", keys[i], NULL);
                expect(true, NULL);
                X509_free(x509);
                EVP_PKEY_free(keys[i]);
        }
        x509 = issue("own", weak, NULL, weak, -1, 9, "serverAuth");
        put_chain("c.pem", x509, (X509 *)NULL);
        put_key("k.pem", weak, NULL);
        expect(true, "/c.pem: ee key too small", NULL);
        X509_free(x509);
        EVP_PKEY_free(weak);
        reset();

        put_key("k.pem", own_key, "secret");
        expect(true, ".key: the key is encrypted, and brickd has no passphrase for it", NULL);
        put_text("k.pem", "no key\n");
        expect(true, ".key: holds no private key in PEM form", NULL);
        put_chain("k.pem", own, (X509 *)NULL);
        expect(true, ".key: holds no private key in PEM form", NULL);
        reset();
}

static void test_files(void)
{
        FILE *f = open_file("c.pem");

        assert(PEM_write_X509(f, own) == 1 && fputs("-----BEGIN CERTIFICATE-----\nMIIB\n", f) >= 0);
        assert(fclose(f) == 0);
        expect(true, "c.pem: certificate 2 cannot be read: ", NULL);
        put_text("c.pem", "nothing of the kind\n");
        expect(true, "c.pem: holds no certificate in PEM form", NULL);
        put_text("c.pem", "");
        expect(true, "c.pem: empty", NULL);
        reset();

        put_text("ca.pem", "");
        expect(true, ".client_ca: /", NULL);
        expect(false, NULL);
        put_key("ca.pem", root_key, NULL);
        expect(true, "ca.pem: holds no certificate in PEM form", NULL);
        f = open_file("ca.pem");
        assert(ftruncate(fileno(f), 1024 * 1024 + 1) == 0 && fclose(f) == 0);
        expect(true, "ca.pem: larger than 1024 KiB", NULL);

        /* all of them at once */
        put_text("c.pem", "");
        put_text("k.pem", "");
        put_text("ca.pem", "");
        expect(true, "c.pem: empty", "k.pem: empty", "ca.pem: empty", NULL);
        reset();
}

int main(void)
{
        static const char *const names[] = { "c.pem", "k.pem", "ca.pem" };

        assert(mkdtemp(folder));
        root_key = EVP_EC_gen("P-256");
        middle_key = EVP_EC_gen("P-256");
        own_key = EVP_EC_gen("P-256");
        root = issue("root", root_key, NULL, root_key, -1, 1000, NULL);
        middle = issue("middle", middle_key, root, root_key, -1, 100, NULL);
        own = issue("own", own_key, middle, middle_key, -1, 9, "serverAuth");

        test_good();
        test_times();
        test_chains();
        test_keys();
        test_files();

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                char path[256];

                snprintf(path, sizeof path, "%s/%s", folder, names[i]);
                assert(unlink(path) == 0);
        }
        assert(rmdir(folder) == 0);
        X509_free(root);
        X509_free(middle);
        X509_free(own);
        EVP_PKEY_free(root_key);
        EVP_PKEY_free(middle_key);
        EVP_PKEY_free(own_key);
        return 0;
}
