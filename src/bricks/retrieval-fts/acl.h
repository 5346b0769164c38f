/* SPDX-License-Identifier: MIT */
#pragma once

/* Who may find a document: the names of groups, from a file beside it, a field of a line of JSON,
 * or the file's own permissions. */

#include <jansson.h>
#include <stdbool.h>

struct indexer;

/* The groups of the directory that was asked about last. */
struct acl_cache {
        char *directory;
        char *groups;
};

/* The file says who may find others. */
bool acl_is_sidecar(const char *path);

void acl_cache_done(struct acl_cache *cache);

/*
 * The groups of a file: of PATH.groups; else of .groups in the nearest directory above it; else, if
 * the indexer asks for it, of its permissions. *ret is as struct index_file wants it, for free().
 * 0; -EACCES: it cannot be told who may find the file, which has been reported: leave it out;
 * -ENOMEM.
 */
int acl_of_file(struct indexer *indexer, const char *path, char **ret);

/* The groups of a string or a list of strings. 0; -EINVAL: *ret_why is a message, a constant;
 * -ENOMEM. */
int acl_of_json(const json_t *json, char **ret, const char **ret_why);
