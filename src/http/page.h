/* SPDX-License-Identifier: MIT */
#pragma once

/* The files of the page for browsers, which are part of the program. */

#include <stddef.h>

struct page_file {
        const char *path, *type;
        const char *tag; /* changes with the content; the same for both forms */
        const unsigned char *plain;
        size_t n_plain;
        const unsigned char *gzip;
        size_t n_gzip;
};

extern const struct page_file page_files[]; /* page/embed.py makes it; ends with an empty one */
