/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The files of a backend's TLS. gRPC core does not say what is wrong with such files, so they are
 * checked before it gets them. Main thread only, except tls_files_text().
 */

#include <stdbool.h>

#include "remote/client.h"
#include "util/cleanup.h"

struct tls_files;

struct tls_text { /* PEM */
        char *ca;
        char *certificate;
        char *key;
};

/* Which setting is wrong, and why: a predicate. */
struct tls_fault {
        enum { TLS_CA, TLS_CERTIFICATE, TLS_KEY } what;
        char why[256];
};

/* Reads and checks the files of these settings. -EINVAL: *ret_fault says what is wrong. */
int tls_text_read(struct tls_text *ret, const struct backend_settings *settings,
                  struct tls_fault *ret_fault);
void tls_text_done(struct tls_text *text);

/* settings must outlive the files. -EINVAL: they are wrong. */
int tls_files_new(struct tls_files **ret, const struct backend_settings *settings);
struct tls_files *tls_files_free(struct tls_files *files);
DEFINE_CLEANUP(struct tls_files *, tls_files_free);

/* What to use now. Valid until tls_files_changed() returns true. */
const struct tls_text *tls_files_text(const struct tls_files *files);

/* To be called about every second. True: the files have changed and are right, and
 * tls_files_text() is new. If they are wrong, that is logged once. */
bool tls_files_changed(struct tls_files *files);
