/* SPDX-License-Identifier: MIT */

#include "request.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "writer.h"

static const char *const limits[] = {
        [REQUEST_MAX_TOKENS] = "max_tokens",
        [REQUEST_MAX_COMPLETION_TOKENS] = "max_completion_tokens",
};

/* `,"max_completion_tokens":-2147483648}` and a NUL */
#define LIMIT_SIZE 40

bool request_is_reserved(const char *name)
{
        return strcmp(name, "model") == 0 || strcmp(name, "messages") == 0 ||
               strcmp(name, "stream") == 0;
}

/* --- messages ------------------------------------------------------------------------------ */

/* Some APIs refuse a message without a text. */
static void add_message(struct writer *out, const char *role, const char *content, bool *first)
{
        if (!*content)
                return;
        writer_puts(out, *first ? "{\"role\":" : ",{\"role\":");
        writer_string(out, role);
        writer_puts(out, ",\"content\":");
        writer_string(out, content);
        writer_puts(out, "}");
        *first = false;
}

/* -ENODATA: there is nothing to answer. */
static int add_messages(struct writer *out, const struct request_options *options,
                        const LLMRequest *request)
{
        const char *prompt = request->prompt[0] ? request->prompt : options->default_prompt;
        bool first = true, nothing;

        writer_puts(out, "[");
        if (options->system_prompt)
                add_message(out, "system", options->system_prompt, &first);
        nothing = !*prompt;
        for (size_t i = 0; i < request->n_context; i++) {
                const LLMContext *item = request->context[i];

                add_message(out, item->role[0] ? item->role : "user", item->content, &first);
                nothing = nothing && !item->content[0];
        }
        add_message(out, "user", prompt, &first);
        writer_puts(out, "]");
        return nothing ? -ENODATA : 0;
}

/* --- parameters ----------------------------------------------------------------------------- */

/* Rounds to six digits: 0.7, received as the float 0.699999988, is sent as 0.7. */
static double widen(float temperature)
{
        return round((double)temperature * 1e6) / 1e6;
}

/* 0 in the request means that it is not set: proto3 cannot tell the two apart. */
static double choose_temperature(const struct request_options *options, const LLMRequest *request,
                                 double from_metadata)
{
        if (request->temperature != 0)
                return widen(request->temperature);
        return isnan(from_metadata) ? options->temperature : from_metadata;
}

static void add_field(struct writer *out, const char *name, const char *json)
{
        writer_puts(out, ",");
        writer_string(out, name);
        writer_puts(out, ":");
        writer_puts(out, json);
}

/* The fields of the options, but those that the request has itself. */
static void add_fields(struct writer *out, const struct request_options *options,
                       bool has_temperature, bool has_limit)
{
        for (size_t i = 0; i < options->n_fields; i++) {
                const struct request_field *field = &options->fields[i];
                bool is_limit = strcmp(field->name, limits[0]) == 0 ||
                                strcmp(field->name, limits[1]) == 0;

                if (!(has_temperature && strcmp(field->name, "temperature") == 0) &&
                    !(has_limit && is_limit))
                        add_field(out, field->name, field->json);
        }
}

static bool has_field(const struct request_options *options, const char *name)
{
        for (size_t i = 0; i < options->n_fields; i++)
                if (strcmp(options->fields[i].name, name) == 0)
                        return true;
        return false;
}

void request_set_limit(struct request *request, enum request_limit limit)
{
        int n = snprintf(request->json + request->limit_at, LIMIT_SIZE, ",\"%s\":%" PRId32 "}",
                         limits[limit], request->max_tokens);

        request->limit = limit;
        request->n = request->limit_at + (size_t)n;
}

/* The last field, and the end. */
static int end(struct request *ret, struct writer *out, int32_t max_tokens,
               enum request_limit limit)
{
        static const char room[LIMIT_SIZE];
        const size_t n = out->n;

        writer_add(out, room, sizeof room);
        if (out->failed)
                return -ENOMEM;
        *ret = (struct request){ .json = out->p, .n = n, .max_tokens = max_tokens };
        if (max_tokens > 0) {
                ret->limit_at = n;
                request_set_limit(ret, limit);
        } else {
                ret->json[ret->n++] = '}';
        }
        return 0;
}

int request_make(struct request *ret, const struct request_options *options,
                 const LLMRequest *request, bool stream, double temperature,
                 enum request_limit limit)
{
        const char *model = request->model_id[0] ? request->model_id : options->model;
        struct writer out = {};
        int r;

        temperature = choose_temperature(options, request, temperature);
        if (isinf(temperature) || isnan(request->temperature))
                return -EINVAL;
        writer_puts(&out, "{\"model\":");
        writer_string(&out, model);
        writer_puts(&out, ",\"messages\":");
        r = add_messages(&out, options, request);
        writer_puts(&out, stream ? ",\"stream\":true" : ",\"stream\":false");
        if (!isnan(temperature)) {
                writer_puts(&out, ",\"temperature\":");
                writer_number(&out, temperature);
        }
        add_fields(&out, options, !isnan(temperature), request->max_tokens > 0);
        if (stream && options->include_usage && !has_field(options, "stream_options"))
                add_field(&out, "stream_options", "{\"include_usage\":true}");
        if (r == 0)
                r = end(ret, &out, request->max_tokens, limit);
        if (r < 0)
                free(out.p);
        return r;
}
