/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The descriptors of every service and message that brickd knows, from the .proto files of its
 * build, for reflection. Immutable once made, so any thread may use them.
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

/* The descriptors that are built in. -EBADMSG: the build is broken. */
int descriptors_new(struct descriptors **ret);

/* The descriptors of a serialised google.protobuf.FileDescriptorSet, in which imports precede the
 * files that import them. -EBADMSG: it is not such a set. */
int descriptors_parse(struct descriptors **ret, const void *bytes, size_t length);

struct descriptors *descriptors_free(struct descriptors *descriptors);
DEFINE_CLEANUP(struct descriptors *, descriptors_free);

/* The index of the file with this name, or of the file that defines this symbol; -1: there is none.
 */
ssize_t descriptors_find_file(const struct descriptors *descriptors, const char *name);
ssize_t descriptors_find_symbol(const struct descriptors *descriptors, const char *name);

/* Fills ret_files with the indices of the file and of all files that it imports, directly or not,
 * each once, the file itself first: at most n_files. Returns how many. */
size_t descriptors_closure(const struct descriptors *descriptors, size_t file, size_t *ret_files);
