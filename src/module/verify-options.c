/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "conf/names.h"
#include "conf/value.h"
#include "module/verify.h"
#include "util/arena.h"
#include "util/cleanup.h"

/* The size of an option in the first release of the ABI: that of a module is not smaller. */
#define OPTION_SIZE_MIN (offsetof(struct brick_option, flags) + sizeof(uint32_t))

/* Bounds the search for the end of a table that has none. */
#define OPTIONS_MAX 256

/* The tables of one module, each counted once however many options name it. */
#define TABLES_MAX 64

/* The keys of a map, or the one option that the items of a list are like. */
struct table {
        struct table *next;
        const void *given; /* as the module has it */
        bool is_item;
        unsigned seen; /* the last search that came here */
        size_t n;
        struct option_spec specs[];
};

struct reader {
        const struct brick_module *brick;
        const char *path;
        struct arena *arena;
        char **ret_why;
        struct table *tables;
        unsigned n_tables;
        unsigned searches;
        char where[256]; /* the option that is read, such as steps[].brick */
};

/* A table of a module built with a shorter struct lacks the members at the end: they are 0. */
static struct brick_option option_at(const struct reader *reader, const void *table, size_t index)
{
        size_t size = reader->brick->option_size;
        struct brick_option option = {};

        memcpy(&option, (const char *)table + index * size,
               size < sizeof option ? size : sizeof option);
        return option;
}

static bool in_range(const struct brick_option *option, double value)
{
        return option->min >= option->max ||
               (value >= (double)option->min && value <= (double)option->max);
}

/* Only scalars: a list or a map is checked when it stands in for what a file omits. */
static bool fallback_valid(const struct brick_option *option)
{
        int64_t value = 0;
        double real = 0;
        bool truth;
        int r = 0;

        switch (option->type) {
        case BRICK_INT:
                r = value_parse_int(option->fallback, &value);
                real = (double)value;
                break;
        case BRICK_FLOAT:
                r = value_parse_float(option->fallback, &real);
                break;
        case BRICK_DURATION:
                r = value_parse_duration(option->fallback, &value);
                real = (double)value;
                break;
        case BRICK_SIZE:
                r = value_parse_size(option->fallback, &value);
                real = (double)value;
                break;
        case BRICK_BOOL:
                return value_parse_bool(option->fallback, &truth) == 0;
        case BRICK_ENUM:
                return value_parse_choice(option->fallback, option->choices) >= 0;
        case BRICK_SECRET:
        case BRICK_TARGET:
                return false;
        default:
                return true;
        }
        return r == 0 && in_range(option, real);
}

static bool is_name(const char *s)
{
        return s[0] && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

static const char *fallback_fault(const struct brick_option *option, bool is_item)
{
        if (!option->fallback)
                return NULL;
        if (is_item)
                return "an item of a list has no fallback";
        if (option->flags & BRICK_OPTION_REQUIRED)
                return "it is required and has a fallback";
        if (!fallback_valid(option))
                return option->type == BRICK_ENUM ? "its fallback is none of its choices"
                                                  : "its fallback is no value for it";
        return NULL;
}

static const char *items_fault(const struct brick_option *option)
{
        if (option->items && option->type != BRICK_LIST && option->type != BRICK_MAP)
                return "only a list or a map has items";
        if (option->flags & BRICK_OPTION_ONE_OR_MORE &&
            (option->type != BRICK_LIST || !option->items))
                return "only a list with items can be one or more";
        return NULL;
}

/* What is wrong with an option, as far as it shows without the others; NULL: nothing. */
static const char *option_fault(const struct brick_option *option, bool is_item)
{
        const char *fault;

        if (!is_item && !is_name(option->name))
                return "its name is not made of lower-case letters, digits and _";
        if (!verify_text(option->summary) || !verify_text(option->fallback) ||
            !verify_text(option->choices))
                return "one of its texts is not UTF-8";
        if (option->type < BRICK_STRING || option->type > BRICK_PATH)
                return "this brickd does not know its type";
        if (option->flags & ~(uint32_t)(BRICK_OPTION_REQUIRED | BRICK_OPTION_ONE_OR_MORE))
                return "this brickd does not know its flags";
        if (option->type == BRICK_ENUM && (!option->choices || !option->choices[0]))
                return "it has no choices";
        fault = items_fault(option);
        return fault ? fault : fallback_fault(option, is_item);
}

/* The option `type` of a brick of any type: which ones it can be. */
static bool type_option_valid(const struct brick_option *option)
{
        const char *choices = option->choices;
        size_t n;

        if (option->type != BRICK_ENUM)
                return false;
        for (;; choices += n + 1) {
                char name[16] = "";

                n = strcspn(choices, "|");
                if (n >= sizeof name)
                        return false;
                memcpy(name, choices, n);
                if (brick_type_from_string(name) < 0)
                        return false;
                if (choices[n] == '\0')
                        return true;
        }
}

/* For `return blame(...)`: an option is wrong. */
static int blame(struct reader *reader, const char *fault)
{
        return verdict(reader->ret_why, -ENOEXEC, reader->path, "option '%s': %s", reader->where,
                       fault);
}

/* Adds a step to reader->where. Returns where to cut it off again. */
static size_t enter(struct reader *reader, const char *step)
{
        size_t n = strlen(reader->where);

        snprintf(reader->where + n, sizeof reader->where - n, "%s%s",
                 n > 0 && step[0] && step[0] != '[' ? "." : "", step);
        return n;
}

static int read_table(struct reader *reader, const void *given, bool is_item,
                      const struct option_spec **ret);

static int read_items(struct reader *reader, const struct brick_option *option,
                      const struct option_spec **ret)
{
        bool is_list = option->type == BRICK_LIST;
        size_t cut;
        int r;

        if (!option->items)
                return 0;
        cut = enter(reader, is_list ? "[]" : "");
        r = read_table(reader, option->items, is_list, ret);
        reader->where[cut] = '\0';
        return r;
}

_Static_assert((int)OPTION_STRING == BRICK_STRING && (int)OPTION_PATH == BRICK_PATH,
               "types of options are the same numbers on both sides");

static unsigned flags_of(const struct brick_option *option)
{
        return (option->flags & BRICK_OPTION_REQUIRED ? OPTION_REQUIRED : 0u) |
               (option->flags & BRICK_OPTION_ONE_OR_MORE ? OPTION_ONE_OR_MORE : 0u);
}

static int read_option(struct reader *reader, const struct table *table, size_t index,
                       struct option_spec *ret)
{
        const struct brick_option option = option_at(reader, table->given, index);
        const char *fault = option_fault(&option, table->is_item);
        bool is_top = table->given == reader->brick->options && !table->is_item;

        for (size_t i = 0; !fault && i < index; i++)
                if (strcmp(table->specs[i].name, option.name) == 0)
                        fault = "there are two of this name";
        if (!fault && is_top && reader->brick->type == BRICK_TYPE_ANY &&
            strcmp(option.name, "type") == 0 && !type_option_valid(&option))
                fault = "its choices are not all types of bricks: Common, Rectify, Intention, "
                        "Guard, LLM, Compose, Retrieval, Translate";
        if (fault)
                return blame(reader, fault);
        *ret = (struct option_spec){
                .name = option.name,
                .type = (enum option_type)option.type,
                .flags = flags_of(&option),
                .fallback = option.fallback,
                .choices = option.choices,
                .min = option.min,
                .max = option.max,
                .help = option.summary ? option.summary : "",
        };
        return read_items(reader, &option, &ret->table);
}

static int too_long(const struct reader *reader)
{
        if (!reader->where[0])
                return verdict(reader->ret_why, -ENOEXEC, reader->path,
                               "has more than %u options: is the end of the table missing?",
                               OPTIONS_MAX);
        return verdict(reader->ret_why, -ENOEXEC, reader->path,
                       "option '%s' has more than %u options: is the end of the table missing?",
                       reader->where, OPTIONS_MAX);
}

static int read_each(struct reader *reader, struct table *table)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < table->n; i++) {
                struct brick_option option = option_at(reader, table->given, i);
                size_t cut = enter(reader, table->is_item ? "" : option.name);

                r = read_option(reader, table, i, &table->specs[i]);
                reader->where[cut] = '\0';
        }
        return r;
}

static int new_table(struct reader *reader, const void *given, bool is_item, struct table **ret)
{
        struct table *table;
        size_t n = is_item ? 1 : 0, size;

        while (!is_item && option_at(reader, given, n).name)
                if (n++ == OPTIONS_MAX)
                        return too_long(reader);
        if (reader->n_tables++ == TABLES_MAX)
                return blame(reader, "the tables of options are more than 64");
        size = sizeof *table + (n + 1) * sizeof table->specs[0];
        table = arena_alloc(reader->arena, size, _Alignof(struct table));
        if (!table)
                return -ENOMEM;
        memset(table, 0, size);
        table->given = given;
        table->is_item = is_item;
        table->n = n;
        table->next = reader->tables;
        reader->tables = table;
        *ret = table;
        return 0;
}

/* A table that has been read, or is being read because it contains itself, is not read again. */
static int read_table(struct reader *reader, const void *given, bool is_item,
                      const struct option_spec **ret)
{
        struct table *table = reader->tables;
        int r;

        while (table && (table->given != given || table->is_item != is_item))
                table = table->next;
        if (!table) {
                r = new_table(reader, given, is_item, &table);
                if (r == 0)
                        r = read_each(reader, table);
                if (r < 0)
                        return r;
        }
        *ret = table->specs;
        return 0;
}

/* --- a fallback without an end ----------------------------------------------------------------
 */

static struct table *inside(const struct option_spec *spec)
{
        return (void *)((char *)spec->table - offsetof(struct table, specs));
}

static bool leads_to(struct table *table, const struct table *goal, unsigned search)
{
        if (table == goal)
                return true;
        if (table->seen == search)
                return false;
        table->seen = search;
        for (size_t i = 0; i < table->n; i++)
                if (table->specs[i].table && leads_to(inside(&table->specs[i]), goal, search))
                        return true;
        return false;
}

/* A map that a fallback makes has the fallbacks of its own table: with this one among them, it
 * would never end. */
static int verify_fallbacks(struct reader *reader)
{
        for (struct table *table = reader->tables; table; table = table->next)
                for (size_t i = 0; i < table->n; i++) {
                        const struct option_spec *spec = &table->specs[i];

                        if (!spec->table || !spec->fallback || strcmp(spec->fallback, "[]") == 0 ||
                            !leads_to(inside(spec), table, ++reader->searches))
                                continue;
                        (void)enter(reader, spec->name);
                        return blame(reader, "its fallback could contain itself");
                }
        return 0;
}

static bool has_option(const struct option_spec *table, const char *name)
{
        for (; table->name; table++)
                if (strcmp(table->name, name) == 0)
                        return true;
        return false;
}

int verify_options(const struct brick_module *brick, const char *path, struct arena *arena,
                   const struct option_spec **ret, char **ret_why)
{
        static const struct option_spec none[] = { {} };
        struct reader reader = { .brick = brick, .path = path, .arena = arena, .ret_why = ret_why };
        const struct option_spec *table = none;
        int r = 0;

        if (brick->options && (brick->option_size < OPTION_SIZE_MIN ||
                               brick->option_size % _Alignof(struct brick_option) != 0))
                return verdict(ret_why, -ENOEXEC, path,
                               "its options have %u bytes each, those of brick ABI %u.0 have %zu",
                               brick->option_size, BRICK_ABI_MAJOR, OPTION_SIZE_MIN);
        if (brick->options)
                r = read_table(&reader, brick->options, false, &table);
        if (r == 0)
                r = verify_fallbacks(&reader);
        if (r < 0)
                return r;
        if (brick->type == BRICK_TYPE_ANY && !has_option(table, "type"))
                return verdict(ret_why, -ENOEXEC, path,
                               "is of any type, but has no option 'type' to say which");
        *ret = table;
        return 0;
}
