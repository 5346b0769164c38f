/* SPDX-License-Identifier: MIT */
#include "remote/tls-files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remote/address.h"
#include "util/log.h"
#include "util/watch.h"

#define FILE_MAX ((size_t)1024 * 1024)

struct tls_files {
        const struct backend_settings *settings;
        struct tls_text text;
        struct watch watches[3];
        size_t n_watches;
        bool changed; /* a file has, and others may be about to change */
};

static int fault(struct tls_fault *ret, int what, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static int fault(struct tls_fault *ret, int what, const char *format, ...)
{
        va_list args;

        ret->what = what;
        va_start(args, format);
        (void)vsnprintf(ret->why, sizeof ret->why, format, args);
        va_end(args);
        ERR_clear_error();
        return -EINVAL;
}

/* --- reading ---------------------------------------------------------------------------------- */

static int read_all(int fd, char *text, size_t size)
{
        size_t length = 0;
        ssize_t n;

        while ((n = read(fd, text + length, size - length)) > 0)
                length += (size_t)n;
        if (n < 0)
                return -errno;
        text[length] = '\0';
        return 0;
}

static int read_file(char **ret, const char *path, struct tls_fault *f, int what)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        _cleanup_free_ char *text = NULL;
        struct stat st;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return fault(f, what, "%s: %s", path, strerror(errno));
        if (!S_ISREG(st.st_mode) || (size_t)st.st_size > FILE_MAX)
                return fault(f, what, "%s: is no regular file of at most 1 MiB", path);
        text = calloc(1, (size_t)st.st_size + 1);
        if (!text)
                return -ENOMEM;
        r = read_all(fd, text, (size_t)st.st_size);
        if (r < 0)
                return fault(f, what, "%s: %s", path, strerror(-r));
        *ret = TAKE_PTR(text);
        return 0;
}

void tls_text_done(struct tls_text *text)
{
        free(text->ca);
        free(text->certificate);
        if (text->key)
                explicit_bzero(text->key, strlen(text->key));
        free(text->key);
        *text = (struct tls_text){};
}

/* --- checks ----------------------------------------------------------------------------------- */

static void bio_freep(BIO **bio)
{
        (void)BIO_free(*bio);
}

static void x509_freep(X509 **x509)
{
        X509_free(*x509);
}

static void key_freep(EVP_PKEY **key)
{
        EVP_PKEY_free(*key);
}

static void context_freep(SSL_CTX **context)
{
        SSL_CTX_free(*context);
}

/* The first of the certificates; NULL: there is none, or one of them cannot be read. */
static X509 *first_certificate(const char *text)
{
        _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(text, -1);
        _cleanup_(x509_freep) X509 *first = NULL;
        X509 *next;

        ERR_clear_error();
        while (bio && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
                if (first)
                        X509_free(next);
                else
                        first = next;
        }
        return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE ? TAKE_PTR(first)
                                                                            : NULL;
}

/* Without a passphrase, which nobody could be asked for. */
static EVP_PKEY *private_key(const char *text)
{
        _cleanup_(bio_freep) BIO *bio = BIO_new_mem_buf(text, -1);

        return bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;
}

#define NO_CERTIFICATES "%s: is no list of certificates in PEM"

static int check_ca(const struct tls_text *text, const char *path, struct tls_fault *f)
{
        _cleanup_(x509_freep) X509 *x509 = first_certificate(text->ca);

        return x509 ? 0 : fault(f, TLS_CA, NO_CERTIFICATES, path);
}

/* OpenSSL also refuses what it thinks is too weak. */
static int check_pair(const struct tls_text *text, const struct backend_settings *settings,
                      struct tls_fault *f)
{
        _cleanup_(x509_freep) X509 *x509 = first_certificate(text->certificate);
        _cleanup_(key_freep) EVP_PKEY *key = private_key(text->key);
        _cleanup_(context_freep) SSL_CTX *context = SSL_CTX_new(TLS_client_method());

        if (!context)
                return -ENOMEM;
        if (!x509)
                return fault(f, TLS_CERTIFICATE, NO_CERTIFICATES, settings->certificate);
        if (SSL_CTX_use_certificate(context, x509) != 1)
                return fault(f, TLS_CERTIFICATE, "%s: %s", settings->certificate,
                             ERR_reason_error_string(ERR_peek_last_error()));
        if (!key)
                return fault(f, TLS_KEY, "is no private key in PEM without a passphrase");
        if (X509_check_private_key(x509, key) != 1)
                return fault(f, TLS_KEY, "belongs to another certificate than the first of %s",
                             settings->certificate);
        return 0;
}

static int read_pair(struct tls_text *text, const struct backend_settings *settings,
                     struct tls_fault *f)
{
        int r;

        r = read_file(&text->certificate, settings->certificate, f, TLS_CERTIFICATE);
        if (r < 0)
                return r;
        if (settings->key_file)
                r = read_file(&text->key, settings->key_file, f, TLS_KEY);
        else
                text->key = strdup(settings->key ? settings->key : "");
        if (r < 0)
                return r;
        return text->key ? check_pair(text, settings, f) : -ENOMEM;
}

int tls_text_read(struct tls_text *ret, const struct backend_settings *settings,
                  struct tls_fault *f)
{
        struct tls_text text = {};
        int r = 0;

        if (settings->ca) {
                r = read_file(&text.ca, settings->ca, f, TLS_CA);
                if (r == 0)
                        r = check_ca(&text, settings->ca, f);
        }
        if (r == 0 && settings->certificate)
                r = read_pair(&text, settings, f);
        if (r < 0)
                tls_text_done(&text);
        *ret = text;
        return r;
}

/* --- rotation --------------------------------------------------------------------------------- */

static void add_watch(struct tls_files *files, const char *path)
{
        if (path)
                watch_init(&files->watches[files->n_watches++], path);
}

int tls_files_new(struct tls_files **ret, const struct backend_settings *settings)
{
        _cleanup_(tls_files_freep) struct tls_files *files = calloc(1, sizeof *files);
        struct tls_fault f;
        int r;

        if (!files)
                return -ENOMEM;
        files->settings = settings;
        /* Watched before they are read, so that no change is missed. */
        add_watch(files, settings->ca);
        add_watch(files, settings->certificate);
        add_watch(files, settings->key_file);
        r = tls_text_read(&files->text, settings, &f);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(files);
        return 0;
}

struct tls_files *tls_files_free(struct tls_files *files)
{
        if (!files)
                return NULL;
        tls_text_done(&files->text);
        free(files);
        return NULL;
}

const struct tls_text *tls_files_text(const struct tls_files *files)
{
        return &files->text;
}

/* True: files have changed, and none is being changed any more. */
static bool have_changed(struct tls_files *files)
{
        bool rest = true;

        for (size_t i = 0; i < files->n_watches; i++) {
                if (watch_changed(&files->watches[i])) {
                        files->changed = true;
                        watch_done(&files->watches[i]);
                }
                rest = rest && files->watches[i].rests;
        }
        if (!files->changed || !rest)
                return false;
        files->changed = false;
        return true;
}

bool tls_files_changed(struct tls_files *files)
{
        struct tls_text text;
        struct tls_fault f = { .why = "out of memory" };

        if (!have_changed(files))
                return false;
        if (tls_text_read(&text, files->settings, &f) < 0) {
                log_error("TLS to %s: %s; the previous files stay in use",
                          address_shown(files->settings->address), f.why);
                return false;
        }
        tls_text_done(&files->text);
        files->text = text;
        log_notice("TLS to %s: the new files are in use", address_shown(files->settings->address));
        return true;
}
