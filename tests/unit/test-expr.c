/* SPDX-License-Identifier: MIT */

/* The language of expressions and templates: values, mistakes with their places, bounds, and that
 * what is printed means the same. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "expr-scope.h"

static struct expr_world world;
static struct memory memory;

static struct expr_run a_run(void)
{
        return (struct expr_run){ .values = world.values, .alloc = memory_alloc, .user = &memory };
}

static struct expr *compile(const char *text, bool template)
{
        struct expr_mistake mistake;
        struct expr *expr;
        int r = (template ? expr_compile_template : expr_compile)(text, strlen(text), &expr_scope,
                                                                  NULL, &expr, &mistake);

        if (r < 0) {
                fprintf(stderr, "%s: %u:%u: %s\n", text, mistake.line, mistake.column,
                        mistake.text);
                abort();
        }
        return expr;
}

/* The text that the template {{ expression }}, or a template, makes. */
static void expect_of(const struct expr *expr, const char *source, const char *expected)
{
        struct expr_run run = a_run();
        struct expr_mistake mistake;
        struct expr_value value;
        int r = expr_run(expr, &run, &value, &mistake);

        if (r < 0 || value.kind != EXPR_TEXT || value.n != strlen(expected) ||
            memcmp(value.text, expected, value.n) != 0) {
                fprintf(stderr, "%s: %d, \"%.*s\"\n", source, r, r < 0 ? 200 : (int)value.n,
                        r < 0 ? mistake.text : value.text);
                abort();
        }
        memory_free(&memory);
}

static void renders(const char *text, const char *expected)
{
        struct expr *expr = compile(text, true), *again;
        char *printed = expr_print(expr), *twice;

        expect_of(expr, text, expected);
        assert(printed);
        again = compile(printed, true);
        expect_of(again, printed, expected);
        twice = expr_print(again);
        if (strcmp(printed, twice) != 0) {
                fprintf(stderr, "%s\n%s\n", printed, twice);
                abort();
        }
        free(printed);
        free(twice);
        expr_free(again);
        expr_free(expr);
}

static void gives(const char *expression, const char *expected)
{
        char text[512];

        snprintf(text, sizeof text, "{{ %s }}", expression);
        renders(text, expected);
}

static void prints(const char *expression, const char *expected)
{
        struct expr *expr = compile(expression, false);
        char *printed = expr_print(expr);

        if (strcmp(printed, expected) != 0) {
                fprintf(stderr, "%s: %s\n", expression, printed);
                abort();
        }
        free(printed);
        expr_free(expr);
}

static void mistaken(const char *text, bool template, const struct expr_type *want, unsigned line,
                     unsigned column, const char *expected)
{
        struct expr_mistake mistake;
        struct expr *expr = NULL;
        int r = (template ? expr_compile_template : expr_compile)(text, strlen(text), &expr_scope,
                                                                  want, &expr, &mistake);

        if (r != -EINVAL || mistake.line != line || mistake.column != column ||
            strcmp(mistake.text, expected) != 0) {
                fprintf(stderr, "%s: %d: %u:%u: %s\n", text, r, mistake.line, mistake.column,
                        mistake.text);
                abort();
        }
}

static void wrong(const char *text, unsigned column, const char *expected)
{
        mistaken(text, false, NULL, 1, column, expected);
}

static void wrong_template(const char *text, unsigned line, unsigned column, const char *expected)
{
        mistaken(text, true, NULL, line, column, expected);
}

static void fails(const char *text, int error, unsigned column, const char *expected)
{
        struct expr *expr = compile(text, false);
        struct expr_run run = a_run();
        struct expr_mistake mistake;
        struct expr_value value;
        int r = expr_run(expr, &run, &value, &mistake);

        if (r != error || mistake.column != column || strcmp(mistake.text, expected) != 0) {
                fprintf(stderr, "%s: %d: %u: %s\n", text, r, mistake.column, mistake.text);
                abort();
        }
        memory_free(&memory);
        expr_free(expr);
}

static void test_values(void)
{
        gives("text", "Where is\nmy \"order\"?");
        gives("request.max_tokens", "100");
        gives("request.temperature", "0.7");
        gives("intent.results[0].intent_category", "greeting");
        gives("intent.category", "greeting");
        gives("intent.confidence >= 0.9", "true");
        gives("docs.documents[1].title", "Two {{ 2 }}");
        gives("docs.documents[-1].score", "2");
        gives("docs.documents[7].title", "");
        gives("docs.documents[7].metadata.name", "");
        gives("skipped.documents[0].score", "0");
        gives("skipped.documents | length", "0");
        gives("skipped == null", "true");
        gives("docs != null", "true");
        gives("common.data.name", "Ada \"A\" <L>");
        gives("common.data['level'] + 1", "4");
        gives("common.data.missing", "");
        gives("common.data.missing.deeper", "");
        gives("common.data.inner.deep", "down");
        gives("common.data.list[1]", "1.5");
        gives("common.data.list[9] == null", "true");
        gives("common.data.list", "[0.5, 1.5, 2.5]");
        gives("docs.documents[0].metadata.inner", "{\"deep\": \"down\"}");
        gives("tags[0] + tags[1]", "ab");
        gives("[text, 1][1]", "1");
        gives("null", "");
}

static void test_operators(void)
{
        gives("1 + 2 - 4", "-1");
        gives("-1 - -1", "0");
        gives("0.1 + 0.2", "0.30000000000000004");
        gives("1e300", "1e+300");
        gives("\"a\" + 'b'", "ab");
        gives("'\\'\\\"\\\\\\n\\t\\r'", "'\"\\\n\t\r");
        gives("1 < 2 and not 2 <= 1 or false", "true");
        gives("\"a\" < \"b\"", "true");
        gives("\"a\" < \"ab\" and \"b\" > \"ab\" and \"a\" >= \"a\"", "true");
        gives("not true == false", "true");
        gives("not (true and false)", "true");
        gives("1 == common.data.level", "false");
        gives("\"3\" == common.data.level", "false");
        gives("common.data.level in [1, 2, 3]", "true");
        gives("intent.category in [\"a\", \"greeting\"]", "true");
        gives("intent.category not in [\"a\"]", "true");
        gives("\"order\" in text", "true");
        gives("\"\" in text", "true");
        gives("\"name\" in common.data and \"nom\" not in common.data", "true");
        gives("1.5 in common.data.list", "true");
        gives("not \"a\" in tags", "false");
        gives("1 in []", "false");
        /* the other side does not run */
        gives("true or common.data.name", "true");
        gives("false and common.data.name", "false");
}

static void test_functions(void)
{
        gives("request.prompt | trim | lower", "h\xc3\xa9llo, world");
        gives("upper(trim(request.prompt))", "H\xc3\xa9LLO, WORLD");
        gives("request.prompt | trim | truncate(2)", "H\xc3\xa9");
        gives("truncate(text, 0)", "");
        gives("length(trim(request.prompt))", "12");
        gives("length(docs.documents) + length(tags) + length(common.data)", "11");
        gives("length(common.data.missing)", "0");
        gives("tags | join(\", \")", "a, b");
        gives("tags | join", "ab");
        gives("[1, true, \"x\"] | join(\"-\")", "1-true-x");
        gives("common.data.none | default(\"no\")", "no");
        gives("docs.documents[2].title | default(\"untitled\")", "untitled");
        gives("common.data.level | default(7)", "3");
        gives("text | json", "\"Where is\\nmy \\\"order\\\"?\"");
        gives("intent | json",
              "{\"results\": [{\"intent_category\": \"greeting\", \"confidence\": 0.9}], "
              "\"error\": null}");
        gives("json([1, null, true, \"\x01\x7f\"])", "[1, null, true, \"\\u0001\\u007f\"]");
        gives("common.data.name | escape", "Ada &quot;A&quot; &lt;L&gt;");
        gives("\"&'\" | escape", "&amp;&#39;");
        gives("'[a](b) <i> *c* \\\\ | \"d\"' | markdown",
              "\\[a\\](b) \\<i\\> \\*c\\* \\\\ \\| \\\"d\\\"");
        gives("'  one\\n\\n two-3.\\t' | markdown", "one two-3.");
        gives("'https://a.b/?c=d&e_f www.g.h www x:y' | markdown",
              "https\\://a.b/?c=d\\&e\\_f www\\.g.h www x:y");
        gives("'# a' | markdown", "\\# a");
        gives("'12. a 12.' | markdown", "12\\. a 12.");
        gives("' - a' | markdown", "\\- a");
        gives("'12' | markdown", "12");
        gives("'' | markdown", "");
        gives("2.345 | round(2)", "2.35");
        gives("round(-2.5)", "-3");
        gives("round(1e308, 15)", "1e+308");
}

static void test_templates(void)
{
        renders("", "");
        renders("plain { text } }} %}", "plain { text } }} %}");
        renders("a{# a {{ comment #}b", "ab");
        renders("{{ \"}}\" }}{{ \"{{\" }}{{ \"{\" }}%", "}}{{{%");
        renders("{{ text }}{", "Where is\nmy \"order\"?{");
        renders("{{ 1 }}{{ true }}{{ null }}", "1true");
        renders("{% for d in docs.documents %}[{{ loop.index }}] {{ d.title }}\n{% endfor %}",
                "[1] One\n[2] Two {{ 2 }}\n[3] \n");
        renders("{% for d in docs.documents %}{{ d.score }}{% if not loop.last %}, {% endif %}"
                "{% endfor %}",
                "0, 1, 2");
        renders("{% for t in tags %}{% for d in docs.documents %}{{ t }}{{ d.score }}"
                "{{ loop.index }}/{{ loop.length }} {% endfor %}{{ loop.first }} {% endfor %}",
                "a01/3 a12/3 a23/3 true b01/3 b12/3 b23/3 false ");
        renders("{% for d in skipped.documents %}x{% else %}none{% endfor %}", "none");
        renders("{% for i in common.data.list %}{{ i }};{% endfor %}", "0.5;1.5;2.5;");
        renders("{% for i in common.data.missing %}x{% else %}none{% endfor %}", "none");
        renders("{% for a in [[1, 2], [3]] %}{% for b in a %}{{ b }}{% endfor %};{% endfor %}",
                "12;3;");
        renders("{% if intent.confidence > 0.95 %}a{% elif intent.category == \"greeting\" %}b"
                "{% else %}c{% endif %}",
                "b");
        renders("{% if false %}a{% endif %}", "");
        renders("a\n{%- if true -%}\n b {{- 1 -}} \n{% endif %}\nc", "ab1\nc");
        renders("{{ text -}}\n\n{#- x -#} b", "Where is\nmy \"order\"?b");
}

static void test_printing(void)
{
        prints("intent.confidence>0.8 and(text==\"a\" or not true)",
               "intent.results[0].confidence > 0.8 and (text == \"a\" or false)");
        prints("(not (text == 'x')) == false", "(not text == \"x\") == false");
        prints("1-(2-request.max_tokens)", "1 - (2 - request.max_tokens)");
        prints("1-2-request.max_tokens", "-1 - request.max_tokens");
        prints("-(request.max_tokens+1)", "-(request.max_tokens + 1)");
        prints("text|lower|truncate(3-1)", "truncate(lower(text), 2)");
        prints("text not in ['a','b\"']", "text not in [\"a\", \"b\\\"\"]");
        prints("common.data.a.b", "common.data[\"a\"][\"b\"]");
        prints("[]", "[]");
        prints("\"\xc3\xa9\" + 'x'", "\"\xc3\xa9x\"");
}

static void test_names(void)
{
        wrong("txet", 1, "there is no value 'txet'; did you mean 'text'?");
        wrong("foo", 1, "there is no value 'foo'");
        wrong("later == \"\"", 1, "the step 'later' comes after this one: move it before");
        wrong("docs.document", 6,
              "there is no field 'document' in a RetrievalResponse; did you mean 'documents'?");
        wrong("intent.categorie", 8,
              "there is no field 'categorie' in an IntentionResponse; did you mean 'category'?");
        wrong("docs.documents.title", 16,
              "a list of Documents has no fields; write [0].title for those of its first item");
        wrong("text.title", 6, "a text has no fields: remove .title");
        wrong("lowr(text)", 1, "there is no function 'lowr'; did you mean 'lower'?");
        wrong("text | trin", 8, "there is no function 'trin'; did you mean 'trim'?");
        wrong("lower", 1, "lower is a function: write lower(...)");
        wrong_template("{% for d in tags %}{{ dd }}{% endfor %}", 1, 23,
                       "there is no 'dd'; did you mean 'd'?");
        wrong_template("a\n{% for d in tags %}{{ loop.indx }}{% endfor %}", 2, 28,
                       "there is no field 'indx' in loop; did you mean 'index'?");
        wrong_template("{{ loop.index }}", 1, 4, "there is no value 'loop'");
        wrong_template("{% for text in tags %}{% endfor %}", 1, 8,
                       "there is a value 'text' already: take another name");
        wrong_template("{% for in in tags %}{% endfor %}", 1, 8,
                       "'in' has a meaning of its own: take another name");
}

static void test_types(void)
{
        static const struct expr_type want_bool = { .kind = EXPR_BOOL };
        static const struct expr_type want_number = { .kind = EXPR_NUMBER };
        static const struct expr_type want_documents = {
                .kind = EXPR_LIST,
                .of = EXPR_MESSAGE,
                .message = BRICK_DESCRIPTOR(ComposeDocument),
        };

        wrong("text == 1", 6, "a text and a number are never equal");
        wrong("text == null", 6, "a text is never null");
        wrong("docs == docs", 6, "a RetrievalResponse cannot be compared: name a part of it");
        wrong("text < 1", 6, "a text and a number have no order");
        wrong("true < false", 6, "'<' is for numbers and texts, not for true or false");
        wrong("1 < 2 < 3", 7, "comparisons do not chain: write a < b and b < c");
        wrong("not text", 5, "not needs true or false, this is a text");
        wrong("text and true", 1, "and needs true or false, this is a text");
        wrong("text + 1", 6, "a text and a number have no order");
        wrong("text - 1", 1, "- needs a number, this is a text");
        wrong("-text", 2, "- needs a number, this is a text");
        wrong("1 in tags", 3, "a number is never in a list of texts");
        wrong("1 in text", 1, "in needs a text, this is a number");
        wrong("text in 1", 9, "'in' looks into a list, a text or a Struct, this is a number");
        wrong("lower(1)", 7, "lower needs a text, this is a number");
        wrong("lower(text, text)", 1, "lower takes one value; what stands before '|' is the first");
        wrong("truncate(text)", 1,
              "truncate takes two values; what stands before '|' is the first");
        wrong("text | truncate(-1)", 17, "truncate needs a number of characters, 0 or more");
        wrong("round(1, 16)", 10, "round needs a number of digits from 0 to 15");
        wrong("length(1)", 8, "length is for texts, lists and Structs, this is a number");
        wrong("request.max_tokens | default(1)", 9,
              "default is for texts and what a Struct has; a number always has a value");
        wrong("docs.documents | join", 6,
              "join is for texts and numbers; for a list of Documents write {% for %}");
        wrong("text[0]", 5, "a text has no [...]: it is for lists and Structs");
        wrong("tags[\"a\"]", 6, "[...] needs a number, this is a text");
        wrong("tags[0.5]", 6, "the index of a list is a whole number");
        wrong_template("{{ docs }}", 1, 4,
                       "a RetrievalResponse is no text: name a field of it, or write json(...)");
        wrong_template("{{ tags }}", 1, 4,
                       "a list of texts is no text: write {% for %}, join(...) or json(...)");
        wrong_template("{% if text %}{% endif %}", 1, 7, "if needs true or false, this is a text");
        wrong_template("{% for t in text %}{% endfor %}", 1, 13,
                       "for needs a list, this is a text");
        mistaken("text", false, &want_bool, 1, 1, "true or false is needed here, this is a text");
        mistaken("{{ text }}", true, &want_number, 1, 4, "a number is needed here, this is a text");
        mistaken("{{ 1 }} x", true, &want_number, 1, 1,
                 "expected one {{ }} and nothing besides, as this is no text");
        mistaken("five", true, &want_number, 1, 1,
                 "expected one {{ }} and nothing besides, or a number, true or false");
        mistaken("{{ request.context }}", true, &want_documents, 1, 12,
                 "a list of Documents is needed here, this is a list of Contexts");
}

static void test_syntax(void)
{
        wrong("", 1, "there is nothing here: write an expression");
        wrong("1 +", 4, "expected a value before the end");
        wrong("1 2", 3, "expected an operator or the end before '2'");
        wrong("(1", 3, "expected ')' here: it closes the bracket");
        wrong("[1 2]", 4, "expected ']' here: it closes the list; ',' separates its items");
        wrong("lower(text", 11, "expected ')' here: it closes the arguments; ',' separates them");
        wrong("text = \"a\"", 6, "there is no '=' here; use '=='");
        wrong("true && true", 6, "there is no '&&' here; use 'and'");
        wrong("true || true", 6, "there is no '||' here; use 'or'");
        wrong("!true", 1, "there is no '!' here; use 'not'");
        wrong("\xc3\xa9 == 1", 1,
              "letters outside of ASCII stand only in texts: put quotes around it");
        wrong("\"\xc3\xa9\" == @", 8, "there is no '@' in expressions: remove it");
        wrong("\"abc", 1, "the text that starts here has no closing \"");
        wrong("\"a\\qc\"", 3,
              "there is no such escape; \\n, \\t, \\r, \\\\, \\\" and \\' are the ones there are");
        wrong("1a", 1, "neither a number nor a name: a name starts with a letter");
        wrong("1e999", 1, "the number is too large");
        wrong("1e308 + 1e308", 7, "the number is too large");
        wrong("text.", 6, "expected the name of a field after '.'");
        wrong("text |", 7, "expected the name of a function after '|'");
        wrong("\"\xff\"", 2, "there is a byte here that is no text in UTF-8: remove it");
        wrong("\"\xed\xa0\x80\"", 2, "there is a byte here that is no text in UTF-8: remove it");
        wrong_template("{{ text", 1, 8, "expected '}}' or an operator here");
        wrong_template("{{ text %}", 1, 9, "expected '}}' or an operator here");
        wrong_template("\n {{ }}", 2, 5, "expected a value before the end");
        wrong_template("{# a", 1, 1, "the comment that starts here has no closing #}");
        wrong_template("{% fi %}", 1, 4, "expected if, elif, else, endif, for or endfor here");
        wrong_template("{% if true %}", 1, 4, "this {% if %} has no {% endif %}");
        wrong_template("a\n{% for t in tags %}\n{% endif %}", 3, 4,
                       "expected 'endfor' for the {% for %} in line 2, not 'endif'");
        wrong_template("{% endif %}", 1, 4,
                       "there is no {% if %} or {% for %} that this 'endif' ends");
        wrong_template("{% for t on tags %}", 1, 10,
                       "expected 'in' here: write {% for NAME in LIST %}");
}

static void test_runtime(void)
{
        fails("common.data.name > 1", -EINVAL, 18,
              "'>' needs two numbers or two texts, here are a text and a number");
        fails("common.data.none and true", -EINVAL, 13, "and needs true or false, this is null");
        fails("common.data.list == 1", -EINVAL, 18, "a list cannot be compared: name a part of it");
        fails("lower(common.data.level)", -EINVAL, 19, "lower needs a text, this is a number");
        fails("1 in common.data.name", -EINVAL, 3, "'in' cannot look for a number in a text");
        fails("common.data.level.x", -EINVAL, 19, "a number has no [...] with a text");
        fails("common.data.level + text", -EINVAL, 19,
              "'+' needs two numbers or two texts, here are a number and a text");
        fails("truncate(text, common.data.list[0])", -EINVAL, 32,
              "truncate needs a number of characters, 0 or more");
        fails("round(1, common.data.list[0])", -EINVAL, 26,
              "round needs a number of digits from 0 to 15");
        fails("tags[common.data.list[0]]", -EINVAL, 22, "the index of a list is a whole number");
        fails("length(common.data.level)", -EINVAL, 20,
              "length is for texts, lists and Structs, this is a number");
}

/* What comes from outside is written only where it cannot be taken for something else. */
static void test_untrusted(void)
{
        static const struct expr_name names[] = {
                { .name = "text", .type = { .kind = EXPR_TEXT }, .untrusted = true },
                { .name = "docs",
                  .type = { .kind = EXPR_MESSAGE, .message = BRICK_DESCRIPTOR(RetrievalResponse) },
                  .untrusted = true },
        };
        static const struct expr_scope scope = { .names = names, .n_names = 2 };
        const char *const good[] = {
                "{{ text | json }}",
                "{{ text | trim | escape }}",
                "{{ [json(text), 'a'] | join('b') + json(docs) }}",
                "{% for t in [json(text)] %}{{ t }}{% endfor %}",
                "{{ text | escape | json }}",
                "{{ text | trim | markdown }}",
                "{{ text == 'a' }}{{ text | length }}",
                "{% if 'x' in text %}x{% endif %}",
                "{% for d in docs.documents %}{{ d.score }}{% endfor %}",
                "{% for d in docs.documents %}{{ d | json }}{{ loop.index }}{% endfor %}"
        };
        const char *const bad[] = { "{{ text }}",
                                    "{{ text | json }}{{ 'a' + text }}",
                                    "{{ json(text) + text }}",
                                    "{{ text | json | truncate(5) }}",
                                    "{{ [json(text), text] | join }}",
                                    "{{ text | escape | upper }}",
                                    "{{ text | default('a') }}",
                                    "{{ [text][0] }}",
                                    "{% for d in docs.documents %}{{ d.title }}{% endfor %}",
                                    "{{ docs.documents[0].metadata.key }}" };
        struct expr_mistake mistake;
        struct expr *expr;

        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
                assert(expr_compile_template(good[i], strlen(good[i]), &scope, NULL, &expr,
                                             &mistake) == 0);
                expr_free(expr);
        }
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                assert(expr_compile_template(bad[i], strlen(bad[i]), &scope, NULL, &expr,
                                             &mistake) == -EINVAL);
                assert(strcmp(mistake.text, "this text comes from outside: write json(...), "
                                            "escape(...) or markdown(...) around it") == 0);
        }
}

/* Values that a template gives itself, instead of a text. */
static void test_wanted(void)
{
        static const struct expr_type number = { .kind = EXPR_NUMBER }, boolean = { EXPR_BOOL },
                                      any = { .kind = EXPR_ANY };
        const char *const numbers[] = { "5", " {{ 2 + 3 }}\n", "{{ common.data.level + 2 }}" };
        struct expr_run run = a_run();
        struct expr_mistake mistake;
        struct expr_value value;
        struct expr *expr;

        for (size_t i = 0; i < 3; i++) {
                assert(expr_compile_template(numbers[i], strlen(numbers[i]), &expr_scope, &number,
                                             &expr, &mistake) == 0);
                assert(expr_run(expr, &run, &value, &mistake) == 0);
                assert(value.kind == EXPR_NUMBER && value.number == 5);
                expr_free(expr);
        }
        for (size_t i = 0; i < 4; i++) {
                static const char *const texts[] = { "{{ 5 }} ", "5", "{{ 5 }}{{ text }}",
                                                     "{{ docs.documents }}" };
                static const enum expr_kind kinds[] = { EXPR_NUMBER, EXPR_TEXT, EXPR_TEXT,
                                                        EXPR_LIST };

                assert(expr_compile_template(texts[i], strlen(texts[i]), &expr_scope, &any, &expr,
                                             &mistake) == 0);
                assert(expr_run(expr, &run, &value, &mistake) == 0 && value.kind == kinds[i]);
                expr_free(expr);
        }
        memory_free(&memory);
        /* known only when it runs */
        assert(expr_compile("common.data.name", 16, &expr_scope, &boolean, &expr, &mistake) == 0);
        assert(expr_type(expr).kind == EXPR_ANY);
        assert(expr_run(expr, &run, &value, &mistake) == -EINVAL);
        assert(strcmp(mistake.text, "true or false is needed here, this is a text") == 0);
        expr_free(expr);
        /* a value that is not what the scope says */
        assert(expr_compile("docs.documents", 14, &expr_scope, NULL, &expr, &mistake) == 0);
        run.values = (struct expr_value[NAMES]){ [3] = world.values[1] };
        assert(expr_run(expr, &run, &value, &mistake) == -EINVAL);
        assert(strcmp(mistake.text, "docs is not a RetrievalResponse") == 0);
        expr_free(expr);
}

static void set(ProtobufCMessage *message, const char *field, const char *expression, int expected)
{
        const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(
                message->descriptor, field);
        struct expr_type want = expr_type_of_field(f);
        struct expr_run run = a_run();
        struct expr_mistake mistake;
        struct expr_value value;
        struct expr *expr;

        assert(expr_compile(expression, strlen(expression), &expr_scope, &want, &expr, &mistake) ==
               0);
        assert(expr_run(expr, &run, &value, &mistake) == 0);
        assert(expr_set_field(message, f, &value, memory_alloc, &memory) == expected);
        expr_free(expr);
}

static void test_set(void)
{
        LLMRequest llm = PROTOCOLS__GRPC__LLM__LLMREQUEST__INIT;
        ComposeRequest compose = PROTOCOLS__GRPC__COMPOSE__COMPOSE_REQUEST__INIT;
        LLMResponse response = PROTOCOLS__GRPC__LLM__LLMRESPONSE__INIT;
        CommonRequest common = PROTOCOLS__GRPC__COMMON__COMMON_REQUEST__INIT;

        set(&llm.base, "prompt", "trim(request.prompt)", 0);
        assert(strcmp(llm.prompt, "H\xc3\xa9llo, World") == 0);
        set(&llm.base, "max_tokens", "request.max_tokens + 1", 0);
        assert(llm.max_tokens == 101);
        set(&llm.base, "max_tokens", "2147483648", -ERANGE);
        set(&llm.base, "max_tokens", "0.5", -ERANGE);
        set(&llm.base, "temperature", "0.25", 0);
        assert(llm.temperature == 0.25F);
        set(&llm.base, "temperature", "1e39", -ERANGE);
        set(&llm.base, "context", "request.context", 0);
        assert(llm.n_context == 2 && llm.context[1] == world.context[1]);
        set(&response.base, "tokens", "tags", 0);
        assert(response.n_tokens == 2 && strcmp(response.tokens[1], "b") == 0);
        set(&response.base, "is_final", "1 < 2", 0);
        assert(response.is_final);
        /* documents of another service have the same fields */
        set(&compose.base, "input_documents", "docs.documents", 0);
        assert(compose.n_input_documents == 3);
        set(&common.base, "data", "common.data", 0);
        assert(common.data == &world.data);
        memory_free(&memory);
}

static char *repeat(const char *before, const char *s, size_t n, const char *after)
{
        size_t length = strlen(s);
        char *text = malloc(strlen(before) + n * length + strlen(after) + 1), *at = text;

        assert(text);
        at = stpcpy(at, before);
        for (size_t i = 0; i < n; i++)
                at = stpcpy(at, s);
        strcpy(at, after);
        return text;
}

static void expect_deep(const char *before, const char *s, bool template)
{
        char *text = repeat(before, s, 5000, "");
        struct expr_mistake mistake;
        struct expr *expr;

        assert((template ? expr_compile_template : expr_compile)(text, strlen(text), &expr_scope,
                                                                 NULL, &expr, &mistake) == -EINVAL);
        assert(strcmp(mistake.text, "this is nested deeper than 100: make it simpler") == 0);
        free(text);
}

static void expect_too_much(const char *template, uint64_t steps, size_t output, const char *text)
{
        struct expr *expr = compile(template, true);
        struct expr_run run = a_run();
        struct expr_mistake mistake;
        struct expr_value value;

        run.steps = steps;
        run.output = output;
        assert(expr_run(expr, &run, &value, &mistake) == -E2BIG);
        if (strcmp(mistake.text, text) != 0) {
                fprintf(stderr, "%s\n", mistake.text);
                abort();
        }
        memory_free(&memory);
        expr_free(expr);
}

static void test_bounds(void)
{
        struct expr_mistake mistake;
        struct expr *expr;
        char *text;

        expect_deep("", "(", false);
        expect_deep("", "[", false);
        expect_deep("", "not ", false);
        expect_deep("", "-", false);
        expect_deep("", "lower(", false);
        expect_deep("text", " + text", false);
        expect_deep("text", "|lower", false);
        expect_deep("common.data", ".a", false);
        expect_deep("", "{% if true %}", true);
        expect_deep("", "{% if text == \"\" %}a{% elif true %}{% if true %}", true);
        /* many, but side by side */
        text = repeat("", "{{ text }}{% if true %}a{% endif %}", 20000, "");
        assert(expr_compile_template(text, strlen(text), &expr_scope, NULL, &expr, &mistake) == 0);
        expr_free(expr);
        free(text);
        text = repeat("", "x", 1024 * 1024 + 1, "");
        assert(expr_compile_template(text, strlen(text), &expr_scope, NULL, &expr, &mistake) ==
               -EINVAL);
        free(text);
        /* folding is bounded as runs are */
        text = repeat("\"\\\"\"", "|json", 60, "");
        assert(expr_compile(text, strlen(text), &expr_scope, NULL, &expr, &mistake) == -EINVAL);
        assert(strcmp(mistake.text,
                      "this takes too many steps: give it less, or make it simpler") == 0);
        free(text);
        expect_too_much("{% for a in tags %}{% for b in tags %}x{% endfor %}{% endfor %}", 10, 0,
                        "this takes too many steps: give it less, or make it simpler");
        expect_too_much("{{ text }}{{ text }}", 0, 30,
                        "this makes a text that is longer than 30 bytes");
        /* no memory */
        memory.bytes = MEMORY;
        expr = compile("{{ text }}", true);
        assert(expr_run(expr, &(struct expr_run){ world.values, memory_alloc, &memory },
                        &(struct expr_value){ 0 }, &mistake) == -ENOMEM);
        memory.bytes = 0;
        expr_free(expr);
}

int main(void)
{
        expr_fill(&world);
        test_values();
        test_operators();
        test_functions();
        test_templates();
        test_printing();
        test_names();
        test_types();
        test_syntax();
        test_runtime();
        test_untrusted();
        test_wanted();
        test_set();
        test_bounds();
        return 0;
}
