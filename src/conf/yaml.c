/* SPDX-License-Identifier: MIT */
#include "conf/yaml.h"

#include <stdint.h>
#include <string.h>
#include <yaml.h>

#include "conf/diag.h"
#include "conf/document.h"
#include "conf/option.h"
#include "conf/text.h"

/* Limits of the values and of their text. An alias counts as all of its anchor. */
#define VALUES_MAX 100000
#define TEXT_MAX (32U << 20)
#define ANCHORS_MAX 1000
#define DIRECTIVES_MAX 100
#define ANCHOR_MAX 64 /* bytes of its name */

/* A list or a map that is still open. */
struct frame {
        struct node *node;
        size_t first;   /* its children start here in loader.pending */
        ssize_t anchor; /* the anchor that it defines; -1: none */

        /* the key of the next value of a map; NULL: a key comes next */
        const char *key;
        unsigned key_line;
        unsigned key_column;
};

struct anchor {
        const char *name;
        size_t length;
        const struct node *node; /* NULL: not read to its end yet */
};

struct loader {
        yaml_parser_t parser;
        struct document *doc;
        struct diag *diag;
        const char *bytes;
        size_t length;
        bool expand; /* replace variables */

        struct frame frames[DOCUMENT_DEPTH_MAX];
        size_t depth;

        const struct node **pending;
        size_t n_pending;
        size_t n_allocated;

        struct anchor anchors[ANCHORS_MAX];
        size_t n_anchors;

        size_t n_values;
        size_t n_text; /* bytes of their texts and keys */
        struct node *root;
};

static struct loader *loader_free(struct loader *loader)
{
        if (!loader)
                return NULL;
        yaml_parser_delete(&loader->parser);
        free(loader->pending);
        free(loader);
        return NULL;
}
DEFINE_CLEANUP(struct loader *, loader_free);

static void event_done(yaml_event_t *event)
{
        yaml_event_delete(event);
}

/* The byte at a mark, whose index counts characters; "" at the end of the file. */
static const char *at_mark(const struct loader *loader, const yaml_mark_t *mark)
{
        const char *s = loader->bytes, *end = s + loader->length;

        for (size_t i = 0; i < mark->index && s < end; i++)
                do
                        s++;
                while (s < end && ((unsigned char)*s & 0xc0) == 0x80);
        return s < end ? s : "";
}

/* The message for libyaml's error: a clearer one if there is one. */
static const char *explain(const struct loader *loader)
{
        static const struct {
                const char *problem;
                const char *words;
        } table[] = {
                { "did not find expected key",
                  "expected a key or the end of the map: is this line indented like the others?" },
                { "did not find expected '-' indicator",
                  "expected \"- \" or the end of the list: is this line indented like the "
                  "others?" },
                { "mapping values are not allowed in this context",
                  "\": \" is not allowed here: quote the value, or correct the indentation" },
                { "block sequence entries are not allowed in this context",
                  "\"- \" is not allowed here: start a list on a line of its own" },
                { "could not find expected ':'", "expected \": \" after the key" },
                { "found unexpected end of stream", "the file ends inside a quoted text" },
                { "did not find expected ',' or '}'", "expected \",\" or \"}\"" },
                { "did not find expected ',' or ']'", "expected \",\" or \"]\"" },
        };
        const char *problem = loader->parser.problem ? loader->parser.problem : "not YAML";
        const char *s = at_mark(loader, &loader->parser.problem_mark);

        if (loader->expand && s[0] == '{' && s > loader->bytes && s[-1] == '$')
                return "inside { } and [ ], quote a value that contains ${...}";
        if (strcmp(problem, "found character that cannot start any token") == 0)
                return s[0] == '\t' ? "indent with spaces, not with tabs"
                                    : "a value must not start with this character; quote the value";
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(problem, table[i].problem) == 0)
                        return table[i].words;
        return problem;
}

/* Adds a mistake at a mark. */
#define blame(loader, mark, ...)                                                              \
        diag_add_at((loader)->diag, (unsigned)(mark)->line + 1, (unsigned)(mark)->column + 1, \
                    __VA_ARGS__)

static int syntax_error(struct loader *loader)
{
        const yaml_parser_t *parser = &loader->parser;

        if (parser->error == YAML_MEMORY_ERROR)
                return -ENOMEM;
        if (parser->context && parser->context_mark.line != parser->problem_mark.line)
                blame(loader, &parser->problem_mark, "%s (%s from line %zu)", explain(loader),
                      parser->context, parser->context_mark.line + 1);
        else
                blame(loader, &parser->problem_mark, "%s", explain(loader));
        return -EINVAL;
}

static struct frame *top(struct loader *loader)
{
        return loader->depth > 0 ? &loader->frames[loader->depth - 1] : NULL;
}

static bool wants_key(struct loader *loader)
{
        struct frame *frame = top(loader);

        return frame && frame->node->kind == NODE_MAP && !frame->key;
}

static int count_value(struct loader *loader, const yaml_event_t *event)
{
        if (loader->n_values++ < VALUES_MAX)
                return 0;
        blame(loader, &event->start_mark,
              "more than %d values; every alias counts as all values of its anchor", VALUES_MAX);
        return -EINVAL;
}

static int count_text(struct loader *loader, const yaml_event_t *event, size_t length)
{
        loader->n_text += length;
        if (loader->n_text <= TEXT_MAX)
                return 0;
        blame(loader, &event->start_mark, "more than %u MiB of text, each use of an alias counted",
              TEXT_MAX >> 20);
        return -EINVAL;
}

static int push_pending(struct loader *loader, const struct node *node)
{
        const struct node **pending;
        size_t n;

        if (loader->n_pending == loader->n_allocated) {
                n = loader->n_allocated ? loader->n_allocated * 2 : 64;
                pending = reallocarray(loader->pending, n, sizeof pending[0]);
                if (!pending)
                        return -ENOMEM;
                loader->pending = pending;
                loader->n_allocated = n;
        }
        loader->pending[loader->n_pending++] = node;
        return 0;
}

/* Adds a value to the open list or map. A list or a map is added when it begins. */
static int attach(struct loader *loader, struct node *node)
{
        struct frame *frame = top(loader);

        if (!frame) {
                loader->root = node;
                return 0;
        }
        node->parent = frame->node;
        if (frame->node->kind == NODE_LIST) {
                node->index = loader->n_pending - frame->first;
                return push_pending(loader, node);
        }
        node->key = frame->key;
        node->key_line = frame->key_line;
        node->key_column = frame->key_column;
        frame->key = NULL;
        if (strcmp(node->key, "<<") == 0) {
                diag_add_key(loader->diag, node,
                             "merge keys are not supported; write the keys out, or use an alias "
                             "for the whole map");
                return 0;
        }
        return push_pending(loader, node);
}

static int new_node(struct loader *loader, const yaml_event_t *event, enum node_kind kind,
                    struct node **ret)
{
        const struct node place = { .line = (unsigned)event->start_mark.line + 1,
                                    .column = (unsigned)event->start_mark.column + 1 };
        int r;

        r = count_value(loader, event);
        if (r < 0)
                return r;
        *ret = document_node(loader->doc, &place, kind);
        return *ret ? 0 : -ENOMEM;
}

static void check_tag(struct loader *loader, const yaml_event_t *event, const yaml_char_t *tag)
{
        if (tag)
                blame(loader, &event->start_mark, "tags such as %s are not supported",
                      (const char *)tag);
}

static int define_anchor(struct loader *loader, const yaml_event_t *event, const yaml_char_t *name,
                         const struct node *node)
{
        struct anchor *anchor;

        if (!name)
                return 0;
        if (loader->n_anchors == ANCHORS_MAX) {
                blame(loader, &event->start_mark, "more than %d anchors", ANCHORS_MAX);
                return -EINVAL;
        }
        anchor = &loader->anchors[loader->n_anchors];
        anchor->length = strlen((char *)name);
        if (anchor->length > ANCHOR_MAX) {
                blame(loader, &event->start_mark, "the name of an anchor is longer than %d bytes",
                      ANCHOR_MAX);
                return -EINVAL;
        }
        anchor->name = document_strndup(loader->doc, (char *)name, anchor->length);
        if (!anchor->name)
                return -ENOMEM;
        anchor->node = node;
        loader->n_anchors++;
        return 0;
}

static int on_key(struct loader *loader, const yaml_event_t *event)
{
        const char *text = (const char *)event->data.scalar.value;
        size_t length = event->data.scalar.length;
        struct frame *frame = top(loader);

        check_tag(loader, event, event->data.scalar.tag);
        if (event->data.scalar.anchor || memchr(text, '\0', length)) {
                blame(loader, &event->start_mark,
                      "a key must not have an anchor or a NUL character");
                return -EINVAL;
        }
        frame->key = document_strndup(loader->doc, text, length);
        frame->key_line = (unsigned)event->start_mark.line + 1;
        frame->key_column = (unsigned)event->start_mark.column + 1;
        return frame->key ? 0 : -ENOMEM;
}

static int on_scalar(struct loader *loader, const yaml_event_t *event)
{
        size_t length = event->data.scalar.length;
        struct node *node;
        int r;

        if (wants_key(loader))
                return on_key(loader, event);

        check_tag(loader, event, event->data.scalar.tag);
        r = new_node(loader, event, NODE_SCALAR, &node);
        if (r < 0)
                return r;
        node->text = document_strndup(loader->doc, (char *)event->data.scalar.value, length);
        if (!node->text)
                return -ENOMEM;
        node->length = length;
        node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        r = attach(loader, node);
        if (r < 0)
                return r;
        r = define_anchor(loader, event, event->data.scalar.anchor, node);
        if (r < 0)
                return r;
        if (strlen(node->text) != length) {
                diag_add(loader->diag, node, "contains a NUL character");
                node->bad = true;
                return 0;
        }
        if (loader->expand) {
                r = text_expand(loader->doc, node, loader->diag);
                if (r < 0)
                        return r;
        }
        return count_text(loader, event, node->length);
}

static int on_begin(struct loader *loader, const yaml_event_t *event, enum node_kind kind,
                    const yaml_char_t *anchor, const yaml_char_t *tag)
{
        struct node *node;
        int r;

        if (wants_key(loader)) {
                blame(loader, &event->start_mark, "a key must be a scalar, not a list or a map");
                return -EINVAL;
        }
        if (loader->depth == DOCUMENT_DEPTH_MAX) {
                blame(loader, &event->start_mark, "nested deeper than %d levels",
                      DOCUMENT_DEPTH_MAX);
                return -EINVAL;
        }
        check_tag(loader, event, tag);
        r = new_node(loader, event, kind, &node);
        if (r < 0)
                return r;
        r = attach(loader, node);
        if (r < 0)
                return r;
        r = define_anchor(loader, event, anchor, NULL);
        if (r < 0)
                return r;
        loader->frames[loader->depth++] = (struct frame){
                .node = node,
                .first = loader->n_pending,
                .anchor = anchor ? (ssize_t)loader->n_anchors - 1 : -1,
        };
        return 0;
}

static int by_key(const void *a, const void *b)
{
        const struct node *const *left = a, *const *right = b;
        int r;

        r = strcmp((*left)->key, (*right)->key);
        if (r != 0)
                return r;
        if ((*left)->key_line != (*right)->key_line)
                return (*left)->key_line < (*right)->key_line ? -1 : 1;
        return (*left)->key_column < (*right)->key_column ? -1 : 1;
}

static int check_duplicates(struct loader *loader, const struct node *map)
{
        _cleanup_free_ const struct node **sorted = NULL;
        size_t first = 0;

        sorted = reallocarray(NULL, map->n_children + 1, sizeof sorted[0]);
        if (!sorted)
                return -ENOMEM;
        if (map->n_children > 0)
                memcpy(sorted, map->children, map->n_children * sizeof sorted[0]);
        qsort(sorted, map->n_children, sizeof sorted[0], by_key);
        for (size_t i = 1; i < map->n_children; i++)
                if (strcmp(sorted[i]->key, sorted[first]->key) == 0)
                        diag_add_key(loader->diag, sorted[i],
                                     "duplicate key; the first is on line %u",
                                     sorted[first]->key_line);
                else
                        first = i;
        return 0;
}

static int on_end(struct loader *loader)
{
        struct frame *frame = &loader->frames[--loader->depth];
        struct node *node = frame->node;
        size_t n = loader->n_pending - frame->first;

        node->children = document_alloc(loader->doc, (n + 1) * sizeof node->children[0]);
        if (!node->children)
                return -ENOMEM;
        if (n > 0)
                memcpy(node->children, loader->pending + frame->first,
                       n * sizeof node->children[0]);
        node->n_children = n;
        loader->n_pending = frame->first;
        if (frame->anchor >= 0)
                loader->anchors[frame->anchor].node = node;
        return node->kind == NODE_MAP ? check_duplicates(loader, node) : 0;
}

/* A deep copy of an anchor's value for one alias: each node needs a parent and a path of its own.
 */
static int copy_tree(struct loader *loader, const yaml_event_t *event, const struct node *node,
                     const struct node *parent, size_t depth, struct node **ret)
{
        struct node *copy, *child;
        int r;

        if (depth > DOCUMENT_DEPTH_MAX) {
                blame(loader, &event->start_mark, "nested deeper than %d levels",
                      DOCUMENT_DEPTH_MAX);
                return -EINVAL;
        }
        r = count_value(loader, event);
        if (r < 0)
                return r;
        copy = document_copy(loader->doc, node);
        if (!copy)
                return -ENOMEM;
        copy->parent = parent;
        *ret = copy;
        /* The copy itself has the key of the alias, its children have copied keys. */
        r = count_text(loader, event, node->length + (parent && node->key ? strlen(node->key) : 0));
        if (r < 0 || node->kind == NODE_SCALAR)
                return r;

        copy->children = document_alloc(loader->doc, (node->n_children + 1) * sizeof(void *));
        if (!copy->children)
                return -ENOMEM;
        for (size_t i = 0; i < node->n_children; i++) {
                r = copy_tree(loader, event, node->children[i], copy, depth + 1, &child);
                if (r < 0)
                        return r;
                copy->children[i] = child;
        }
        return 0;
}

static const struct anchor *find_anchor(const struct loader *loader, const char *name)
{
        const size_t length = strlen(name);

        for (size_t i = loader->n_anchors; i > 0; i--)
                if (loader->anchors[i - 1].length == length &&
                    memcmp(loader->anchors[i - 1].name, name, length) == 0)
                        return &loader->anchors[i - 1];
        return NULL;
}

static int on_alias(struct loader *loader, const yaml_event_t *event)
{
        const char *name = (const char *)event->data.alias.anchor;
        const struct anchor *anchor = find_anchor(loader, name);
        struct node *node;
        int r;

        if (wants_key(loader)) {
                blame(loader, &event->start_mark, "a key cannot be an alias");
                return -EINVAL;
        }
        if (!anchor || !anchor->node) {
                r = new_node(loader, event, NODE_SCALAR, &node);
                if (r < 0)
                        return r;
                blame(loader, &event->start_mark,
                      anchor ? "*%s is inside the value of its own anchor"
                             : "there is no anchor &%s before this alias",
                      name);
                node->text = "";
                node->bad = true;
                return attach(loader, node);
        }
        r = copy_tree(loader, event, anchor->node, NULL, loader->depth, &node);
        if (r < 0)
                return r;
        node->key = NULL;
        node->line = (unsigned)event->start_mark.line + 1;
        node->column = (unsigned)event->start_mark.column + 1;
        return attach(loader, node);
}

/* 0; 1: end of the stream; a negative errno. */
static int on_event(struct loader *loader, const yaml_event_t *event)
{
        switch (event->type) {
        case YAML_DOCUMENT_START_EVENT:
                if (!loader->root)
                        return 0;
                blame(loader, &event->start_mark,
                      "a second document starts here; only one is allowed");
                return -EINVAL;
        case YAML_SCALAR_EVENT:
                return on_scalar(loader, event);
        case YAML_ALIAS_EVENT:
                return on_alias(loader, event);
        case YAML_SEQUENCE_START_EVENT:
                return on_begin(loader, event, NODE_LIST, event->data.sequence_start.anchor,
                                event->data.sequence_start.tag);
        case YAML_MAPPING_START_EVENT:
                return on_begin(loader, event, NODE_MAP, event->data.mapping_start.anchor,
                                event->data.mapping_start.tag);
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
                return on_end(loader);
        case YAML_STREAM_END_EVENT:
                return 1;
        default:
                return 0;
        }
}

/* Limits the %TAG directives: libyaml compares each with all before it. A directive follows a line
 * break, so the byte before it is the last of one; text that only looks like a directive counts as
 * well. */
static bool check_directives(const struct loader *loader)
{
        static const char tag[] = "%TAG", breaks[] = "\n\r\x85\xa8\xa9";
        const char *s = loader->bytes, *end = s + loader->length;
        unsigned n = 0;

        while ((s = memmem(s, (size_t)(end - s), tag, strlen(tag)))) {
                n += s == loader->bytes || strchr(breaks, s[-1]) != NULL;
                if (n > DIRECTIVES_MAX) {
                        diag_add(loader->diag, NULL, "more than %d lines begin with %s",
                                 DIRECTIVES_MAX, tag);
                        return false;
                }
                s += strlen(tag);
        }
        return true;
}

static int load(struct loader *loader)
{
        yaml_parser_set_encoding(&loader->parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&loader->parser, (const unsigned char *)loader->bytes,
                                     loader->length);
        for (;;) {
                _cleanup_(event_done) yaml_event_t event = {};
                int r;

                if (!yaml_parser_parse(&loader->parser, &event))
                        return syntax_error(loader);
                r = on_event(loader, &event);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
}

static int parse(struct document *doc, const char *bytes, size_t length, bool expand,
                 struct diag *diag, struct node **ret)
{
        _cleanup_(loader_freep) struct loader *loader = NULL;
        const struct node start = { .line = 1, .column = 1 };
        int r;

        if (!text_check(bytes, length, diag))
                return -EINVAL;
        text_skip_bom(&bytes, &length);

        loader = calloc(1, sizeof *loader);
        if (!loader || !yaml_parser_initialize(&loader->parser))
                return -ENOMEM;
        loader->doc = doc;
        loader->diag = diag;
        loader->bytes = bytes;
        loader->length = length;
        loader->expand = expand;
        if (!check_directives(loader))
                return -EINVAL;
        r = load(loader);
        if (r < 0)
                return r;

        if (!loader->root) {
                loader->root = document_node(doc, &start, NODE_SCALAR);
                if (!loader->root)
                        return -ENOMEM;
                loader->root->text = "";
                loader->root->plain = true;
        }
        *ret = loader->root;
        return 0;
}

int yaml_parse(struct document *doc, const char *bytes, size_t length, struct diag *diag,
               struct node **ret)
{
        return parse(doc, bytes, length, true, diag, ret);
}

int yaml_parse_verbatim(struct document *doc, const char *bytes, size_t length, struct diag *diag,
                        struct node **ret)
{
        return parse(doc, bytes, length, false, diag, ret);
}
