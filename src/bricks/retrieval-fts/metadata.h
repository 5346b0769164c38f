/* SPDX-License-Identifier: MIT */
#pragma once

#include <jansson.h>

struct index_file;

/* Makes the metadata of a document as JSON, for free(): its own, and that of its file for keys that
 * it does not have. */
char *metadata_print(const struct index_file *file, const char *language, json_t *own);
