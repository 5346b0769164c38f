/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "markdown.h"

#define KIB INT64_C(1024)

static const char default_document[] =
        "## {{ number }}. {{ document.title | default(document.doc_id) | markdown }}\n\n"
        "{{ document.snippet | markdown }}\n";
static const char default_before[] = "{% if length(documents) == 0 %}Nothing was found.{% endif %}";

static const struct brick_option extension = {
        .type = BRICK_ENUM,
        .choices = "table|strikethrough|autolink",
        .summary = "an extension of Markdown",
};

const struct brick_option plan_options[] = {
        { .name = "format",
          .type = BRICK_ENUM,
          .choices = "markdown|html|text|json",
          .fallback = "markdown",
          .summary = "of the output where a request does not say" },
        { .name = "document",
          .type = BRICK_STRING,
          .summary = "template of a document, in Markdown; default: its title and snippet" },
        { .name = "before",
          .type = BRICK_STRING,
          .summary =
                  "template of what stands before them; default: that nothing was found, if so" },
        { .name = "after",
          .type = BRICK_STRING,
          .summary = "template of what stands behind the documents; default: nothing" },
        { .name = "template",
          .type = BRICK_STRING,
          .summary = "template of the whole, in place of these three" },
        { .name = "fields",
          .type = BRICK_MAP,
          .summary = "templates of the fields of JSON; default: the documents" },
        { .name = "documents",
          .type = BRICK_ENUM,
          .choices = "text|markdown",
          .fallback = "text",
          .summary = "what documents have; text: templates must write it by markdown, escape or "
                     "json" },
        { .name = "extensions",
          .type = BRICK_LIST,
          .items = &extension,
          .fallback = "[table, strikethrough, autolink]",
          .summary = "of Markdown, for html and text" },
        { .name = "max_part",
          .type = BRICK_SIZE,
          .fallback = "32KiB",
          .min = KIB,
          .max = 64 * KIB,
          .summary = "largest text of one template" },
        { .name = "max_output",
          .type = BRICK_SIZE,
          .fallback = "1MiB",
          .min = KIB,
          .max = 16 * 1024 * KIB,
          .summary = "largest output" },
        {},
};

/* ---- formats -------------------------------------------------------------------------------- */

static const struct {
        const char *name;
        enum format format;
} formats[] = {
        { "markdown", FORMAT_MARKDOWN },
        { "md", FORMAT_MARKDOWN },
        { "text/markdown", FORMAT_MARKDOWN },
        { "html", FORMAT_HTML },
        { "text/html", FORMAT_HTML },
        { "text", FORMAT_TEXT },
        { "txt", FORMAT_TEXT },
        { "plain", FORMAT_TEXT },
        { "text/plain", FORMAT_TEXT },
        { "json", FORMAT_JSON },
        { "application/json", FORMAT_JSON },
};

bool plan_format(const char *name, enum format *ret)
{
        for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
                if (strcasecmp(name, formats[i].name) == 0) {
                        *ret = formats[i].format;
                        return true;
                }
        return false;
}

const char *plan_format_name(enum format format)
{
        static const char *const names[FORMATS] = { "markdown", "html", "text", "json" };

        return names[format];
}

/* ---- templates ------------------------------------------------------------------------------ */

enum where { OUTSIDE, IN_DOCUMENT };

static void names_of(bool untrusted, enum where where, struct expr_name names[NAMES])
{
        static const char outside[] = "there is one only in the option `document`; write "
                                      "{% for d in documents %}";

        names[NAME_DOCUMENTS] = (struct expr_name){
                .name = "documents",
                .type = { EXPR_LIST, EXPR_MESSAGE, BRICK_DESCRIPTOR(ComposeDocument) },
                .untrusted = untrusted,
        };
        names[NAME_REQUEST] = (struct expr_name){
                .name = "request",
                .type = { .kind = EXPR_MESSAGE, .message = BRICK_DESCRIPTOR(ComposeRequest) },
                .untrusted = untrusted,
        };
        names[NAME_DOCUMENT] = (struct expr_name){
                .name = "document",
                .type = { .kind = EXPR_MESSAGE, .message = BRICK_DESCRIPTOR(ComposeDocument) },
                .unavailable = where == IN_DOCUMENT ? NULL : outside,
                .untrusted = untrusted,
        };
        names[NAME_NUMBER] = (struct expr_name){
                .name = "number",
                .type = { .kind = EXPR_NUMBER },
                .unavailable = where == IN_DOCUMENT ? NULL : outside,
        };
}

static void blame(struct plan *plan, const struct brick_node *node, struct brick_str text,
                  const struct expr_mistake *mistake)
{
        if (memchr(text.ptr, '\n', text.len))
                brick_node_errorf(brick_host, plan->ctx, node, "line %u, column %u of the text: %s",
                                  mistake->line, mistake->column, mistake->text);
        else
                brick_node_errorf(brick_host, plan->ctx, node, "column %u of the text: %s",
                                  mistake->column, mistake->text);
}

static bool is_nested(const struct brick_node *node)
{
        uint32_t type = brick_host->node_type(node);

        return type == BRICK_LIST || type == BRICK_MAP;
}

/* node: what the user has written, or NULL for the default. */
static int compile(struct plan *plan, const struct brick_node *node, const char *fallback,
                   bool untrusted, enum where where, const struct expr_type *want,
                   struct expr **ret)
{
        struct brick_str text = node ? brick_host->node_str(node) : brick_str(fallback);
        struct expr_name names[NAMES];
        struct expr_scope scope = { .names = names, .n_names = NAMES };
        struct expr_mistake mistake;
        int r;

        if (is_nested(node)) {
                brick_node_errorf(brick_host, plan->ctx, node, "expected a text, a template");
                return -EINVAL;
        }
        names_of(untrusted, where, names);
        r = expr_compile_template(text.ptr, text.len, &scope, want, ret, &mistake);
        if (r == -EINVAL)
                blame(plan, node, text, &mistake);
        return r;
}

static const struct brick_node *option(const struct brick_node *config, const char *name)
{
        return brick_host->node_get(config, name);
}

static bool has_parts(struct plan *plan, const struct brick_node *config)
{
        static const char *const parts[] = { "before", "document", "after" };

        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
                if (option(config, parts[i])) {
                        brick_node_errorf(brick_host, plan->ctx, option(config, parts[i]),
                                          "the option `template` is the whole: leave out `%s`",
                                          parts[i]);
                        return true;
                }
        return false;
}

static int take_templates(struct plan *plan, const struct brick_node *config)
{
        bool untrusted = strcmp(brick_host->node_str(option(config, "documents")).ptr, "text") == 0;
        const struct brick_node *whole = option(config, "template");
        int r = 0;

        if (whole && has_parts(plan, config))
                return -EINVAL;
        if (whole)
                return compile(plan, whole, NULL, untrusted, OUTSIDE, NULL, &plan->whole);
        r = compile(plan, option(config, "document"), default_document, untrusted, IN_DOCUMENT,
                    NULL, &plan->document);
        if (r == 0)
                r = compile(plan, option(config, "before"), default_before, untrusted, OUTSIDE,
                            NULL, &plan->before);
        if (r == 0)
                r = compile(plan, option(config, "after"), "", untrusted, OUTSIDE, NULL,
                            &plan->after);
        return r;
}

/* Their values are not put into a text, so nothing has to be escaped. */
static int take_fields(struct plan *plan, const struct brick_node *map)
{
        static const struct expr_type any = { .kind = EXPR_ANY };
        size_t n = brick_host->node_size(map);
        int r = 0;

        plan->fields = calloc(n ? n : 1, sizeof *plan->fields);
        if (!plan->fields)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < n; i++) {
                struct field *field = &plan->fields[plan->n_fields++];

                field->name = strdup(brick_host->node_key(map, i).ptr);
                r = field->name ? compile(plan, brick_host->node_at(map, i), NULL, false, OUTSIDE,
                                          &any, &field->value)
                                : -ENOMEM;
        }
        return r;
}

static unsigned take_extensions(const struct brick_node *list)
{
        unsigned bits = 0;

        for (size_t i = 0; i < brick_host->node_size(list); i++) {
                const char *name = brick_host->node_str(brick_host->node_at(list, i)).ptr;

                for (unsigned k = 0; k < MARKDOWN_EXTENSIONS; k++)
                        if (strcmp(name, markdown_extensions[k]) == 0)
                                bits |= 1u << k;
        }
        return bits;
}

int plan_new(struct brick_ctx *ctx, const struct brick_node *config, struct plan **ret)
{
        struct plan *plan = *ret = calloc(1, sizeof *plan);
        int r;

        if (!plan)
                return -ENOMEM;
        plan->ctx = ctx;
        (void)plan_format(brick_host->node_str(option(config, "format")).ptr, &plan->format);
        plan->extensions = take_extensions(option(config, "extensions"));
        plan->max_part = (size_t)brick_host->node_int(option(config, "max_part"));
        plan->max_output = (size_t)brick_host->node_int(option(config, "max_output"));
        r = take_templates(plan, config);
        return r == 0 ? take_fields(plan, option(config, "fields")) : r;
}

struct plan *plan_free(struct plan *plan)
{
        if (!plan)
                return NULL;
        for (size_t i = 0; i < plan->n_fields; i++) {
                free(plan->fields[i].name);
                expr_free(plan->fields[i].value);
        }
        free(plan->fields);
        expr_free(plan->whole);
        expr_free(plan->before);
        expr_free(plan->document);
        expr_free(plan->after);
        free(plan);
        return NULL;
}
