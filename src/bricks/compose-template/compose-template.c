/* SPDX-License-Identifier: MIT */

/* compose-template: documents by templates, as Markdown, HTML, plain text or JSON. See README.md.
 */

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "markdown.h"
#include "plan.h"

#define VERSION "1.0"

struct brick_instance {
        struct plan *plan;
};

/* A call. Its parts are: before, one for each document, after; or the whole. */
struct work {
        const struct plan *plan;
        struct brick_call *call;
        const ComposeRequest *request;
        enum format format;
        size_t part, n_parts;
        size_t size; /* of the texts so far */
};

/* ---- templates ------------------------------------------------------------------------------ */

static void *call_memory(void *call, size_t size)
{
        return brick_alloc(call, size);
}

/* document: its index, or SIZE_MAX. 0, or as a handler returns it. */
static int run(const struct work *work, const struct expr *template, size_t document,
               struct expr_value *ret)
{
        const ComposeRequest *request = work->request;
        const ComposeDocument *one = document < request->n_input_documents
                                             ? request->input_documents[document]
                                             : NULL;
        struct expr_value values[NAMES] = {
                [NAME_DOCUMENTS] = { .kind = EXPR_LIST,
                                     .stored = PROTOBUF_C_TYPE_MESSAGE,
                                     .n = request->n_input_documents,
                                     .elements = request->input_documents },
                [NAME_REQUEST] = expr_message(request),
                [NAME_DOCUMENT] = expr_message(one),
                [NAME_NUMBER] = expr_number((double)document + 1),
        };
        struct expr_run run = {
                .values = values,
                .alloc = call_memory,
                .user = work->call,
                .output = work->plan->max_part,
        };
        struct expr_mistake mistake;
        int r = expr_run(template, &run, ret, &mistake);

        if (r != -EINVAL && r != -E2BIG)
                return r;
        return brick_failf(work->call, r == -E2BIG ? BRICK_E_PARAMETER_INVALID : BRICK_E_INTERNAL,
                           mistake.text, "%s (line %u, column %u of the template)",
                           r == -E2BIG ? "The documents are too long"
                                       : "The documents do not fit the template",
                           mistake.line, mistake.column);
}

/* ---- texts ---------------------------------------------------------------------------------- */

static const struct expr *template_of(const struct work *work)
{
        if (work->plan->whole)
                return work->plan->whole;
        if (work->part == 0)
                return work->plan->before;
        return work->part + 1 < work->n_parts ? work->plan->document : work->plan->after;
}

static bool is_blank(const struct expr_value *text)
{
        for (size_t i = 0; i < text->n; i++)
                if (!strchr(" \t\r\n", text->text[i]))
                        return false;
        return true;
}

static int convert(const struct work *work, const struct expr_value *text, struct brick_text *ret)
{
        char *made;

        if (work->format == FORMAT_MARKDOWN) {
                brick_text_add(ret, text->text, text->n);
                return 0;
        }
        made = markdown_convert(text->text, text->n, work->format == FORMAT_HTML,
                                work->plan->extensions);
        if (!made)
                return -ENOMEM;
        brick_text_adds(ret, made);
        free(made);
        return 0;
}

/* A part ends with one newline. A blank line parts those that are no HTML. */
static void end_part(const struct work *work, struct brick_text *text)
{
        while (text->len > 0 && strchr("\r\n", text->ptr[text->len - 1]))
                text->len--;
        brick_text_adds(text, "\n");
}

/* Adds the next part, if it is not blank. 0, or as a handler returns it. */
static int take_part(struct work *work, struct brick_text *text)
{
        struct brick_text own = BRICK_TEXT(work->call);
        struct expr_value made;
        int r;

        if (brick_host->call_cancelled(work->call))
                return -ECANCELED;
        r = run(work, template_of(work), work->part - 1, &made);
        work->part++;
        if (r != 0 || is_blank(&made))
                return r;
        r = convert(work, &made, &own);
        if (r < 0 || own.failed)
                return -ENOMEM;
        end_part(work, &own);
        if (work->size > 0 && work->format != FORMAT_HTML)
                brick_text_adds(text, "\n");
        brick_text_add(text, own.ptr, own.len);
        work->size += own.len + 1;
        if (work->size > work->plan->max_output)
                return brick_failf(work->call, BRICK_E_PARAMETER_INVALID, NULL,
                                   "The output would be longer than %zu bytes",
                                   work->plan->max_output);
        return 0;
}

static int set_text(const struct work *work, struct brick_text *text, Struct *output)
{
        char *ended = brick_text_end(text);
        int r = ended ? brick_struct_add_string(work->call, output, "format",
                                                plan_format_name(work->format))
                      : -ENOMEM;

        return r == 0 ? brick_struct_add_string(work->call, output, "text", ended) : r;
}

static int compose_text(struct work *work, Struct *output)
{
        struct brick_text text = BRICK_TEXT(work->call);
        int r = 0;

        while (r == 0 && work->part < work->n_parts)
                r = take_part(work, &text);
        return r == 0 ? set_text(work, &text, output) : r;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static int set_field(const struct work *work, Struct *output, const char *name,
                     const struct expr_value *value)
{
        Value *field = brick_struct_add(work->call, output, name);
        int r = field ? json_set(work->call, value, field) : -ENOMEM;

        return r == -E2BIG ? brick_failf(work->call, BRICK_E_PARAMETER_INVALID, NULL,
                                         "The documents are nested deeper than %d", JSON_DEPTH_MAX)
                           : r;
}

static int compose_json(const struct work *work, Struct *output)
{
        const struct plan *plan = work->plan;
        struct expr_value value = {
                .kind = EXPR_LIST,
                .stored = PROTOBUF_C_TYPE_MESSAGE,
                .n = work->request->n_input_documents,
                .elements = work->request->input_documents,
        };
        int r = 0;

        if (plan->n_fields == 0)
                return set_field(work, output, "documents", &value);
        for (size_t i = 0; r == 0 && i < plan->n_fields; i++) {
                r = run(work, plan->fields[i].value, SIZE_MAX, &value);
                if (r == 0)
                        r = set_field(work, output, plan->fields[i].name, &value);
        }
        return r;
}

/* ---- calls ---------------------------------------------------------------------------------- */

static int begin(struct brick_instance *self, struct brick_call *call,
                 const ComposeRequest *request, struct work *work)
{
        *work = (struct work){
                .plan = self->plan,
                .call = call,
                .request = request,
                .format = self->plan->format,
                .n_parts = self->plan->whole ? 1 : request->n_input_documents + 2,
        };
        if (*request->target_format && !plan_format(request->target_format, &work->format))
                return brick_fail(call, BRICK_E_PARAMETER_INVALID, "There is no such target_format",
                                  "The formats are markdown, html, text and json.");
        return 0;
}

static int compose_unary(struct brick_instance *self, struct brick_call *call,
                         const ComposeRequest *request, ComposeResponse *response)
{
        struct work work;
        int r = begin(self, call, request, &work);

        if (r != 0)
                return r;
        return work.format == FORMAT_JSON ? compose_json(&work, response->output)
                                          : compose_text(&work, response->output);
}

/* A message for each part of a text that is not blank, each document of JSON, or all fields. */
static int send_part(struct work *work)
{
        ComposeResponse *response = BRICK_NEW(work->call, ComposeResponse);
        struct brick_text text = BRICK_TEXT(work->call);
        int r;

        if (!response)
                return -ENOMEM;
        if (work->format != FORMAT_JSON) {
                r = take_part(work, &text);
                if (r != 0 || text.len == 0)
                        return r;
                r = set_text(work, &text, response->output);
        } else if (work->plan->n_fields > 0) {
                work->part = work->n_parts;
                r = compose_json(work, response->output);
        } else {
                struct expr_value one = expr_message(work->request->input_documents[work->part++]);

                r = set_field(work, response->output, "document", &one);
        }
        return r == 0 ? brick_send(work->call, &response->base) : r;
}

static int compose_stream(struct brick_instance *self, struct brick_call *call,
                          const ComposeRequest *request)
{
        struct work work;
        int r = begin(self, call, request, &work);

        if (work.format == FORMAT_JSON && work.plan->n_fields == 0)
                work.n_parts = request->n_input_documents;
        while (r == 0 && work.part < work.n_parts) {
                size_t mark = brick_mark(call);

                r = send_part(&work);
                if (r == 0)
                        brick_rewind(call, mark);
        }
        return r;
}

/* ---- the instance --------------------------------------------------------------------------- */

static void compose_destroy(struct brick_instance *self)
{
        plan_free(self->plan);
        free(self);
}

static int compose_create(const struct brick_host *host, struct brick_ctx *ctx,
                          const struct brick_node *config, struct brick_instance **ret)
{
        struct brick_instance *self = calloc(1, sizeof *self);
        int r;

        if (!self)
                return -ENOMEM;
        markdown_init();
        r = plan_new(ctx, config, &self->plan);
        if (r < 0)
                compose_destroy(self);
        else
                *ret = self;
        return r;
}

static const struct brick_compose handlers = {
        .unary = compose_unary,
        .output_streaming = compose_stream,
};

BRICK_COMPOSE(handlers, .name = "compose-template", .version = VERSION,
              .summary = "composes documents by templates, as Markdown, HTML, text or JSON",
              .flags = BRICK_FLAG_BLOCKING, .host_minor = 3, .options = plan_options,
              .create = compose_create, .destroy = compose_destroy);
