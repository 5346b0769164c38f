/* SPDX-License-Identifier: MIT */
#include "conf/document.h"

#include <stddef.h>
#include <string.h>

#include "util/arena.h"

/* For all nodes and strings. Only a file made to exhaust memory needs more. */
#define DOCUMENT_SIZE_MAX ((size_t)512 * 1024 * 1024)

struct pattern {
        struct pattern *next;
        const char *text;
        regex_t regex;
};

struct document {
        struct arena arena;
        struct pattern *patterns;
};

int document_new(struct document **ret)
{
        struct document *doc;

        doc = calloc(1, sizeof *doc);
        if (!doc)
                return -ENOMEM;
        arena_init(&doc->arena, DOCUMENT_SIZE_MAX);
        *ret = doc;
        return 0;
}

struct document *document_free(struct document *doc)
{
        if (!doc)
                return NULL;
        document_drop_patterns(doc);
        arena_done(&doc->arena);
        free(doc);
        return NULL;
}

void *document_alloc(struct document *doc, size_t size)
{
        void *p;

        p = arena_alloc(&doc->arena, size, _Alignof(max_align_t));
        return p ? memset(p, 0, size) : NULL;
}

char *document_strndup(struct document *doc, const char *s, size_t length)
{
        return arena_strndup(&doc->arena, s, length);
}

const char *document_path(struct document *doc, const char *base, const char *path)
{
        _cleanup_free_ char *joined = NULL;

        if (path[0] == '/')
                return document_strndup(doc, path, strlen(path));
        if (asprintf(&joined, "%s/%s", base, path) < 0) {
                joined = NULL;
                return NULL;
        }
        return document_strndup(doc, joined, strlen(joined));
}

struct node *document_node(struct document *doc, const struct node *place, enum node_kind kind)
{
        struct node *node;

        node = document_alloc(doc, sizeof *node);
        if (!node)
                return NULL;
        node->kind = kind;
        node->line = place->line;
        node->column = place->column;
        node->parent = place->parent;
        node->key = place->key;
        node->key_line = place->key_line;
        node->key_column = place->key_column;
        node->index = place->index;
        return node;
}

struct node *document_copy(struct document *doc, const struct node *node)
{
        struct node *copy;

        copy = document_alloc(doc, sizeof *copy);
        if (copy)
                *copy = *node;
        return copy;
}

const regex_t *document_pattern(struct document *doc, const char *pattern)
{
        struct pattern *p;

        for (p = doc->patterns; p; p = p->next)
                if (p->text == pattern)
                        return &p->regex;
        p = calloc(1, sizeof *p);
        if (!p)
                return NULL;
        if (regcomp(&p->regex, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
                free(p);
                return NULL;
        }
        p->text = pattern;
        p->next = doc->patterns;
        doc->patterns = p;
        return &p->regex;
}

void document_drop_patterns(struct document *doc)
{
        struct pattern *p;

        while ((p = doc->patterns)) {
                doc->patterns = p->next;
                regfree(&p->regex);
                free(p);
        }
}
