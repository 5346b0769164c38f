/* SPDX-License-Identifier: MIT */
#include <brick-sdk.h>
#include <ctype.h>
#include <string.h>

static int shout_unary(struct brick_instance *self, struct brick_call *call,
                       const RectifyRequest *request, RectifyResponse *response)
{
        char *text = brick_strndup(call, request->text, strlen(request->text));

        if (!text)
                return -ENOMEM;
        for (char *c = text; *c; c++)
                *c = (char)toupper((unsigned char)*c);
        response->corrected_text = text;
        return 0;
}

static const struct brick_rectify handlers = { .unary = shout_unary };

BRICK_RECTIFY(handlers, .name = "shout", .version = "1.0", .summary = "answers in capitals");
