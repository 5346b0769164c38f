/* SPDX-License-Identifier: MIT */
#include "module/verify.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/names.h"
#include "conf/value.h"
#include "module/load.h"
#include "util/cleanup.h"
#include "util/utf8.h"

/* The sizes of the structs in the first release of the ABI: those of a module are not smaller. */
#define MODULE_SIZE_MIN (offsetof(struct brick_module, cancel) + sizeof(void (*)(void)))
#define OPTION_SIZE_MIN (offsetof(struct brick_option, flags) + sizeof(uint32_t))

/* Bounds the search for the end of a table that has none. */
#define OPTIONS_MAX 256

#define BIT(n) (UINT32_C(1) << (n))
#define METHODS_UNARY (BIT(BRICK_METHOD_SERVICE_INFO) | BIT(BRICK_METHOD_UNARY))
#define METHODS_OUTPUT (METHODS_UNARY | BIT(BRICK_METHOD_OUTPUT_STREAMING))
#define METHODS_REQUEST_STREAMS \
        (BIT(BRICK_METHOD_INPUT_STREAMING) | BIT(BRICK_METHOD_BIDI_STREAMING))
#define METHODS_REPLY_STREAMS \
        (BIT(BRICK_METHOD_OUTPUT_STREAMING) | BIT(BRICK_METHOD_BIDI_STREAMING))
#define METHODS_ALL (METHODS_OUTPUT | METHODS_REQUEST_STREAMS)

static const uint32_t methods_of_type[] = {
        [BRICK_TYPE_COMMON] = METHODS_ALL,      [BRICK_TYPE_RECTIFY] = METHODS_UNARY,
        [BRICK_TYPE_INTENTION] = METHODS_UNARY, [BRICK_TYPE_GUARD] = METHODS_UNARY,
        [BRICK_TYPE_LLM] = METHODS_OUTPUT,      [BRICK_TYPE_COMPOSE] = METHODS_OUTPUT,
        [BRICK_TYPE_RETRIEVAL] = METHODS_UNARY, [BRICK_TYPE_TRANSLATE] = METHODS_OUTPUT,
};

int verdict(char **ret_why, int r, const char *path, const char *format, ...)
{
        _cleanup_free_ char *reason = NULL;
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(&reason, format, args);
        va_end(args);
        if (n < 0) {
                reason = NULL;
                return -ENOMEM;
        }
        if (asprintf(ret_why, "%s: %s", path, reason) < 0) {
                *ret_why = NULL;
                return -ENOMEM;
        }
        return r;
}

static const char *missing_member(const struct brick_module *brick)
{
        if (!brick->name || !brick->name[0])
                return "name";
        if (!brick->version)
                return "version";
        if (!brick->summary)
                return "summary";
        if (!brick->create)
                return "create";
        if (!brick->destroy)
                return "destroy";
        if (!brick->start)
                return "start";
        return NULL;
}

static bool is_text(const char *s)
{
        return !s || utf8_valid(s, strlen(s));
}

/* The texts that are printed, logged and sent to clients. */
static const char *bad_text(const struct brick_module *brick)
{
        if (!is_text(brick->name))
                return "name";
        if (!is_text(brick->version))
                return "version";
        return is_text(brick->summary) ? NULL : "summary";
}

/* The functions that streams need, unless the brick is blocking: it waits inside call_read() and
 * call_send() instead. */
static const char *missing_entry(const struct brick_module *brick)
{
        if (brick->flags & BRICK_FLAG_BLOCKING)
                return NULL;
        if ((brick->methods & METHODS_REQUEST_STREAMS) && !brick->message)
                return "message";
        if ((brick->methods & METHODS_REPLY_STREAMS) && !brick->writable)
                return "writable";
        return NULL;
}

static int verify_methods(const struct brick_module *brick, const char *path, char **ret_why)
{
        uint32_t legal = brick->type == BRICK_TYPE_ANY ? METHODS_ALL : methods_of_type[brick->type];
        uint32_t wrong = brick->methods & ~legal;

        if (wrong & METHODS_ALL)
                return verdict(ret_why, -ENOEXEC, path, "a %s brick has no method %s",
                               brick_type_to_string(brick->type),
                               brick_method_to_string((unsigned)__builtin_ctz(wrong)));
        if (wrong)
                return verdict(ret_why, -ENOEXEC, path,
                               "has methods that this brickd does not know (bits 0x%x)", wrong);
        if (!brick->methods)
                return verdict(ret_why, -ENOEXEC, path, "has no methods: nothing can be called");
        return 0;
}

int verify_descriptor(const struct brick_module *brick, const char *path, char **ret_why)
{
        const char *missing;
        int r;

        if (!brick || brick->magic != BRICK_MAGIC)
                return verdict(ret_why, -ENOEXEC, path,
                               BRICK_ENTRY_NAME "() gives no brick descriptor (bad magic)");
        if (brick->abi_major != BRICK_ABI_MAJOR)
                return verdict(ret_why, -ENOEXEC, path,
                               "was built for brick ABI %u.%u, this brickd speaks %u.%u",
                               brick->abi_major, brick->abi_minor, BRICK_ABI_MAJOR,
                               BRICK_ABI_MINOR);
        if (brick->struct_size < MODULE_SIZE_MIN)
                return verdict(ret_why, -ENOEXEC, path,
                               "its descriptor has %u bytes, that of brick ABI %u.0 has %zu",
                               brick->struct_size, BRICK_ABI_MAJOR, MODULE_SIZE_MIN);
        if (brick->host_minor > BRICK_ABI_MINOR)
                return verdict(ret_why, -ENOEXEC, path,
                               "needs brick ABI %u.%u or newer, this brickd speaks %u.%u",
                               brick->abi_major, brick->host_minor, BRICK_ABI_MAJOR,
                               BRICK_ABI_MINOR);
        if (brick->type != BRICK_TYPE_ANY && !brick_type_to_string(brick->type))
                return verdict(ret_why, -ENOEXEC, path, "has no type that this brickd knows (%u)",
                               brick->type);
        if (brick->flags & ~(uint32_t)BRICK_FLAG_BLOCKING)
                return verdict(ret_why, -ENOEXEC, path,
                               "has flags that this brickd does not know (bits 0x%x)",
                               brick->flags & ~(uint32_t)BRICK_FLAG_BLOCKING);
        r = verify_methods(brick, path, ret_why);
        if (r < 0)
                return r;
        missing = missing_member(brick);
        if (missing)
                return verdict(ret_why, -ENOEXEC, path, "its descriptor lacks '%s'", missing);
        if (bad_text(brick))
                return verdict(ret_why, -ENOEXEC, path, "its descriptor's '%s' is not UTF-8",
                               bad_text(brick));
        missing = missing_entry(brick);
        if (missing)
                return verdict(ret_why, -ENOEXEC, path,
                               "its descriptor lacks '%s', which its streams need without "
                               "BRICK_FLAG_BLOCKING",
                               missing);
        return 0;
}

/* ---- options ---------------------------------------------------------------------------- */

/* Without a name: the end of the table. */
static const struct brick_option *option_at(const struct brick_module *brick, size_t index)
{
        static const struct brick_option end;
        const char *table = (const char *)brick->options;

        return table ? (const void *)(table + index * brick->option_size) : &end;
}

static bool in_range(const struct brick_option *option, double value)
{
        return option->min >= option->max ||
               (value >= (double)option->min && value <= (double)option->max);
}

/* Only scalars: what a list or a map holds is the brick's own business. */
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

/* What is wrong with an option, as far as it shows without the others; NULL: nothing. */
static const char *option_fault(const struct brick_option *option)
{
        if (option->name[strspn(option->name, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0' ||
            !option->name[0])
                return "its name is not made of lower-case letters, digits and _";
        if (!is_text(option->summary) || !is_text(option->fallback) || !is_text(option->choices))
                return "one of its texts is not UTF-8";
        if (option->type < BRICK_STRING || option->type > BRICK_PATH)
                return "this brickd does not know its type";
        if (option->flags & ~(uint32_t)BRICK_OPTION_REQUIRED)
                return "this brickd does not know its flags";
        if (option->type == BRICK_ENUM && (!option->choices || !option->choices[0]))
                return "it has no choices";
        if (!option->fallback)
                return NULL;
        if (option->flags & BRICK_OPTION_REQUIRED)
                return "it is required and has a fallback";
        if (!fallback_valid(option))
                return option->type == BRICK_ENUM ? "its fallback is none of its choices"
                                                  : "its fallback is no value for it";
        return NULL;
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

static int verify_option(const struct brick_module *brick, size_t index, const char *path,
                         char **ret_why)
{
        const struct brick_option *option = option_at(brick, index);
        const char *fault = option_fault(option);

        for (size_t i = 0; !fault && i < index; i++)
                if (strcmp(option_at(brick, i)->name, option->name) == 0)
                        fault = "there are two of this name";
        if (!fault && brick->type == BRICK_TYPE_ANY && strcmp(option->name, "type") == 0 &&
            !type_option_valid(option))
                fault = "its choices are not all types of bricks: Common, Rectify, Intention, "
                        "Guard, LLM, Compose, Retrieval, Translate";
        if (fault)
                return verdict(ret_why, -ENOEXEC, path, "option '%s': %s", option->name, fault);
        return 0;
}

static bool has_option(const struct brick_module *brick, const char *name)
{
        for (size_t i = 0; option_at(brick, i)->name; i++)
                if (strcmp(option_at(brick, i)->name, name) == 0)
                        return true;
        return false;
}

static int verify_table(const struct brick_module *brick, const char *path, size_t *ret_n,
                        char **ret_why)
{
        size_t n = 0;
        int r;

        if (brick->options && (brick->option_size < OPTION_SIZE_MIN ||
                               brick->option_size % _Alignof(struct brick_option) != 0))
                return verdict(ret_why, -ENOEXEC, path,
                               "its options have %u bytes each, those of brick ABI %u.0 have %zu",
                               brick->option_size, BRICK_ABI_MAJOR, OPTION_SIZE_MIN);
        for (; option_at(brick, n)->name; n++) {
                if (n == OPTIONS_MAX)
                        return verdict(ret_why, -ENOEXEC, path,
                                       "has more than %u options: is the end of the table missing?",
                                       OPTIONS_MAX);
                r = verify_option(brick, n, path, ret_why);
                if (r < 0)
                        return r;
        }
        if (brick->type == BRICK_TYPE_ANY && !has_option(brick, "type"))
                return verdict(ret_why, -ENOEXEC, path,
                               "is of any type, but has no option 'type' to say which");
        *ret_n = n;
        return 0;
}

_Static_assert((int)OPTION_STRING == BRICK_STRING && (int)OPTION_PATH == BRICK_PATH &&
                       (int)OPTION_REQUIRED == BRICK_OPTION_REQUIRED,
               "types and flags of options are the same numbers on both sides");

int verify_options(const struct brick_module *brick, const char *path, struct option_spec **ret,
                   char **ret_why)
{
        struct option_spec *specs;
        size_t n = 0;
        int r;

        r = verify_table(brick, path, &n, ret_why);
        if (r < 0)
                return r;
        specs = calloc(n + 1, sizeof *specs);
        if (!specs)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const struct brick_option *option = option_at(brick, i);

                specs[i] = (struct option_spec){
                        .name = option->name,
                        .type = (enum option_type)option->type,
                        .flags = option->flags,
                        .fallback = option->fallback,
                        .choices = option->choices,
                        .min = option->min,
                        .max = option->max,
                        .help = option->summary ? option->summary : "",
                };
        }
        *ret = specs;
        return 0;
}
