/* SPDX-License-Identifier: MIT */
#pragma once

/* Reads members of a ZIP archive in memory. Nothing is written, and a member's name is only
 * compared, so names like "../x" do no harm. */

#include <stdbool.h>
#include <stddef.h>

enum {
        ZIP_E_MISSING = 1,
        ZIP_E_DAMAGED,
        ZIP_E_ENCRYPTED,
        ZIP_E_METHOD, /* neither stored nor deflated */
        ZIP_E_TOO_LARGE,
};

struct zip {
        const unsigned char *data; /* borrowed */
        size_t n;
        size_t directory; /* where the list of members starts */
        size_t end;       /* where it ends */
};

/* False: it is no archive, or one with more than 65535 members or 4 GiB. */
bool zip_open(const char *data, size_t n, struct zip *ret);

/* Reads a member of at most max bytes, for free(). 0, ZIP_E_*, or -ENOMEM. */
int zip_read(const struct zip *zip, const char *name, size_t max, char **ret, size_t *ret_n);
