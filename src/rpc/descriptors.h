/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The descriptors of every service and message that brickd knows, as they were when it was built:
 * what reflection tells. Immutable once made; any thread may ask.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/cleanup.h"

struct descriptor_file {
        char *name;     /* "protocols/grpc/llm/llm.proto" */
        uint8_t *bytes; /* a serialised google.protobuf.FileDescriptorProto */
        size_t length;
        size_t *imports; /* indices of files */
        size_t n_imports;
};

/* A message, an enum, a service or a method. */
struct descriptor_symbol {
        char *name; /* "protocols.grpc.llm.LLMRequest" */
        size_t file;
};

struct descriptors {
        struct descriptor_file *files;
        size_t n_files;
        struct descriptor_symbol *symbols; /* sorted by name */
        size_t n_symbols;
};

/* Those that are built in. -EBADMSG: the build went wrong. */
int descriptors_new(struct descriptors **ret);

/* Those of a serialised google.protobuf.FileDescriptorSet; every import of a file stands before it.
 * -EBADMSG: it is none. */
int descriptors_parse(struct descriptors **ret, const void *bytes, size_t length);

struct descriptors *descriptors_free(struct descriptors *descriptors);
DEFINE_CLEANUP(struct descriptors *, descriptors_free);

/* The index of a file; -1: there is none such. */
ssize_t descriptors_find_file(const struct descriptors *descriptors, const char *name);
ssize_t descriptors_find_symbol(const struct descriptors *descriptors, const char *name);

/*
 * The file and all it depends on, each once, the file first. Fills ret_files with at most n_files
 * indices; returns how many.
 */
size_t descriptors_closure(const struct descriptors *descriptors, size_t file, size_t *ret_files);
