/* SPDX-License-Identifier: MIT */

/*
 * A sound Common brick that uses what the SDK has for an author, as a newcomer would.
 *
 * Unary: { do: "fail", text } fails with the text; { do: "keep", r } keeps the call and ends it as
 * r says. OutputStreaming: { n } replies that take more memory than the call has. InputStreaming:
 * the text of the last request.
 */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "brick-sdk.h"

struct kept {
        struct brick_call *call;
        CommonResponse *response;
        int r;
};

static void *end_later(void *data)
{
        struct kept kept = *(struct kept *)data;

        free(data);
        brick_end(kept.call, kept.r, kept.response);
        return NULL;
}

static int keep(struct brick_call *call, CommonResponse *response, int r)
{
        struct kept *kept = malloc(sizeof *kept);
        pthread_t thread;

        if (!kept)
                return -ENOMEM;
        *kept = (struct kept){ call, response, r };
        if (pthread_create(&thread, NULL, end_later, kept) != 0) {
                free(kept);
                return -EAGAIN;
        }
        (void)pthread_detach(thread);
        return BRICK_TAKEN;
}

static int unary(struct brick_instance *self, struct brick_call *call, const CommonRequest *request,
                 CommonResponse *response)
{
        const char *what = brick_struct_get_string(request->data, "do");
        double r = 0;

        if (what && strcmp(what, "fail") == 0)
                return brick_failf(call, BRICK_E_PARAMETER_INVALID, NULL, "no: %s",
                                   brick_struct_get_string(request->data, "text"));
        (void)brick_struct_get_number(request->data, "r", &r);
        return keep(call, response, (int)r);
}

static int make_reply(struct brick_call *call, CommonResponse *response, double n)
{
        ListValue *list = brick_struct_add_list(call, response->data, "list");
        Struct *inner = brick_struct_add_struct(call, response->data, "inner");

        if (!list || !inner || brick_struct_add_number(call, response->data, "n", n) < 0 ||
            brick_list_add_string(call, list, "a") < 0 ||
            brick_list_add_number(call, list, 1) < 0 || brick_list_add_bool(call, list, 1) < 0 ||
            brick_struct_add_string(call, inner, "x", "y") < 0)
                return -ENOMEM;
        return 0;
}

static int send_reply(struct brick_call *call, double n)
{
        CommonResponse *response = BRICK_NEW(call, CommonResponse);
        int r;

        if (!response)
                return -ENOMEM;
        r = make_reply(call, response, n);
        return r < 0 ? r : brick_send(call, &response->base);
}

static int output_streaming(struct brick_instance *self, struct brick_call *call,
                            const CommonRequest *request)
{
        double n = 0;
        int r = 0;

        (void)brick_struct_get_number(request->data, "n", &n);
        for (double i = 0; i < n && r == 0; i++) {
                size_t mark = brick_mark(call);

                if (i == 0)
                        r = brick_host->call_trailer(
                                call, brick_str("x-first"),
                                brick_str(brick_printf(call, "yes, the %s of all messages",
                                                       "first")));
                if (r == 0)
                        r = send_reply(call, i);
                brick_rewind(call, mark);
        }
        return r;
}

static int input_streaming(struct brick_instance *self, struct brick_call *call,
                           CommonResponse *response)
{
        CommonRequest *request = NULL;
        const char *last = "";
        int r;

        while ((r = brick_read(call, &request)) > 0)
                last = brick_struct_get_string(request->data, "text");
        brick_read_end(&request);
        return r < 0 ? r : brick_struct_add_string(call, response->data, "last", last);
}

static int service_info(struct brick_instance *self, struct brick_call *call,
                        ServiceInfoResponse *response)
{
        ModelInfo *model = response->models[0];

        if (brick_add_string(call, model, supported_languages, "de") < 0 ||
            brick_add_string(call, model, supported_languages, "zh") < 0)
                return -ENOMEM;
        return 0;
}

static const struct brick_common handlers = {
        .service_info = service_info,
        .unary = unary,
        .output_streaming = output_streaming,
        .input_streaming = input_streaming,
};

BRICK_COMMON(handlers, .name = "author", .version = "1.0", .summary = "uses the helpers",
             .flags = BRICK_FLAG_BLOCKING);
