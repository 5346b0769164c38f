/* SPDX-License-Identifier: MIT */
#include "conf/document.h"

#include <stddef.h>
#include <string.h>

#include "conf/diag.h"
#include "util/arena.h"
#include "util/utf8.h"

/* Of all nodes and strings: more than any file that is not meant to do harm needs. */
#define DOCUMENT_SIZE_MAX ((size_t)512 * 1024 * 1024)
#define EXPANDED_MAX (1024 * 1024)

struct document {
        struct arena arena;
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

static size_t name_length(const char *s)
{
        size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");

        return s[0] >= '0' && s[0] <= '9' ? 0 : n;
}

/*
 * What the reference at s, just behind "${", stands for, and where it ends. NULL: nothing; the
 * mistake has been reported.
 */
static const char *resolve(const struct node *scalar, const char *s, const char **ret_end,
                           size_t *ret_length, struct diag *diag)
{
        _cleanup_free_ char *name = NULL;
        const char *fallback = NULL, *end, *value;
        size_t n;

        n = name_length(s);
        end = strchr(s, '}');
        if (n > 0 && strncmp(s + n, ":-", 2) == 0)
                fallback = s + n + 2;
        if (n == 0 || !end || (!fallback && s + n != end)) {
                diag_add(diag, scalar,
                         "\"${\" begins ${NAME} or ${NAME:-default}; write $${ for the characters "
                         "themselves");
                return NULL;
        }
        *ret_end = end + 1;

        name = strndup(s, n);
        value = name ? getenv(name) : NULL;
        if (fallback && (!value || value[0] == '\0')) {
                *ret_length = (size_t)(end - fallback);
                return fallback;
        }
        if (!value) {
                diag_add(diag, scalar,
                         "the environment variable %.*s is not set; ${%.*s:-default} gives a "
                         "default",
                         (int)n, s, (int)n, s);
                return NULL;
        }
        if (!utf8_valid(value, strlen(value))) {
                diag_add(diag, scalar, "the environment variable %s is not UTF-8", name);
                return NULL;
        }
        *ret_length = strlen(value);
        return value;
}

static int expand(const struct node *scalar, FILE *out, struct diag *diag)
{
        const char *s = scalar->text, *value, *next;
        size_t n;

        for (; *s; s = next) {
                value = s;
                if (s[0] != '$') {
                        n = strcspn(s, "$");
                        next = s + n;
                } else if (s[1] == '{') {
                        value = resolve(scalar, s + 2, &next, &n, diag);
                        if (!value)
                                return -EINVAL;
                } else {
                        n = 1;
                        next = s + (s[1] == '$' ? 2 : 1);
                }
                if (ftell(out) + (long)n > EXPANDED_MAX) {
                        diag_add(diag, scalar, "longer than 1 MiB with its variables replaced");
                        return -EINVAL;
                }
                (void)fwrite(value, 1, n, out);
        }
        return 0;
}

int document_expand(struct document *doc, struct node *scalar, struct diag *diag)
{
        _cleanup_free_ char *text = NULL;
        size_t length = 0;
        FILE *out;
        int r, k;

        if (!strchr(scalar->text, '$'))
                return 0;

        out = open_memstream(&text, &length);
        if (!out)
                return -ENOMEM;
        r = expand(scalar, out, diag);
        k = ferror(out);
        if (fclose(out) != 0 || k)
                return -ENOMEM;

        scalar->plain = false;
        scalar->bad = r != 0;
        if (r != 0)
                return 0;
        scalar->length = length;
        scalar->text = document_strndup(doc, text, length);
        return scalar->text ? 0 : -ENOMEM;
}
