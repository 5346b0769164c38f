/* SPDX-License-Identifier: MIT */
#pragma once

#include <jansson.h>

struct index_file;

/* Makes a document's metadata as JSON, for free(): that of its file, overridden by its own. */
char *metadata_print(const struct index_file *file, const char *language, json_t *own);
