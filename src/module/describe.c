/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "conf/names.h"
#include "conf/value.h"
#include "module/load.h"

static const char *type_of(const struct brick_module *brick)
{
        return brick->type == BRICK_TYPE_ANY ? "any: the option 'type' says which"
                                             : brick_type_to_string(brick->type);
}

static void print_methods(const struct brick_module *brick, FILE *f)
{
        const char *glue = "";

        for (unsigned i = 0; brick_method_to_string(i); i++)
                if (brick->methods & UINT32_C(1) << i) {
                        fprintf(f, "%s%s", glue, brick_method_to_string(i));
                        glue = ", ";
                }
}

void module_inspect(const struct module *module, FILE *f)
{
        const struct brick_module *brick = module->brick;

        fprintf(f, "file:     %s\n", module->path);
        fprintf(f, "name:     %s\n", brick->name);
        fprintf(f, "version:  %s\n", brick->version);
        fprintf(f, "summary:  %s\n", brick->summary);
        fprintf(f, "type:     %s\n", type_of(brick));
        fprintf(f, "methods:  ");
        print_methods(brick, f);
        fprintf(f, "\nruns:     %s\n",
                brick->flags & BRICK_FLAG_BLOCKING ? "on threads of its own (blocking)"
                                                   : "on the polling thread (must not block)");
        fprintf(f, "ABI:      built for %u.%u, needs %u.%u, this brickd speaks %u.%u\n",
                brick->abi_major, brick->abi_minor, brick->abi_major, brick->host_minor,
                BRICK_ABI_MAJOR, BRICK_ABI_MINOR);
        fprintf(f, "options:  ");
        if (!module->options[0].name)
                fprintf(f, "none");
        for (const struct option_spec *o = module->options; o->name; o++)
                fprintf(f, "%s%s", o == module->options ? "" : ", ", o->name);
        fprintf(f, "\n");
}

static const char *option_type_to_string(enum option_type type)
{
        static const char *const names[] = {
                [OPTION_STRING] = "string",
                [OPTION_INT] = "whole number",
                [OPTION_BOOL] = "true or false",
                [OPTION_FLOAT] = "number",
                [OPTION_LIST] = "list",
                [OPTION_MAP] = "map",
                [OPTION_DURATION] = "duration",
                [OPTION_SIZE] = "size",
                [OPTION_ENUM] = "one of",
                [OPTION_SECRET] = "secret",
                [OPTION_BRICK] = "name of a brick",
                [OPTION_PATH] = "path",
        };

        return names[type];
}

static void print_choices(const char *choices, FILE *f)
{
        for (; *choices; choices++)
                if (*choices == '|')
                        fputs(", ", f);
                else
                        fputc(*choices, f);
}

static void print_range(const struct option_spec *option, const char *glue, FILE *f)
{
        char min[32], max[32];

        if (option->min >= option->max)
                return;
        value_format(option->type, option->min, min, sizeof min);
        value_format(option->type, option->max, max, sizeof max);
        if (option->max == INT64_MAX)
                fprintf(f, "%sat least %s", glue, min);
        else
                fprintf(f, "%s%s to %s", glue, min, max);
}

/* A table whose options are printed, inside another one. */
struct level {
        const struct level *outer;
        const struct option_spec *table;
        const char *name; /* of the option that has it */
        int indent;
};

/* The option inside which this table is being printed; NULL: none. */
static const char *printed_in(const struct level *level, const struct option_spec *table)
{
        for (; level; level = level->outer)
                if (level->table == table)
                        return level->name;
        return NULL;
}

static void print_table(const struct level *level, FILE *f);

/* What one value is: of an option, or of a list. */
static void print_form(const struct option_spec *option, const struct level *level, FILE *f)
{
        const char *name;

        if (option->type == OPTION_LIST && option->table) {
                fprintf(f, option->flags & OPTION_ONE_OR_MORE ? "one or a list of " : "list of ");
                print_form(option->table, level, f);
                print_range(option, "; entries: ", f);
                return;
        }
        fputs(option_type_to_string(option->type), f);
        if (option->type == OPTION_ENUM) {
                fputc(' ', f);
                print_choices(option->choices, f);
        }
        print_range(option, ", ", f);
        name = option->type == OPTION_MAP ? printed_in(level, option->table) : NULL;
        if (name)
                fprintf(f, " as in %s", name);
}

/* The map whose keys belong to an option: its value, or the items of its list; NULL: none. */
static const struct option_spec *keys_of(const struct option_spec *option)
{
        while (option->type == OPTION_LIST && option->table)
                option = option->table;
        return option->type == OPTION_MAP ? option->table : NULL;
}

static void print_option(const struct option_spec *option, const struct level *level, FILE *f)
{
        const struct level inner = { level, keys_of(option), option->name, level->indent + 4 };

        fprintf(f, "%s%*s%s: ", level->outer ? "" : "\n", level->indent, "", option->name);
        print_form(option, level, f);
        if (option->flags & OPTION_REQUIRED)
                fprintf(f, "; required");
        if (option->fallback)
                fprintf(f, "; default %s", option->fallback[0] ? option->fallback : "\"\"");
        fputc('\n', f);
        if (option->help[0])
                fprintf(f, "%*s%s\n", level->indent + 4, "", option->help);
        if (inner.table && !printed_in(level, inner.table))
                print_table(&inner, f);
}

/* A table inside itself is printed once, so that the depth is at most the number of tables. */
static void print_table(const struct level *level, FILE *f)
{
        for (const struct option_spec *o = level->table; o->name; o++)
                print_option(o, level, f);
}

void module_describe(const struct module *module, FILE *f)
{
        const struct brick_module *brick = module->brick;
        const struct level top = { .table = module->options, .name = "options", .indent = 2 };

        fprintf(f, "%s %s: %s\n", brick->name, brick->version, brick->summary);
        fprintf(f, "type: %s\n", type_of(brick));
        fprintf(f, "methods: ");
        print_methods(brick, f);
        fprintf(f, "\noptions:%s\n", module->options[0].name ? "" : " none");
        print_table(&top, f);
}
