/* SPDX-License-Identifier: MIT */

/* The brick as a host sees it. */

#include <string.h>

#include "fake-host.h"

const struct brick_module *compose_template_brick_module_v1(void);

static struct fake_host *host_of(const char *options)
{
        struct fake_host *host;
        int r = fake_host_new(&host, compose_template_brick_module_v1(), options);

        if (r < 0)
                fake_die("create(): %d, %s", r, fake_host_said(host));
        return host;
}

static void expect_refused(const char *options, const char *why)
{
        struct fake_host *host;

        check(fake_host_new(&host, compose_template_brick_module_v1(), options) < 0);
        if (!strstr(fake_host_said(host), why))
                fake_die("'%s' is not in '%s'", why, fake_host_said(host));
        fake_host_free(host);
}

/* Two documents. The second wants to be more than a text. */
static struct fake_call *run(struct fake_host *host, unsigned method, const char *format,
                             size_t n_documents)
{
        ComposeRequest request = PROTOCOLS__GRPC__COMPOSE__COMPOSE_REQUEST__INIT;
        ComposeDocument one = PROTOCOLS__GRPC__COMPOSE__DOCUMENT__INIT, two = one;
        ComposeDocument *documents[] = { &one, &two };
        struct fake_call *call;

        one.doc_id = (char *)"1";
        one.title = (char *)"Bricks";
        one.snippet = (char *)"They are red.";
        one.score = 0.5f;
        two.doc_id = (char *)"2";
        two.snippet = (char *)"# <b>*x*</b>\n[y](javascript:z)";
        request.input_documents = documents;
        request.n_input_documents = n_documents;
        request.target_format = (char *)format;
        call = fake_call_new(host, method, &request.base);
        check(fake_call_run(call) == 0);
        return call;
}

static const Struct *output(struct fake_call *call, size_t index)
{
        const ComposeResponse *response;

        if (fake_call_code(call) != 200)
                fake_die("%d %s %s", fake_call_code(call), fake_call_text(call),
                         fake_call_detail(call));
        response = fake_call_reply(call, index, BRICK_DESCRIPTOR(ComposeResponse));
        return response->output;
}

static void expect(struct fake_host *host, const char *target, size_t n, const char *format,
                   const char *text)
{
        _cleanup_(fake_call_freep) struct fake_call *call = run(host, BRICK_METHOD_UNARY, target,
                                                                n);
        const Struct *object = output(call, 0);

        if (strcmp(brick_struct_get_string(object, "text"), text) != 0)
                fake_die("got\n%s\nand not\n%s", brick_struct_get_string(object, "text"), text);
        check(strcmp(brick_struct_get_string(object, "format"), format) == 0);
}

static void expect_error(struct fake_host *host, const char *target, size_t n, int code,
                         const char *why)
{
        _cleanup_(fake_call_freep) struct fake_call *call = run(host, BRICK_METHOD_UNARY, target,
                                                                n);

        if (fake_call_code(call) != code ||
            (!strstr(fake_call_text(call), why) && !strstr(fake_call_detail(call), why)))
                fake_die("%d %s %s", fake_call_code(call), fake_call_text(call),
                         fake_call_detail(call));
}

static void test_formats(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = host_of(NULL);

        expect(host, "", 2, "markdown",
               "## 1. Bricks\n\nThey are red.\n\n"
               "## 2. 2\n\n\\# \\<b\\>\\*x\\*\\</b\\> \\[y\\](javascript:z)\n");
        expect(host, "HTML", 2, "html",
               "<h2>1. Bricks</h2>\n<p>They are red.</p>\n"
               "<h2>2. 2</h2>\n<p># &lt;b&gt;*x*&lt;/b&gt; [y](javascript:z)</p>\n");
        expect(host, "text/plain", 1, "text", "1. Bricks\n\nThey are red.\n");
        expect(host, "md", 0, "markdown", "Nothing was found.\n");
        expect_error(host, "pdf", 1, 2003, "no such target_format");
}

/* What documents have is Markdown, but no HTML and no scripts. */
static void test_safe(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = host_of(
                "{ documents: markdown, template: \"{{ documents[1].snippet }}\", format: html }");

        expect(host, "", 2, "html",
               "<h1><!-- raw HTML omitted --><em>x</em><!-- raw HTML omitted --></h1>\n"
               "<p><a href=\"\">y</a></p>\n");
}

static void test_extensions(void)
{
        struct fake_host *host = host_of(
                "{ format: html, template: \"~~a~~ www.a.org\n\n|a|\n|-|\" }");

        expect(host, "", 0, "html",
               "<p><del>a</del> <a href=\"http://www.a.org\">www.a.org</a></p>\n"
               "<table>\n<thead>\n<tr>\n<th>a</th>\n</tr>\n</thead>\n</table>\n");
        fake_host_free(host);
        host = host_of("{ format: html, template: \"~~a~~ www.a.org\", extensions: [] }");
        expect(host, "", 0, "html", "<p>~~a~~ www.a.org</p>\n");
        fake_host_free(host);
}

static void test_json(void)
{
        struct fake_host *host = host_of("{ format: json }");
        struct fake_call *call = run(host, BRICK_METHOD_UNARY, "", 2);
        const ListValue *list = brick_struct_get_list(output(call, 0), "documents");
        double score = 0;

        check(list && list->n_values == 2);
        check(brick_struct_get_number(list->values[0]->struct_value, "score", &score) &&
              score == 0.5);
        check(strcmp(brick_struct_get_string(list->values[0]->struct_value, "title"), "Bricks") ==
              0);
        check(brick_struct_get_struct(list->values[0]->struct_value, "metadata") == NULL);
        fake_call_free(call);
        fake_host_free(host);

        host = host_of(
                "{ fields: { best: \"{{ documents[0].title }}!\", n: \"{{ length(documents) }}\","
                " all: \"{{ documents }}\", fixed: yes } }");
        call = run(host, BRICK_METHOD_UNARY, "json", 1);
        check(strcmp(brick_struct_get_string(output(call, 0), "best"), "Bricks!") == 0);
        check(brick_struct_get_number(output(call, 0), "n", &score) && score == 1);
        check(brick_struct_get_list(output(call, 0), "all")->n_values == 1);
        check(output(call, 0)->n_fields == 4);
        fake_call_free(call);
        fake_host_free(host);
}

static void test_stream(void)
{
        static const char *const parts[] = { "Found:\n", "\n* Bricks\n", "\n* \n", "\nDone.\n" };
        struct fake_host *host = host_of("{ before: \"Found:\", after: \"Done.\n\n\","
                                         " document: \"* {{ document.title | markdown }}\" }");
        struct fake_call *call = run(host, BRICK_METHOD_OUTPUT_STREAMING, "", 2);

        check(fake_call_replies(call) == 4);
        for (size_t i = 0; i < 4; i++)
                check(strcmp(brick_struct_get_string(output(call, i), "text"), parts[i]) == 0);
        fake_call_free(call);
        expect(host, "", 2, "markdown", "Found:\n\n* Bricks\n\n* \n\nDone.\n");
        fake_host_free(host);

        host = host_of("{ format: json }");
        call = run(host, BRICK_METHOD_OUTPUT_STREAMING, "", 2);
        check(fake_call_replies(call) == 2);
        check(strcmp(brick_struct_get_string(brick_struct_get_struct(output(call, 1), "document"),
                                             "doc_id"),
                     "2") == 0);
        fake_call_free(call);
        call = run(host, BRICK_METHOD_OUTPUT_STREAMING, "pdf", 2);
        check(fake_call_code(call) == 2003);
        fake_call_free(call);
        fake_host_free(host);
}

static void test_limits(void)
{
        struct fake_host *host = host_of("{ max_part: 1024, template: \"{% for d in documents %}"
                                         "{{ json(d) + json(d) + json(d) + json(d) + json(d) +"
                                         " json(d) + json(d) }}{% endfor %}\" }");

        expect_error(host, "", 2, 2003, "The documents are too long (line 1, column ");
        fake_host_free(host);
        host = host_of("{ max_output: 20 }");
        expect_error(host, "", 1, 2003, "longer than 20 bytes");
        fake_host_free(host);
        host = host_of("{ template: \"{{ documents[0].metadata.a + 1 }}\" }");
        expect_error(host, "", 1, 500, "do not fit the template (line 1, column ");
        fake_host_free(host);
}

static void test_mistakes(void)
{
        expect_refused("{ document: \"{{ document.name }}\" }", "there is no field 'name'");
        expect_refused("{ document: \"{{ document.snippet }}\" }", "this text comes from outside");
        expect_refused("{ before: \"{{ document.title }}\" }", "only in the option `document`");
        expect_refused("{ template: \"a\n{{ x }}\" }", "line 2, column 4 of the text");
        expect_refused("{ fields: { a: \"{{ b }}\" } }", "there is no value 'b'");
        expect_refused("{ fields: { a: [b] } }", "expected a text, a template");
        expect_refused("{ template: a, after: b }", "leave out `after`");
}

int main(void)
{
        test_formats();
        test_safe();
        test_extensions();
        test_json();
        test_stream();
        test_limits();
        test_mistakes();
        return 0;
}
