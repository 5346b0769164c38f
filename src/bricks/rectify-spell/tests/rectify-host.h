/* SPDX-License-Identifier: MIT */
#pragma once

/* The brick in a test: its host, and a text that it corrects. */

#include <string.h>

#include "fake-host.h"

const struct brick_module *rectify_spell_brick_module_v1(void);

static inline struct fake_host *host_of(const char *options)
{
        struct fake_host *host;
        int r = fake_host_new(&host, rectify_spell_brick_module_v1(), options);

        if (r < 0)
                fake_die("create(): %d, %s", r, fake_host_said(host));
        return host;
}

static inline struct fake_call *call_of(struct fake_host *host, const char *text,
                                        const char *language)
{
        RectifyRequest request = PROTOCOLS__GRPC__RECTIFY__RECTIFY_REQUEST__INIT;

        request.text = (char *)text;
        request.source_language = (char *)language;
        return fake_call_new(host, BRICK_METHOD_UNARY, &request.base);
}

static inline const char *corrected(struct fake_call *call)
{
        const RectifyResponse *response;

        if (fake_call_code(call) != 200)
                fake_die("%d %s", fake_call_code(call), fake_call_text(call));
        response = fake_call_reply(call, 0, BRICK_DESCRIPTOR(RectifyResponse));
        return response->corrected_text;
}
