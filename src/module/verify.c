/* SPDX-License-Identifier: MIT */
#include "module/verify.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/names.h"
#include "util/cleanup.h"
#include "util/utf8.h"

/* The size of the descriptor in the first release of the ABI: that of a module is not smaller. */
#define MODULE_SIZE_MIN (offsetof(struct brick_module, cancel) + sizeof(void (*)(void)))

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

bool verify_text(const char *s)
{
        return !s || utf8_valid(s, strlen(s));
}

/* The texts that are printed, logged and sent to clients. */
static const char *bad_text(const struct brick_module *brick)
{
        if (!verify_text(brick->name))
                return "name";
        if (!verify_text(brick->version))
                return "version";
        return verify_text(brick->summary) ? NULL : "summary";
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

uint32_t verify_methods(unsigned type)
{
        return type < ELEMENTSOF(methods_of_type) ? methods_of_type[type] : METHODS_ALL;
}

/* Of a module whose descriptor has them: all, or none. */
static const char *filter_fault(const struct brick_module *brick)
{
        if (brick->struct_size < offsetof(struct brick_module, filter_close) + sizeof(void *))
                return NULL;
        if (!brick->filter_open && !brick->filter_push && !brick->filter_close)
                return NULL;
        if (brick->type != BRICK_TYPE_GUARD && brick->type != BRICK_TYPE_ANY)
                return "has filter_open, which is for a Guard";
        if (!brick->filter_open || !brick->filter_push || !brick->filter_close)
                return "its descriptor lacks one of 'filter_open', 'filter_push' and "
                       "'filter_close', but not all";
        return NULL;
}

static int check_methods(const struct brick_module *brick, const char *path, char **ret_why)
{
        uint32_t wrong = brick->methods & ~verify_methods(brick->type);

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
        r = check_methods(brick, path, ret_why);
        if (r < 0)
                return r;
        missing = missing_member(brick);
        if (missing)
                return verdict(ret_why, -ENOEXEC, path, "its descriptor lacks '%s'", missing);
        if (bad_text(brick))
                return verdict(ret_why, -ENOEXEC, path, "its descriptor's '%s' is not UTF-8",
                               bad_text(brick));
        if (filter_fault(brick))
                return verdict(ret_why, -ENOEXEC, path, "%s", filter_fault(brick));
        missing = missing_entry(brick);
        if (missing)
                return verdict(ret_why, -ENOEXEC, path,
                               "its descriptor lacks '%s', which its streams need without "
                               "BRICK_FLAG_BLOCKING",
                               missing);
        return 0;
}
