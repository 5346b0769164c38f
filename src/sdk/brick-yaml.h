/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reads YAML files of a brick, such as rules or word lists, as brickd reads its configuration: all
 * mistakes are reported at once, each with its place.
 *
 *   /etc/brickd/words.yaml:12:9: words[3].weight: expected a number
 *
 * A file is one document in UTF-8 with maps, lists, scalars, anchors and aliases, but without tags
 * and merge keys. It has at most 16 MiB, 100000 values (each use of an alias counts) and 64 levels.
 * A $ has no special meaning: environment variables are not replaced.
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
 * Any thread, but one at a time for each file. It is a static library of its own; pkg-config knows
 * it as brickd-yaml.
 */

#include <stddef.h>

#include "brick.h"

#ifdef __cplusplus
extern "C" {
#endif

struct brick_yaml;      /* a file: its nodes and its mistakes */
struct brick_yaml_node; /* owned by the file and freed with it, like all strings below */

enum brick_yaml_kind {
        BRICK_YAML_SCALAR = 1,
        BRICK_YAML_LIST,
        BRICK_YAML_MAP,
};

/* name: the file's name for messages; copied. 0 or -ENOMEM. */
int brick_yaml_new(struct brick_yaml **ret, const char *name);
void brick_yaml_free(struct brick_yaml *yaml); /* takes NULL */

/*
 * Parses the text of the file; call it once. bytes may be freed afterwards. NULL: it is not YAML,
 * or out of memory; the mistakes say which. Otherwise it returns the root. There may still be
 * mistakes, such as a duplicate key; the brick then goes on to check for its own. An empty file is
 * a scalar.
 */
const struct brick_yaml_node *brick_yaml_parse(struct brick_yaml *yaml, const char *bytes,
                                               size_t length);

/* All functions of nodes accept NULL, which has no kind (0), no children, no key and no text. */
enum brick_yaml_kind brick_yaml_kind(const struct brick_yaml_node *node);

/* The children of a list or a map, in the file's order. NULL: past the end. */
size_t brick_yaml_size(const struct brick_yaml_node *node);
const struct brick_yaml_node *brick_yaml_at(const struct brick_yaml_node *node, size_t index);

/* NULL: not a map, or no such key. */
const struct brick_yaml_node *brick_yaml_get(const struct brick_yaml_node *map, const char *key);

/* The key of a child of a map. NULL: the node is not in a map. */
const char *brick_yaml_key(const struct brick_yaml_node *node);

/* The text of a scalar, in UTF-8; "" if it is empty. NULL: not a scalar. */
const char *brick_yaml_text(const struct brick_yaml_node *node);

/* Whether the scalar is not quoted, so that it may be a number, a boolean or null. */
int brick_yaml_plain(const struct brick_yaml_node *node);

/*
 * Adds a mistake at a node, with its place and path; brick_yaml_blame_key() at the key of a child
 * of a map. NULL: a mistake of the whole file. Does nothing if brick_yaml_parse() has already
 * reported a mistake of this node.
 */
void brick_yaml_blame(struct brick_yaml *yaml, const struct brick_yaml_node *node,
                      const char *format, ...) BRICK_PRINTF(3, 4);
void brick_yaml_blame_key(struct brick_yaml *yaml, const struct brick_yaml_node *node,
                          const char *format, ...) BRICK_PRINTF(3, 4);

/* The number of mistakes. */
size_t brick_yaml_mistakes(const struct brick_yaml *yaml);

/*
 * A mistake as one line, "file:line:col: path: reason"; index counts the first 20 in the order of
 * places. NULL: past the end. Valid until a mistake is added.
 */
const char *brick_yaml_mistake(const struct brick_yaml *yaml, size_t index);

#ifdef __cplusplus
}
#endif
