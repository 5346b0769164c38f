/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * YAML files of a brick's own, such as rules or word lists, read as brickd reads its configuration:
 * every mistake has its place, and one run tells of all.
 *
 *   /etc/brickd/words.yaml:12:9: words[3].weight: expected a number
 *
 * A file holds maps, lists, scalars, anchors and aliases, in one document of UTF-8; no tags and no
 * merge keys. It has at most 16 MiB, 100000 values, each use of an alias counted, and 64 levels. A
 * $ is a $: nothing is replaced by variables of the environment.
 *
 *   r = brick_yaml_new(&yaml, path);
 *   if (r < 0)
 *           return r;
 *   root = brick_yaml_parse(yaml, bytes, length);
 *   if (root && brick_yaml_kind(brick_yaml_get(root, "words")) != BRICK_YAML_LIST)
 *           brick_yaml_blame(yaml, root, "expected a map with a list \"words\"");
 *   for (size_t i = 0; brick_yaml_mistake(yaml, i); i++)
 *           brick_logf(brick_host, ctx, BRICK_LOG_ERROR, "%s", brick_yaml_mistake(yaml, i));
 *   r = brick_yaml_mistakes(yaml) > 0 ? -EINVAL : 0;
 *   brick_yaml_free(yaml);
 *
 * Any thread, but one at a time for each file. A library of its own, statically linked as libbrick
 * is: pkg-config knows it as brickd-yaml.
 */

#include <stddef.h>

#include "brick.h"

#ifdef __cplusplus
extern "C" {
#endif

struct brick_yaml;      /* a file: its nodes and its mistakes */
struct brick_yaml_node; /* the file's, and gone with it; so are all strings below */

enum brick_yaml_kind {
        BRICK_YAML_SCALAR = 1,
        BRICK_YAML_LIST,
        BRICK_YAML_MAP,
};

/* name: as mistakes call the file; copied. 0 or -ENOMEM. */
int brick_yaml_new(struct brick_yaml **ret, const char *name);
void brick_yaml_free(struct brick_yaml *yaml); /* takes NULL */

/*
 * Reads the text of the file; to be called once. bytes may go afterwards. NULL: it is not YAML, or
 * there is no memory, and the mistakes say so. Else the root; there may be mistakes even so, such
 * as a duplicate key, and the brick goes on to look for its own. An empty file is a scalar.
 */
const struct brick_yaml_node *brick_yaml_parse(struct brick_yaml *yaml, const char *bytes,
                                               size_t length);

/* All of these take NULL, which has no kind (0), no children, key or text. */
enum brick_yaml_kind brick_yaml_kind(const struct brick_yaml_node *node);

/* The children of a list or a map, in the file's order. NULL: past the end. */
size_t brick_yaml_size(const struct brick_yaml_node *node);
const struct brick_yaml_node *brick_yaml_at(const struct brick_yaml_node *node, size_t index);

/* NULL: not a map, or no such key. */
const struct brick_yaml_node *brick_yaml_get(const struct brick_yaml_node *map, const char *key);

/* The key that a child of a map has there. NULL: not in a map. */
const char *brick_yaml_key(const struct brick_yaml_node *node);

/* What a scalar says, "" if nothing, in UTF-8. NULL: not a scalar. */
const char *brick_yaml_text(const struct brick_yaml_node *node);

/* Is the scalar not quoted? Then it may also be meant as a number, a boolean or null. */
int brick_yaml_plain(const struct brick_yaml_node *node);

/*
 * Adds a mistake at a node, whose place and path it gets, or at the key of a child of a map. NULL
 * blames the file as a whole. A node that brick_yaml_parse() has blamed is not blamed again.
 */
void brick_yaml_blame(struct brick_yaml *yaml, const struct brick_yaml_node *node,
                      const char *format, ...) BRICK_PRINTF(3, 4);
void brick_yaml_blame_key(struct brick_yaml *yaml, const struct brick_yaml_node *node,
                          const char *format, ...) BRICK_PRINTF(3, 4);

/* How many mistakes there are. */
size_t brick_yaml_mistakes(const struct brick_yaml *yaml);

/*
 * The index-th of the first 20 by place, as one line: "file:line:col: path: reason". NULL: past the
 * end. Valid until a mistake is added.
 */
const char *brick_yaml_mistake(const struct brick_yaml *yaml, size_t index);

#ifdef __cplusplus
}
#endif
