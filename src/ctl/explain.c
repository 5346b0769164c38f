/* SPDX-License-Identifier: MIT */

/* brickctl explain: a call of a brick, such as a pipeline, and what each of its steps has done. */

#include "ctl/explain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/bus.h"
#include "ctl/control.h"
#include "ctl/ctl.h"
#include "ctl/file.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "ctl/rpc.h"
#include "struct.pb-c.h"
#include "util/clock.h"

#define KEY_TIMEOUT (10 * NSEC_PER_SEC)

static void print_text(const json_t *step, const char *key, const char *mark)
{
        const char *text = json_string_value(json_object_get(step, key));

        if (!text)
                return;
        printf("    %s ", mark);
        for (; *text; text++) {
                size_t n = strcspn(text, "\n");
                char *line = strndup(text, n);

                output_text(stdout, line ?: "");
                free(line);
                text += n;
                if (!*text)
                        break;
                printf("\n      ");
        }
        putchar('\n');
}

static void print_step(const json_t *step)
{
        const char *verdict = json_string_value(json_object_get(step, "verdict"));
        double took = json_number_value(json_object_get(step, "took_us"));

        output_text(stdout, json_string_value(json_object_get(step, "step")) ?: "");
        if (took > 0)
                printf("  at %.3f ms, %.3f ms",
                       json_number_value(json_object_get(step, "start_us")) / 1000, took / 1000);
        if (verdict) {
                printf("  ");
                output_text(stdout, verdict);
        }
        putchar('\n');
        print_text(step, "input", "<");
        print_text(step, "output", ">");
}

static bool print_one(const void *bytes, size_t length, bool json)
{
        _cleanup_(message_freep) ProtobufCMessage *message = NULL;
        _cleanup_(json_unrefp) json_t *step = NULL;

        message = message_unpack(&google__protobuf__struct__descriptor, bytes, length);
        if (message)
                step = message_to_json(message);
        if (!step)
                return false;
        if (json)
                output_json(stdout, step);
        else
                print_step(step);
        return true;
}

bool explain_print(const struct rpc *rpc, bool json)
{
        const void *bytes;
        bool any = false;
        size_t length;

        for (size_t i = 0; rpc_trailer(rpc, "x-brick-step-bin", i, &bytes, &length); i++) {
                if (!any && !json)
                        putchar('\n');
                any |= print_one(bytes, length, json);
        }
        fflush(stdout);
        return any;
}

static int explain(const struct ctl *ctl, const struct file *file)
{
        _cleanup_(bus_reply_done) struct bus_reply reply = {};
        int r = -ENOENT;

        if (file->control)
                r = bus_call(file->control, ctl_timeout(ctl, KEY_TIMEOUT), &reply, "ExplainKey",
                             "");
        if (r < 0)
                return control_no_answer(file->control, r);
        if (reply.error)
                return ctl_error(CTL_UNREACHABLE, "%s", reply.text);
        return call_explained(ctl, reply.text);
}

int command_explain(struct ctl *ctl)
{
        return control_with_file(ctl, explain);
}
