/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/value.h"
#include "util/json.h"

/*
 * The schema is for editors: it takes what brickd takes, written as brickd.yaml(5) writes it. Any
 * scalar may instead be a string with ${...} in it.
 */

#define TEXT "[\"string\", \"number\", \"boolean\"]"

struct json {
        FILE *f;
        unsigned depth;
        bool first; /* nothing stands in the innermost object or array yet */
};

/* Goes to where the next member of an object (key) or of an array (NULL) stands. */
static void next(struct json *json, const char *key)
{
        if (json->depth > 0)
                fprintf(json->f, "%s\n%*s", json->first ? "" : ",", (int)json->depth * 2, "");
        json->first = false;
        if (key) {
                json_put_string(json->f, key, strlen(key));
                fputs(": ", json->f);
        }
}

static void begin(struct json *json, const char *key, char bracket)
{
        next(json, key);
        fputc(bracket, json->f);
        json->depth++;
        json->first = true;
}

static void end(struct json *json, char bracket)
{
        json->depth--;
        if (!json->first)
                fprintf(json->f, "\n%*s", (int)json->depth * 2, "");
        fputc(bracket, json->f);
        json->first = false;
}

static void put_text(struct json *json, const char *key, const char *text)
{
        next(json, key);
        json_put_string(json->f, text, strlen(text));
}

static void put_raw(struct json *json, const char *key, const char *raw)
{
        next(json, key);
        fputs(raw, json->f);
}

static void put_number(struct json *json, const char *key, int64_t value)
{
        next(json, key);
        fprintf(json->f, "%" PRId64, value);
}

/* A whole subschema of one member. */
static void put_sub(struct json *json, const char *key, const char *text)
{
        begin(json, NULL, '{');
        put_text(json, key, text);
        end(json, '}');
}

static void put_choices(struct json *json, const char *choices)
{
        begin(json, "enum", '[');
        for (;;) {
                size_t n = strcspn(choices, "|");

                next(json, NULL);
                json_put_string(json->f, choices, n);
                /* To a YAML 1.1 editor, a plain `off` is a boolean. */
                if (n == 3 && memcmp(choices, "off", n) == 0)
                        put_raw(json, NULL, "false");
                if (choices[n] == '\0')
                        break;
                choices += n + 1;
        }
        end(json, ']');
}

/* Any text will do, also a number that is meant as one. */
static bool is_text(const struct option_spec *spec)
{
        return (spec->type == OPTION_STRING || spec->type == OPTION_BRICK ||
                spec->type == OPTION_PATH) &&
               !spec->pattern && !(spec->flags & OPTION_NULLABLE);
}

static void put_table(struct json *json, const struct option_spec *table);

static void put_range(struct json *json, const struct option_spec *spec, const char *min,
                      const char *max)
{
        if (spec->min >= spec->max)
                return;
        put_number(json, min, spec->min);
        put_number(json, max, spec->max);
}

/* What one value may be, as the members of anyOf. */
static void put_forms(struct json *json, const struct option_spec *spec)
{
        switch (spec->type) {
        case OPTION_INT:
        case OPTION_FLOAT:
                begin(json, NULL, '{');
                put_text(json, "type", spec->type == OPTION_INT ? "integer" : "number");
                put_range(json, spec, "minimum", "maximum");
                end(json, '}');
                break;
        case OPTION_BOOL:
                put_sub(json, "type", "boolean");
                break;
        case OPTION_DURATION:
                put_sub(json, "$ref", "#/$defs/duration");
                break;
        case OPTION_SIZE:
                put_sub(json, "$ref", "#/$defs/size");
                break;
        case OPTION_LIST:
                put_sub(json, "type", "array");
                break;
        case OPTION_MAP:
        case OPTION_SECRET:
                put_sub(json, "type", "object");
                break;
        case OPTION_STRING:
        case OPTION_BRICK:
        case OPTION_PATH:
                begin(json, NULL, '{');
                put_text(json, "type", "string");
                if (spec->pattern)
                        put_text(json, "pattern", spec->pattern);
                end(json, '}');
                break;
        case OPTION_ENUM:
                break;
        }
        if (spec->choices) {
                begin(json, NULL, '{');
                put_choices(json, spec->choices);
                end(json, '}');
        }
        if (spec->flags & OPTION_NULLABLE)
                put_sub(json, "type", "null");
}

static void put_value(struct json *json, const struct option_spec *spec)
{
        if (is_text(spec)) {
                put_raw(json, "type", TEXT);
                return;
        }
        begin(json, "anyOf", '[');
        put_forms(json, spec);
        put_sub(json, "$ref", "#/$defs/variable");
        end(json, ']');
}

static void put_list(struct json *json, const struct option_spec *spec)
{
        put_raw(json, "type",
                spec->flags & OPTION_REQUIRED ? "\"array\"" : "[\"array\", \"null\"]");
        put_range(json, spec, "minItems", "maxItems");
        begin(json, "items", '{');
        put_raw(json, "type", "\"object\"");
        put_table(json, spec->table);
        end(json, '}');
}

/* A list of values, or one of them. */
static void put_repeated(struct json *json, const struct option_spec *spec)
{
        begin(json, "anyOf", '[');
        begin(json, NULL, '{');
        put_value(json, spec);
        end(json, '}');
        begin(json, NULL, '{');
        put_raw(json, "type", "[\"array\", \"null\"]");
        begin(json, "items", '{');
        put_value(json, spec);
        end(json, '}');
        end(json, '}');
        end(json, ']');
}

static void put_default(struct json *json, const struct option_spec *spec)
{
        int64_t number;

        if (!spec->fallback || (spec->flags & OPTION_LOCAL))
                return;
        if (spec->type == OPTION_BOOL || spec->type == OPTION_LIST || spec->type == OPTION_MAP ||
            value_parse_int(spec->fallback, &number) == 0)
                put_raw(json, "default", spec->fallback);
        else
                put_text(json, "default", spec->fallback);
}

static void put_description(struct json *json, const struct option_spec *spec)
{
        char min[32], max[32], text[512];
        bool has_range = spec->min < spec->max && spec->type != OPTION_MAP;

        value_format(spec->type, spec->min, min, sizeof min);
        value_format(spec->type, spec->max, max, sizeof max);
        snprintf(text, sizeof text, has_range ? "%s (%s to %s)" : "%s", spec->help, min, max);
        put_text(json, "description", text);
}

static void put_option(struct json *json, const struct option_spec *spec)
{
        begin(json, spec->name, '{');
        put_description(json, spec);
        if (spec->flags & OPTION_REPEATED) {
                if (spec->type == OPTION_MAP)
                        put_list(json, spec);
                else
                        put_repeated(json, spec);
        } else if (spec->type == OPTION_MAP) {
                put_raw(json, "type", "[\"object\", \"null\"]");
                if (spec->table)
                        put_table(json, spec->table);
        } else {
                put_value(json, spec);
        }
        put_default(json, spec);
        end(json, '}');
}

static void put_table(struct json *json, const struct option_spec *table)
{
        bool required = false;

        begin(json, "properties", '{');
        for (const struct option_spec *spec = table; spec->name; spec++) {
                put_option(json, spec);
                required |= (spec->flags & OPTION_REQUIRED) != 0;
        }
        end(json, '}');
        if (required) {
                begin(json, "required", '[');
                for (const struct option_spec *spec = table; spec->name; spec++)
                        if (spec->flags & OPTION_REQUIRED)
                                put_text(json, NULL, spec->name);
                end(json, ']');
        }
        put_raw(json, "additionalProperties", "false");
}

static void put_definitions(struct json *json)
{
        begin(json, "$defs", '{');

        begin(json, "variable", '{');
        put_text(json, "description", "${NAME} or ${NAME:-default} of the environment");
        put_text(json, "type", "string");
        put_text(json, "pattern", "\\$\\{");
        end(json, '}');

        begin(json, "duration", '{');
        put_text(json, "pattern", "^(0|[0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h|d))$");
        put_raw(json, "type", "[\"string\", \"integer\"]");
        put_raw(json, "maximum", "0");
        end(json, '}');

        begin(json, "size", '{');
        put_text(json, "pattern", "^[0-9]+(\\.[0-9]+)?([kKMGT]B|[KMGT]iB|B)?$");
        put_raw(json, "type", "[\"string\", \"integer\"]");
        put_raw(json, "minimum", "0");
        end(json, '}');

        end(json, '}');
}

void conf_print_schema(FILE *f)
{
        struct json json = { .f = f };

        begin(&json, NULL, '{');
        put_text(&json, "$schema", "https://json-schema.org/draft/2020-12/schema");
        put_text(&json, "title", "The configuration of brickd");
        put_raw(&json, "type", "\"object\"");
        put_table(&json, conf_options);
        put_definitions(&json);
        end(&json, '}');
        fputc('\n', f);
}
