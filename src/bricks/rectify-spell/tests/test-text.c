/* SPDX-License-Identifier: MIT */

/* What of a text is looked at, lists, and words that are near. */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "list.h"
#include "scan.h"
#include "speller.h"

/* The words as "a b c". */
static void expect(const char *text, const char *words)
{
        struct scan scan = scan_of(text, strlen(text));
        struct token token;
        char got[512] = "";

        while (scan_next(&scan, &token)) {
                assert(token.length > 0 && token.start + token.length <= strlen(text));
                assert(strlen(got) + token.length + 2 < sizeof got);
                if (got[0])
                        strcat(got, " ");
                strncat(got, text + token.start, token.length);
        }
        if (strcmp(got, words) != 0) {
                fprintf(stderr, "%s\n  has %s\n  not %s\n", text, got, words);
                abort();
        }
}

static void test_words(void)
{
        expect("", "");
        expect("Well, it's a well-known (really!) fact.", "Well it's a well known really fact");
        expect("don’t... Stop", "don’t Stop");
        expect("café naïve Straße", "café naïve Straße");
        expect("*very* **good** _day_", "very good day");
        expect("我有cat和dog。", "我有 cat 和 dog");
        expect("«oui» non", "non");
        expect("a — b … c", "a b c");
}

static void test_left_out(void)
{
        expect("see http://a.org/recieve now", "see now");
        expect("看 https://a.org/wiki/以經/以經，以經 b", "看 以經 b");
        expect("(http://a.org/以經) b www.a.org/?q=以經 c", "b c");
        expect("見https://a.org/teh了解 b", "見 了解 b");
        expect("mail me@exmaple.org now", "mail now");
        expect("a recei\u00adving re\u0301sume\u0301 sme\u200bthing b", "a b");
        expect("in /usr/lib and ./x or C:\\teh ok", "in and or ok");
        expect("the get_adress and getAdress and f() and a.b", "the and and and");
        expect("a --flag -x $VAR #tag @you 3rd v2 x=1", "a");
        expect("a `recieve` b", "a b");
        expect("a ``x ` y`` b", "a b");
        expect("a ` b", "a b");
        expect("a \"recieve it\" b", "a b");
        expect("a 'recieve it' b don't c", "a b don't c");
        expect("5\" and 6", "and");
        expect("a “recieve” b ‘teh’ c", "a b c");
        expect("他說「以經」了", "他說 了");
        expect("a <b class=x>c</b> d", "a c d");
        expect("> recieve\nnext", "next");
        expect("text\n\n    recieve\n\nmore", "text more");
        expect("a\n```\nrecieve\n```\nb", "a b");
        expect("a\n~~~ c\nrecieve\n```\n~~~\nb", "a b");
        expect("a\n```\nrecieve", "a");
        expect("int recieve;\nok\nif x {", "ok");
        expect("a \"open\n\nb c", "a open b c");
}

/* A mark that nothing closes costs time, so a text has only so many of them. */
static void test_unclosed(void)
{
        enum { N = 1000, GAP = 3000 };
        static char text[N * 4 + GAP + 32];
        struct token token, last = { 0 };
        struct scan scan;

        for (size_t i = 0; i < N; i++)
                memcpy(text + 4 * i, "“ ", 4);
        memset(text + (size_t)N * 4, ' ', GAP);
        strcpy(text + N * 4 + GAP, "“word” <word>");
        scan = scan_of(text, strlen(text));
        while (scan_next(&scan, &token))
                last = token;
        assert(last.length == 4 && !last.han);
}

static struct list *list_of(const char *text, int error)
{
        struct list_mistake mistake;
        struct list *list = NULL;

        assert(list_new(strdup(text), strlen(text), &list, &mistake) == error);
        if (error)
                assert(mistake.line == 2 && mistake.text[0]);
        return list;
}

static void test_lists(void)
{
        struct list *list = list_of("teh->the\r\n# no\n\nans->and, ants,\nclas->class, a reason\n"
                                    "以經->已經 ! 以經濟 所以經\n以經常->已經常",
                                    0);
        const char *text = "我以經知道所以經過以經濟以經常";

        assert(list_size(list) == 3);
        assert(strcmp(list_find(list, "teh", 3)->right, "the") == 0);
        assert(!list_find(list, "the", 3) && !list_find(list, "ans", 3) &&
               !list_find(NULL, "a", 1));
        assert(strcmp(list_match(list, text, strlen(text), 3)->right, "已經") == 0);
        assert(!list_match(list, text, strlen(text), strlen("我以經知道所")));
        assert(!list_match(list, text, strlen(text), strlen("我以經知道所以經過")));
        assert(strcmp(list_match(list, text, strlen(text), strlen("我以經知道所以經過以經濟"))
                              ->right,
                      "已經常") == 0);
        list_free(list);
        list_free(list_of("", 0));
        (void)list_of("a->b\nc", -EINVAL);
        (void)list_of("a->b\n->c", -EINVAL);
        (void)list_of("a->b\nc->", -EINVAL);
        (void)list_of("a->b\nc->\xff", -EINVAL);
        (void)list_of(
                "a->b\nccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc->b",
                -EINVAL);
}

static void test_near(void)
{
        assert(speller_is_near("teh", "the"));
        assert(speller_is_near("recieve", "receive"));
        assert(speller_is_near("adress", "address"));
        assert(speller_is_near("untill", "until"));
        assert(speller_is_near("wirld", "world"));
        assert(speller_is_near("naive", "naïve"));
        assert(!speller_is_near("the", "the"));
        assert(!speller_is_near("abcd", "badc"));
        assert(!speller_is_near("", "ab"));
}

static void test_british(void)
{
        assert(speller_is_british("neighbour", "neighbor"));
        assert(speller_is_british("colours", "colors"));
        assert(speller_is_british("realise", "realize"));
        assert(speller_is_british("travelled", "traveled"));
        assert(speller_is_british("centre", "center"));
        assert(speller_is_british("judgements", "judgments"));
        assert(speller_is_british("centred", "centered"));
        assert(!speller_is_british("untill", "until"));
        assert(!speller_is_british("thsi", "this"));
        assert(!speller_is_british("house", "hose"));
        assert(!speller_is_british("a", "b"));
}

int main(void)
{
        test_words();
        test_left_out();
        test_unclosed();
        test_lists();
        test_near();
        test_british();
        return 0;
}
