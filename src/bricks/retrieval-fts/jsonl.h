/* SPDX-License-Identifier: MIT */
#pragma once

#include <zlib.h>

struct indexer;
struct index_file;

/* Adds one document for each line {"id", "title", "text", "metadata"}. As indexer_add(). */
int jsonl_add(struct indexer *indexer, const struct index_file *file, gzFile stream);
