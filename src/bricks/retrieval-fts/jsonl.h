/* SPDX-License-Identifier: MIT */
#pragma once

#include <zlib.h>

struct indexer;
struct index_file;

/* Adds a document for each line {"id", "title", "text", "metadata"}. Returns the same as
 * indexer_add(). */
int jsonl_add(struct indexer *indexer, const struct index_file *file, gzFile stream);
