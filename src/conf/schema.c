/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/value.h"

/*
 * The JSON Schema is for editors. It accepts what brickd accepts, in the spelling of
 * brickd.yaml(5). Every scalar may also be a string that contains ${...}.
 *
 * If memory runs out, the object that is being built becomes NULL, and so does each object to which
 * it is added.
 */

static void add(json_t **object, const char *key, json_t *value)
{
        if (json_object_set_new(*object, key, value) < 0) {
                json_decref(*object);
                *object = NULL;
        }
}

static void append(json_t **array, json_t *value)
{
        if (json_array_append_new(*array, value) < 0) {
                json_decref(*array);
                *array = NULL;
        }
}

static json_t *of_type(const char *type)
{
        return json_pack("{s:s}", "type", type);
}

static json_t *reference(const char *path)
{
        return json_pack("{s:s}", "$ref", path);
}

static json_t *choices_of(const struct option_spec *spec)
{
        const char *choices = spec->choices;
        json_t *list = json_array();

        for (;;) {
                size_t n = strcspn(choices, "|");

                append(&list, json_stringn(choices, n));
                /* An editor that reads YAML 1.1 takes a plain `off` for a boolean. */
                if (n == 3 && memcmp(choices, "off", n) == 0)
                        append(&list, json_false());
                if (choices[n] == '\0')
                        break;
                choices += n + 1;
        }
        return json_pack("{s:o}", "enum", list);
}

static void add_range(json_t **schema, const struct option_spec *spec, const char *min,
                      const char *max)
{
        if (spec->min >= spec->max)
                return;
        add(schema, min, json_integer(spec->min));
        add(schema, max, json_integer(spec->max));
}

static json_t *number_form(const struct option_spec *spec)
{
        json_t *form = of_type(spec->type == OPTION_INT ? "integer" : "number");

        add_range(&form, spec, "minimum", "maximum");
        return form;
}

static json_t *string_form(const struct option_spec *spec)
{
        json_t *form = of_type("string");

        if (spec->pattern)
                add(&form, "pattern", json_string(spec->pattern));
        return form;
}

/* The members of anyOf: each form that one value may have. */
static json_t *forms_of(const struct option_spec *spec)
{
        json_t *forms = json_array();

        switch (spec->type) {
        case OPTION_INT:
        case OPTION_FLOAT:
                append(&forms, number_form(spec));
                break;
        case OPTION_BOOL:
                append(&forms, of_type("boolean"));
                break;
        case OPTION_DURATION:
                append(&forms, reference("#/$defs/duration"));
                break;
        case OPTION_SIZE:
                append(&forms, reference("#/$defs/size"));
                break;
        case OPTION_LIST:
                append(&forms, of_type("array"));
                break;
        case OPTION_MAP:
        case OPTION_SECRET:
                append(&forms, of_type("object"));
                break;
        case OPTION_STRING:
        case OPTION_BRICK:
        case OPTION_PATH:
                append(&forms, string_form(spec));
                break;
        case OPTION_ENUM:
                break;
        }
        if (spec->choices)
                append(&forms, choices_of(spec));
        if (spec->flags & OPTION_NULLABLE)
                append(&forms, of_type("null"));
        append(&forms, reference("#/$defs/variable"));
        return forms;
}

/* Whether any text is allowed. Numbers and booleans then are as well: they count as their text. */
static bool is_text(const struct option_spec *spec)
{
        return (spec->type == OPTION_STRING || spec->type == OPTION_BRICK ||
                spec->type == OPTION_PATH) &&
               !spec->pattern && !(spec->flags & OPTION_NULLABLE);
}

static void add_value(json_t **schema, const struct option_spec *spec)
{
        if (is_text(spec))
                add(schema, "type", json_pack("[sss]", "string", "number", "boolean"));
        else
                add(schema, "anyOf", forms_of(spec));
}

static void add_table(json_t **schema, const struct option_spec *table);

static void add_list(json_t **schema, const struct option_spec *spec)
{
        json_t *items = of_type("object");

        add_table(&items, spec->table);
        add(schema, "type",
            spec->flags & OPTION_REQUIRED ? json_string("array")
                                          : json_pack("[ss]", "array", "null"));
        add_range(schema, spec, "minItems", "maxItems");
        add(schema, "items", items);
}

/* A list of values, or a single value. */
static void add_repeated(json_t **schema, const struct option_spec *spec)
{
        json_t *one = json_object(), *item = json_object();

        add_value(&one, spec);
        add_value(&item, spec);
        add(schema, "anyOf",
            json_pack("[o,{s:[ss],s:o}]", one, "type", "array", "null", "items", item));
}

static void add_default(json_t **schema, const struct option_spec *spec)
{
        bool typed = spec->type == OPTION_BOOL || spec->type == OPTION_LIST ||
                     spec->type == OPTION_MAP;
        int64_t number;

        if (!spec->fallback || (spec->flags & OPTION_LOCAL))
                return;
        if (typed || value_parse_int(spec->fallback, &number) == 0)
                add(schema, "default", json_loads(spec->fallback, JSON_DECODE_ANY, NULL));
        else
                add(schema, "default", json_string(spec->fallback));
}

static json_t *description_of(const struct option_spec *spec)
{
        char min[32], max[32];

        if (spec->min >= spec->max || spec->type == OPTION_MAP)
                return json_string(spec->help);
        value_format(spec->type, spec->min, min, sizeof min);
        value_format(spec->type, spec->max, max, sizeof max);
        return json_sprintf("%s (%s to %s)", spec->help, min, max);
}

static json_t *schema_of(const struct option_spec *spec)
{
        json_t *schema = json_pack("{s:o}", "description", description_of(spec));

        if (spec->flags & OPTION_REPEATED) {
                if (spec->type == OPTION_MAP)
                        add_list(&schema, spec);
                else
                        add_repeated(&schema, spec);
        } else if (spec->type == OPTION_MAP) {
                add(&schema, "type", json_pack("[ss]", "object", "null"));
                if (spec->table)
                        add_table(&schema, spec->table);
        } else {
                add_value(&schema, spec);
        }
        add_default(&schema, spec);
        return schema;
}

static void add_table(json_t **schema, const struct option_spec *table)
{
        json_t *properties = json_object(), *required = json_array();

        for (const struct option_spec *spec = table; spec->name; spec++) {
                add(&properties, spec->name, schema_of(spec));
                if (spec->flags & OPTION_REQUIRED)
                        append(&required, json_string(spec->name));
        }
        add(schema, "properties", properties);
        if (required && json_array_size(required) == 0)
                json_decref(required);
        else
                add(schema, "required", required);
        add(schema, "additionalProperties", json_false());
}

static json_t *definitions(void)
{
        json_t *all = json_object();

        add(&all, "variable",
            json_pack("{s:s,s:s,s:s}", "description",
                      "${NAME} or ${NAME:-default} of the environment", "type", "string", "pattern",
                      "\\$\\{"));
        add(&all, "duration",
            json_pack("{s:s,s:[ss],s:i}", "pattern", "^(0|[0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h|d))$",
                      "type", "string", "integer", "maximum", 0));
        add(&all, "size",
            json_pack("{s:s,s:[ss],s:i}", "pattern", "^[0-9]+(\\.[0-9]+)?([kKMGT]B|[KMGT]iB|B)?$",
                      "type", "string", "integer", "minimum", 0));
        return all;
}

int conf_print_schema(FILE *f)
{
        json_t *schema;
        int r;

        schema = json_pack("{s:s,s:s,s:s}", "$schema",
                           "https://json-schema.org/draft/2020-12/schema", "title",
                           "The configuration of brickd", "type", "object");
        add_table(&schema, conf_options);
        add(&schema, "$defs", definitions());
        if (!schema)
                return -ENOMEM;
        r = json_dumpf(schema, f, JSON_INDENT(2)) < 0 || fputc('\n', f) == EOF ? -EIO : 0;
        json_decref(schema);
        return r;
}
