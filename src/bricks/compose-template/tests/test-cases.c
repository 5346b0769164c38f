/* SPDX-License-Identifier: MIT */

/*
 * Templates and documents, hostile ones above all, with the exact output of each:
 * test-compose-template-cases CASES. Prints how many of each group are right.
 *
 * A case begins with "=== GROUP: NAME". Lines "options: YAML" and "format: NAME" follow, and for
 * each document "title: TEXT" and "snippet: TEXT", in which \n is a newline. After "---" comes the
 * output.
 */

#include <stdio.h>
#include <string.h>

#include "fake-host.h"

#define DOCUMENTS_MAX 4
#define GROUPS_MAX 8
#define OUTPUT_MAX 4096
#define NAME_MAX_SIZE 96

const struct brick_module *compose_template_brick_module_v1(void);

struct test_case {
        char group[NAME_MAX_SIZE];
        char name[NAME_MAX_SIZE];
        char *options;
        char *format;
        ComposeDocument documents[DOCUMENTS_MAX];
        size_t n_documents;
        char output[OUTPUT_MAX];
};

struct group {
        char name[NAME_MAX_SIZE];
        unsigned right;
        unsigned all;
};

static struct group groups[GROUPS_MAX];

/* What comes from outside gets into HTML by these tags and attributes only. */
static const char *const tags[] = { "a",  "blockquote", "br",    "code",   "del",   "em",
                                    "h1", "h2",         "h3",    "hr",     "img",   "li",
                                    "ol", "p",          "pre",   "strong", "table", "tbody",
                                    "td", "th",         "thead", "tr",     "ul" };
static const char *const attributes[] = { "align", "alt", "class", "href",
                                          "lang",  "src", "start", "title" };

static bool is_one_of(const char *const *list, size_t n, const char *name, size_t length)
{
        for (size_t i = 0; i < n; i++)
                if (strlen(list[i]) == length && memcmp(list[i], name, length) == 0)
                        return true;
        return false;
}

/* Whether an address is one that a browser runs. */
static bool is_run(const char *address)
{
        static const char *const schemes[] = { "javascript:", "vbscript:", "file:", "data:" };

        for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
                if (strncasecmp(address, schemes[i], strlen(schemes[i])) == 0)
                        return strncasecmp(address, "data:image/", 11) != 0;
        return false;
}

/* The attributes of a tag, up to its end. */
static bool are_safe(const char *at, const char *end)
{
        while (at < end && *at == ' ') {
                size_t n = strcspn(++at, "=/> ");

                if (*at == '/' || at >= end)
                        break;
                if (!is_one_of(attributes, sizeof attributes / sizeof *attributes, at, n) ||
                    at[n] != '=' || at[n + 1] != '"' || is_run(at + n + 2))
                        return false;
                at = strchr(at + n + 2, '"');
                if (!at)
                        return false;
                at++;
        }
        return true;
}

/* Reads the output as a browser does, but without any mercy. */
static bool is_safe(const char *html)
{
        static const char omitted[] = "<!-- raw HTML omitted -->";

        while ((html = strchr(html, '<'))) {
                const char *name = html + 1 + (html[1] == '/'), *end = strchr(html, '>');
                size_t n = strcspn(name, " />");

                if (strncmp(html, omitted, strlen(omitted)) != 0 &&
                    (!end || !is_one_of(tags, sizeof tags / sizeof *tags, name, n) ||
                     !are_safe(name + n, end)))
                        return false;
                html++;
        }
        return true;
}

static struct group *group_of(const char *name)
{
        size_t i = 0;

        while (groups[i].name[0] && strcmp(groups[i].name, name) != 0)
                check(++i < GROUPS_MAX);
        (void)snprintf(groups[i].name, sizeof groups[i].name, "%s", name);
        return &groups[i];
}

static void run(const struct test_case *c)
{
        ComposeRequest request = PROTOCOLS__GRPC__COMPOSE__COMPOSE_REQUEST__INIT;
        ComposeDocument *documents[DOCUMENTS_MAX];
        struct group *group = group_of(c->group);
        const ComposeResponse *response;
        struct fake_host *host;
        struct fake_call *call;
        const char *text;

        if (fake_host_new(&host, compose_template_brick_module_v1(), c->options) < 0)
                fake_die("%s: create(): %s", c->name, fake_host_said(host));
        for (size_t i = 0; i < c->n_documents; i++)
                documents[i] = (ComposeDocument *)&c->documents[i];
        request.input_documents = documents;
        request.n_input_documents = c->n_documents;
        request.target_format = c->format;
        call = fake_call_new(host, BRICK_METHOD_UNARY, &request.base);
        check(fake_call_run(call) == 0 && fake_call_code(call) == 200);
        response = fake_call_reply(call, 0, BRICK_DESCRIPTOR(ComposeResponse));
        text = brick_struct_get_string(response->output, "text");
        group->all++;
        if (strcmp(text, c->output) != 0)
                printf("=== %s: %s\n---\n%s", c->group, c->name, text);
        else if (strcmp(c->format, "html") == 0 && !is_safe(text))
                printf("%s: %s: this is not safe:\n%s", c->group, c->name, text);
        else
                group->right++;
        fake_call_free(call);
        fake_host_free(host);
}

static char *unescaped(char *text)
{
        char *to = text;

        text[strcspn(text, "\n")] = '\0';
        for (const char *from = text; *from; from++)
                if (from[0] == '\\' && from[1] == 'n')
                        from++, *to++ = '\n';
                else
                        *to++ = *from;
        *to = '\0';
        return text;
}

/* A line before the output. */
static void read_key(struct test_case *c, const char *line)
{
        const char *value = strstr(line, ": ");
        char *text = value ? unescaped(strdup(value + 2)) : NULL;

        check(text);
        if (strncmp(line, "options:", 8) == 0) {
                c->options = text;
        } else if (strncmp(line, "format:", 7) == 0) {
                c->format = text;
        } else if (strncmp(line, "title:", 6) == 0) {
                check(c->n_documents < DOCUMENTS_MAX);
                c->documents[c->n_documents] = (ComposeDocument)
                        PROTOCOLS__GRPC__COMPOSE__DOCUMENT__INIT;
                c->documents[c->n_documents++].title = text;
        } else if (strncmp(line, "snippet:", 8) == 0) {
                check(c->n_documents > 0);
                c->documents[c->n_documents - 1].snippet = text;
        } else {
                fake_die("a line is not understood: %s", line);
        }
}

static void case_done(struct test_case *c)
{
        free(c->options);
        free(c->format);
        for (size_t i = 0; i < c->n_documents; i++) {
                free(c->documents[i].title);
                if (c->documents[i].snippet != protobuf_c_empty_string)
                        free(c->documents[i].snippet);
        }
        *c = (struct test_case){};
}

static void read_cases(FILE *f)
{
        struct test_case c = {};
        bool output = false;
        char *line = NULL;
        size_t size = 0;

        while (getline(&line, &size, f) > 0) {
                if (strncmp(line, "=== ", 4) == 0) {
                        if (c.name[0])
                                run(&c);
                        case_done(&c);
                        output = false;
                        check(sscanf(line, "=== %95[^:]: %95[^\n]", c.group, c.name) == 2);
                } else if (strcmp(line, "---\n") == 0 && !output) {
                        output = true;
                } else if (output) {
                        check(strlen(c.output) + strlen(line) < sizeof c.output);
                        strcat(c.output, line);
                } else if (line[0] != '#' && line[0] != '\n') {
                        read_key(&c, line);
                }
        }
        run(&c);
        case_done(&c);
        free(line);
}

int main(int argc, char **argv)
{
        FILE *f = argc == 2 ? fopen(argv[1], "re") : NULL;
        bool good = true;

        check(f);
        read_cases(f);
        check(fclose(f) == 0);
        for (const struct group *g = groups; g < groups + GROUPS_MAX && g->all > 0; g++) {
                printf("%s: %u of %u\n", g->name, g->right, g->all);
                good = good && g->right == g->all;
        }
        return good ? 0 : 1;
}
