/* SPDX-License-Identifier: MIT */

/* From bytes to passages, and from a user's words to a query. */

#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "extract.h"
#include "fold.h"
#include "passage.h"
#include "query.h"
#include "schema.h"
#include "unicode.h"
#include "util/utf8.h"
#include "words.h"

/* The largest text. */
#define MAX 100000

static void test_unicode(void)
{
        static const char bad[] = "\xc0\x80"
                                  "\xed\xa0\x80"
                                  "\xf5"
                                  "\x80"
                                  "\xe4\xb8";
        size_t length;
        char s[4];

        assert(unicode_get("a", 1, &length) == 'a' && length == 1);
        assert(unicode_get("\xe8\xb3\x87", 3, &length) == 0x8cc7 && length == 3);
        assert(unicode_get("\xef\xbf\xbd", 3, &length) == 0xfffd && length == 3);
        for (size_t i = 0; i < sizeof bad - 1; i++)
                assert(unicode_get(bad + i, sizeof bad - 1 - i, &length) == 0xfffd && length == 1);
        for (uint32_t c = 1; c < 0x110000; c += 7) {
                size_t n = unicode_put(s, c);

                assert(utf8_valid(s, n));
                if (c < 0xd800 || c > 0xdfff)
                        assert(unicode_get(s, n, &length) == c && length == n);
        }
        assert(unicode_is_space(0x3000) && unicode_is_space(0) && !unicode_is_space('x'));
}

static void check_query(const char *text, const char *expected)
{
        _cleanup_free_ char *s = NULL;

        assert(query_build(text, strlen(text), NULL, &s) == 0);
        if (strcmp(s, expected) != 0)
                fprintf(stderr, "%s\n%s\n%s\n", text, s, expected);
        assert(strcmp(s, expected) == 0);
}

static void test_query(void)
{
        static const char *const empty[] = { "", " \t\n", "\"", "*", "-- ... (){}[]", "\x01\x7f" };
        _cleanup_free_ char *s = NULL;
        char large[100000];
        unsigned n = 1;

        check_query("fox", "\"fox\"");
        check_query("fox, foxes  dog\n", "\"fox\" OR \"dog\"");
        check_query("it's --all \"x\" *y^", "\"it\" OR \"all\" OR \"x\" OR \"y\"");
        check_query("資料庫", fold_has_han() ? "\"资料\" OR \"料库\"" : "\"資料\" OR \"料庫\"");
        check_query("用C语言，好", "\"用\" * OR \"c\" OR \"语言\" OR \"好\" *");
        check_query("sign-off", "\"sign\" OR \"off\" OR \"signoff\"");
        check_query("http://a.example/b-c",
                    "\"a\" OR \"exampl\" OR \"aexampl\" OR \"b\" OR \"c\" OR "
                    "\"bc\" OR \"a\" + \"exampl\" + \"b\" + \"c\"");
        check_query("version 12.4", "\"version\" OR \"12\" OR \"4\" OR \"12\" + \"4\"");
        check_query("how is the fox", "\"fox\"");
        check_query("how to", "\"how\" OR \"to\"");
        check_query("the who", "\"the\" OR \"who\"");
        check_query("comment out lines", "\"comment\" OR \"out\" OR \"line\"");
        check_query("comment configurer l'imprimante", "\"configurer\" OR \"imprimant\"");
        for (size_t i = 0; i < sizeof empty / sizeof *empty; i++)
                assert(query_build(empty[i], strlen(empty[i]), NULL, &s) == QUERY_E_EMPTY);
        assert(query_build("a\0b", 3, NULL, &s) == 0 && strcmp(s, "\"a\" OR \"b\"") == 0);
        free(TAKE_PTR(s));

        /* long words are cut, many are dropped */
        memset(large, 'x', sizeof large);
        assert(query_build(large, sizeof large, NULL, &s) == 0 && strlen(s) == WORDS_TOKEN_MAX + 2);
        free(TAKE_PTR(s));
        for (size_t i = 0; i + 6 < sizeof large; i += 6)
                (void)snprintf(large + i, 7, "%05zu ", i / 6);
        assert(query_build(large, sizeof large, NULL, &s) == 0);
        for (const char *p = s; (p = strstr(p, " OR ")); p++)
                n++;
        assert(n == SCHEMA_TERMS_MAX);
}

static void test_passages(void)
{
        static char text[20000];
        const char *p = text, *passage;
        size_t left, n, count = 0, previous = 0;

        p = " \n \t\n";
        left = strlen(p);
        assert(!passage_next(&p, &left, &passage, &n));

        p = "one\n\ntwo\n";
        left = strlen(p);
        assert(passage_next(&p, &left, &passage, &n) && n == 8 &&
               !memcmp(passage, "one\n\ntwo", 8));
        assert(!passage_next(&p, &left, &passage, &n));

        /* without a place to cut: between characters */
        for (size_t i = 0; i + 3 <= sizeof text; i += 3)
                memcpy(text + i, "\xe8\xb3\x87", 3);
        for (p = text, left = sizeof text / 3 * 3; passage_next(&p, &left, &passage, &n); count++) {
                assert(n <= PASSAGE_SIZE_MAX && utf8_valid(passage, n));
                assert(previous == 0 || previous + n > PASSAGE_SIZE_MAX / 2);
                previous = n;
        }
        assert(count == 10);

        /* at the last paragraph that fits */
        memset(text, 'x', sizeof text);
        memcpy(text + 1500, "\n\n", 2);
        memcpy(text + 1900, ". ", 2);
        p = text;
        left = sizeof text;
        assert(passage_next(&p, &left, &passage, &n) && n == 1500);
}

static void check_extract(const char *name, const char *data, const char *title, const char *text)
{
        _cleanup_(extract_done) struct extract e = {};

        assert(extract(name, data, strlen(data), MAX, &e) == 0);
        if (strcmp(e.title, title) != 0 || e.n != strlen(text) || memcmp(e.text, text, e.n) != 0)
                fprintf(stderr, "%s: \"%s\"\n%.*s|\n", name, e.title, (int)e.n, e.text);
        assert(strcmp(e.title, title) == 0);
        assert(e.n == strlen(text) && memcmp(e.text, text, e.n) == 0);
}

static void test_extract(void)
{
        struct extract e = {};

        check_extract("a.txt", "plain <b>text</b>\n", "", "plain <b>text</b>\n");
        check_extract("a.txt",
                      "\xef\xbb\xbf"
                      "bom",
                      "", "bom");
        check_extract("a.txt", "caf\xe9", "", "café");
        check_extract("README.md", "text\n# The  title \n# no\n", "The title",
                      "text\n# The  title \n# no\n");
        check_extract("a.html",
                      "<!DOCTYPE html><html><head><title>A &amp;\n B</title><style>x{}</style>"
                      "<script>if (a<b) \"</p>\"</script></head><body><p>One\n two&nbsp;&#252;"
                      "<br>x &lt;y&gt; &bogus; a < b<!-- no --><pre>a\n  b</pre></body></html>",
                      "A & B", "A & B\n\nOne two ü\nx <y> &bogus; a < b\n\na\n  b\n\n");
        check_extract("ls.1",
                      ".\\\" comment\n.TH LS 1\n.SH NAME\nls \\- list \\fIfiles\\fR\n.SH OPTIONS\n"
                      ".TP\n\\fB\\-a\\fR, \\fB\\-\\-all\\fR\ndo \\(lqnot\\(rq hide\n.if n .ad l\n"
                      ".de XX\nhidden\n..\n.BR cat (1)\n",
                      "ls(1) - list files",
                      "NAME\nls - list files\n\nOPTIONS\n-a, --all\ndo \"not\" hide\ncat(1)\n");
        check_extract("ssh.1",
                      ".Dd today\n.Dt SSH 1\n.Os\n.Sh NAME\n.Nm ssh\n.Nd remote login\n.Sh X\n"
                      ".Nm\n.Op Fl l Ar user\nis.\n",
                      "ssh(1) - remote login",
                      "NAME\nssh\n- remote login\n\nX\nssh\n-l user\nis.\n");
        assert(extract("a", "a\0b", 3, MAX, &e) == EXTRACT_E_SKIPPED);
        assert(extract("a",
                       "\x01\x02\x03\x04"
                       "abc",
                       7, MAX, &e) == EXTRACT_E_SKIPPED);
}

/* Text made of what the formats take for markup must not be able to break anything. */
static void test_garbage(void)
{
        static const char *const pieces[] = {
                "<",        ">",     "</",    "<!--",    "-->",   "<p",    "<title>", "</title>",
                "<script>", "<pre>", "&",     "&#",      "x",     ";",     "\"",      "'",
                "\n",       "\n.",   "\n.SH", "\n.TH a", "\n.TS", "\n.de", "\n.if",   "\\{",
                "\\}",      "\\",    "\\(",   "\\[",     "]",     "\\f",   "\\s",     "\\h",
                "\\*",      " ",     "\t",    "\n.IP",   "\n.Dd", "\n.Nm", "\n.Fl",   "ü",
                "資",       "\xff",  "\n.BR", "\\&",     "lang=", "\n.Sh", "a",
        };
        static const char *const names[] = { "a.html", "a.1", "noname", "a.md" };
        char text[512];
        size_t n;

        srand(1);
        for (int i = 0; i < 20000; i++) {
                _cleanup_(extract_done) struct extract e = {};
                char *copy;

                n = 0;
                if (i % 2)
                        n = (size_t)sprintf(text, ".TH x 1\n");
                while (n < 400 && rand() % 60 != 0)
                        n += (size_t)sprintf(text + n, "%s",
                                             pieces[rand() % (sizeof pieces / sizeof *pieces)]);
                copy = memcpy(malloc(n + 1), text, n); /* so that a sanitizer sees its end */
                if (extract(names[i % 4], copy, n, MAX, &e) == 0)
                        assert(utf8_valid(e.text, e.n) && utf8_valid(e.title, strlen(e.title)));
                free(copy);
        }
}

int main(void)
{
        test_unicode();
        test_query();
        test_passages();
        test_extract();
        test_garbage();
        return 0;
}
