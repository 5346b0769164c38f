/* SPDX-License-Identifier: MIT */
#pragma once

#include <jansson.h>

struct index_file;

/* A document's metadata as JSON text: what is known of its file, under what it says itself. */
char *metadata_print(const struct index_file *file, const char *language, json_t *own);
