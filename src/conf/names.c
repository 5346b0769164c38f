/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "brick.h"
#include "conf/names.h"
#include "util/cleanup.h"

static const char *const types[] = {
        [BRICK_TYPE_COMMON] = "Common",
        [BRICK_TYPE_RECTIFY] = "Rectify",
        [BRICK_TYPE_INTENTION] = "Intention",
        [BRICK_TYPE_GUARD] = "Guard",
        [BRICK_TYPE_LLM] = "LLM",
        [BRICK_TYPE_COMPOSE] = "Compose",
        [BRICK_TYPE_RETRIEVAL] = "Retrieval",
        [BRICK_TYPE_TRANSLATE] = "Translate",
};

const char *brick_type_to_string(unsigned type)
{
        return type < ELEMENTSOF(types) ? types[type] : NULL;
}

int brick_type_from_string(const char *s)
{
        for (unsigned i = 1; i < ELEMENTSOF(types); i++)
                if (strcmp(s, types[i]) == 0)
                        return (int)i;
        return -EINVAL;
}

const char *brick_method_to_string(unsigned method)
{
        static const char *const names[] = {
                [BRICK_METHOD_SERVICE_INFO] = "GetServiceInfo",
                [BRICK_METHOD_UNARY] = "Unary",
                [BRICK_METHOD_OUTPUT_STREAMING] = "OutputStreaming",
                [BRICK_METHOD_INPUT_STREAMING] = "InputStreaming",
                [BRICK_METHOD_BIDI_STREAMING] = "BidiStreaming",
        };

        return method < ELEMENTSOF(names) ? names[method] : NULL;
}
