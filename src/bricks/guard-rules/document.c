/* SPDX-License-Identifier: MIT */
#include "document.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 8  /* rules[i].tests.match[j] needs 5 */
#define KEYS_MAX 256 /* in one map: looking for duplicates is quadratic */

void problems_done(struct problems *problems)
{
        for (size_t i = 0; i < PROBLEMS_SHOWN; i++)
                free(problems->lines[i]);
        *problems = (struct problems){};
}

const char *problems_line(const struct problems *problems, size_t index)
{
        return problems->lines[index] ? problems->lines[index] : "out of memory";
}

static void print_path(FILE *f, const struct item *item)
{
        if (!item->parent)
                return;
        print_path(f, item->parent);
        if (item->key)
                fprintf(f, "%s%s", item->parent->parent ? "." : "", item->key);
        else
                fprintf(f, "[%zu]", item->index);
}

__attribute__((format(printf, 6, 0))) static void add_line(struct problems *problems,
                                                           const char *file, unsigned line,
                                                           unsigned column, const struct item *item,
                                                           const char *format, va_list args)
{
        size_t size;
        FILE *f;

        if (problems->count++ >= PROBLEMS_SHOWN)
                return;
        f = open_memstream(&problems->lines[problems->count - 1], &size);
        if (!f)
                return;
        fprintf(f, "%s:", file);
        if (line)
                fprintf(f, "%u:%u:", line, column);
        fputc(' ', f);
        if (item && item->parent) {
                print_path(f, item);
                fputs(": ", f);
        }
        vfprintf(f, format, args);
        fclose(f);
}

void problem_add(struct problems *problems, const char *file, const struct item *item,
                 const char *format, ...)
{
        va_list args;

        va_start(args, format);
        add_line(problems, file, item ? item->line : 0, item ? item->column : 0, item, format,
                 args);
        va_end(args);
}

__attribute__((format(printf, 5, 6))) static void problem_at(struct problems *problems,
                                                             const char *file, unsigned line,
                                                             unsigned column, const char *format,
                                                             ...)
{
        va_list args;

        va_start(args, format);
        add_line(problems, file, line, column, NULL, format, args);
        va_end(args);
}

struct item *item_free(struct item *item)
{
        if (!item)
                return NULL;
        for (size_t i = 0; i < item->n; i++)
                item_free(item->children[i]);
        free(item->children);
        free(item->text);
        free(item->key);
        free(item);
        return NULL;
}

const struct item *item_get(const struct item *map, const char *key)
{
        if (!map || map->kind != ITEM_MAP)
                return NULL;
        for (size_t i = 0; i < map->n; i++)
                if (strcmp(map->children[i]->key, key) == 0)
                        return map->children[i];
        return NULL;
}

bool item_is(const struct item *item, const char *text)
{
        return item && item->kind == ITEM_SCALAR && item->length == strlen(text) &&
               memcmp(item->text, text, item->length) == 0;
}

/* What the events of one file are turned into, and where that has got to. */
struct reader {
        const char *file;
        struct problems *problems;
        struct item *root;
        struct item *open; /* the list or map whose children come now */
        char *key;         /* of the child that comes now */
        unsigned depth;
};

static int no_memory(struct reader *reader)
{
        problem_at(reader->problems, reader->file, 0, 0, "out of memory");
        return -1;
}

static int refuse(struct reader *reader, const yaml_mark_t *mark, const char *why)
{
        problem_at(reader->problems, reader->file, (unsigned)mark->line + 1,
                   (unsigned)mark->column + 1, "%s", why);
        return -1;
}

/* Hangs an item into the tree. The tree owns it then, and also if it fails. */
static int attach(struct reader *reader, struct item *item)
{
        struct item *parent = reader->open;

        item->parent = parent;
        item->key = reader->key;
        reader->key = NULL;
        if (!parent) {
                reader->root = item;
                return 0;
        }
        if (parent->n == parent->allocated) {
                size_t n = parent->allocated ? parent->allocated * 2 : 8;
                struct item **children = reallocarray(parent->children, n, sizeof *children);

                if (!children) {
                        item_free(item);
                        return no_memory(reader);
                }
                parent->children = children;
                parent->allocated = n;
        }
        item->index = parent->n;
        parent->children[parent->n++] = item;
        return 0;
}

static int add(struct reader *reader, enum item_kind kind, const yaml_event_t *event)
{
        struct item *item = calloc(1, sizeof *item);
        int r;

        if (!item)
                return no_memory(reader);
        item->kind = kind;
        item->line = (unsigned)event->start_mark.line + 1;
        item->column = (unsigned)event->start_mark.column + 1;
        if (kind == ITEM_SCALAR) {
                item->length = event->data.scalar.length;
                item->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
                item->text = malloc(item->length + 1);
                if (!item->text) {
                        free(item);
                        return no_memory(reader);
                }
                memcpy(item->text, event->data.scalar.value, item->length + 1);
        }
        r = attach(reader, item);
        if (r < 0 || kind == ITEM_SCALAR)
                return r;
        if (++reader->depth > DEPTH_MAX)
                return refuse(reader, &event->start_mark, "nested too deep");
        reader->open = item;
        return 0;
}

/* The next key of the open map. */
static int add_key(struct reader *reader, const yaml_event_t *event)
{
        const char *key;

        if (event->type != YAML_SCALAR_EVENT)
                return refuse(reader, &event->start_mark, "a key must be a single word");
        key = (const char *)event->data.scalar.value;
        if (strlen(key) != event->data.scalar.length)
                return refuse(reader, &event->start_mark, "a key must not contain a NUL byte");
        if (item_get(reader->open, key))
                problem_at(reader->problems, reader->file, (unsigned)event->start_mark.line + 1,
                           (unsigned)event->start_mark.column + 1, "the key '%s' is here twice",
                           key);
        if (reader->open->n == KEYS_MAX)
                return refuse(reader, &event->start_mark, "too many keys in one map");
        reader->key = strdup(key);
        return reader->key ? 0 : no_memory(reader);
}

static int close_item(struct reader *reader)
{
        /* The tree is ours to change while it is being built; readers get it const. */
        reader->open = (struct item *)reader->open->parent;
        reader->depth--;
        return 0;
}

static bool is_decorated(const yaml_event_t *event)
{
        switch (event->type) {
        case YAML_SCALAR_EVENT:
                return event->data.scalar.anchor || event->data.scalar.tag;
        case YAML_SEQUENCE_START_EVENT:
                return event->data.sequence_start.anchor || event->data.sequence_start.tag;
        case YAML_MAPPING_START_EVENT:
                return event->data.mapping_start.anchor || event->data.mapping_start.tag;
        default:
                return event->type == YAML_ALIAS_EVENT;
        }
}

/* 1: the end of the file; 0: go on; -1: problems say why not. */
static int take(struct reader *reader, const yaml_event_t *event)
{
        if (is_decorated(event))
                return refuse(reader, &event->start_mark,
                              "anchors, aliases and tags have no meaning in a rule file");
        if (event->type == YAML_DOCUMENT_START_EVENT && reader->root)
                return refuse(reader, &event->start_mark, "a second document in one file");
        if (reader->open && reader->open->kind == ITEM_MAP && !reader->key &&
            event->type != YAML_MAPPING_END_EVENT)
                return add_key(reader, event);

        switch (event->type) {
        case YAML_SCALAR_EVENT:
                return add(reader, ITEM_SCALAR, event);
        case YAML_SEQUENCE_START_EVENT:
                return add(reader, ITEM_LIST, event);
        case YAML_MAPPING_START_EVENT:
                return add(reader, ITEM_MAP, event);
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
                return close_item(reader);
        case YAML_STREAM_END_EVENT:
                return 1;
        default:
                return 0;
        }
}

/* The reader's errors have an offset but no mark. */
static unsigned line_of(const char *bytes, size_t length, size_t offset)
{
        unsigned line = 1;

        for (size_t i = 0; i < offset && i < length; i++)
                line += bytes[i] == '\n';
        return line;
}

static int syntax_error(struct reader *reader, const yaml_parser_t *parser, const char *bytes,
                        size_t length)
{
        switch (parser->error) {
        case YAML_MEMORY_ERROR:
                return no_memory(reader);
        case YAML_READER_ERROR:
                problem_at(reader->problems, reader->file,
                           line_of(bytes, length, parser->problem_offset), 1, "not UTF-8: %s",
                           parser->problem);
                return -1;
        default:
                return refuse(reader, &parser->problem_mark, parser->problem);
        }
}

struct item *document_parse(const char *file, const char *bytes, size_t length,
                            struct problems *problems)
{
        struct reader reader = { .file = file, .problems = problems };
        size_t before = problems->count;
        yaml_parser_t parser;
        yaml_event_t event;
        int r = 0;

        if (!yaml_parser_initialize(&parser)) {
                no_memory(&reader);
                return NULL;
        }
        yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, length);
        while (r == 0) {
                if (!yaml_parser_parse(&parser, &event)) {
                        r = syntax_error(&reader, &parser, bytes, length);
                        break;
                }
                r = take(&reader, &event);
                yaml_event_delete(&event);
        }
        yaml_parser_delete(&parser);
        free(reader.key);
        if (r == 1 && !reader.root)
                problem_at(problems, file, 0, 0, "the file is empty");
        if (problems->count > before)
                return item_free(reader.root);
        return reader.root;
}
