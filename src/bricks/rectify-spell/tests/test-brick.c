/* SPDX-License-Identifier: MIT */

/* The brick as a host sees it, with lists and a dictionary of the test's own. */

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rectify-host.h"

static char folder[] = "/tmp/test-rectify-XXXXXX";

static void file(const char *name, const char *bytes)
{
        char path[128];
        FILE *f;

        snprintf(path, sizeof path, "%s/%s", folder, name);
        f = fopen(path, "w");
        check(f && fputs(bytes, f) >= 0 && fclose(f) == 0);
}

/* % is the folder. */
static const char *in_folder(const char *options)
{
        static char text[1024];
        size_t n = 0;

        for (; *options; options++)
                n += (size_t)snprintf(text + n, sizeof text - n, *options == '%' ? "%s" : "%.1s",
                                      *options == '%' ? folder : options);
        return text;
}

static void expect(struct fake_host *host, const char *text, const char *language, const char *want)
{
        _cleanup_(fake_call_freep) struct fake_call *call = call_of(host, text, language);

        check(fake_call_run(call) == 0);
        if (strcmp(corrected(call), want) != 0)
                fake_die("%s became %s", text, corrected(call));
}

static void expect_refused(const char *options, const char *why)
{
        struct fake_host *host;

        check(fake_host_new(&host, rectify_spell_brick_module_v1(), in_folder(options)) < 0);
        if (!strstr(fake_host_said(host), why))
                fake_die("'%s' is not in '%s'", why, fake_host_said(host));
        fake_host_free(host);
}

static const char own[] = "{ list: %/list, dictionaries: [%/en_X, %/de_X], extra_list: %/extra }";

static void test_words(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = host_of(in_folder(own));

        expect(host, "", "", "");
        expect(host, "Teh house, teh HUOSE; TEH tree.", "", "The house, the HUOSE; TEH tree.");
        expect(host, "the recieve RECIEVE Recieve ReCieve", "",
               "the receive RECEIVE Receive ReCieve");
        expect(host, "the hous and the hause", "en", "the house and the house"); /* near one only */
        expect(host, "the treee and the bxg", "en", "the tree and the bxg");
        expect(host, "the cet and", "en", "the cet and");   /* cat or cut; and too short */
        expect(host, "the chatss", "en", "the chatss");     /* two steps */
        expect(host, "The Hous and", "en", "The Hous and"); /* may be a name */
        expect(host, "the Étatt and the étatt", "en", "the Étatt and the état");
        expect(host, "the hoüse and", "en", "the hoüse and"); /* an accent is no slip */
        expect(host, "the Javascript and javascript", "en", "the JavaScript and javascript");
        expect(host, "the Bug and the bug", "en", "the Mistake and the mistake"); /* own list */
        expect(host, "the wall's and the wallss", "en", "the wall's and the walls");
        expect(host, "the xtree and the dhouse", "en", "the xtree and the dhouse"); /* names */
        expect(host, "the cat-hous and the recieve-tree", "en",
               "the cat-hous and the receive-tree");
        expect(host, "the chats and the chatts", "en", "the chats and the chatts");
        expect(host, "das Haus und die Strase", "", "das Haus und die Strase");
        expect(host, "das und die strasse katze kaze", "", "das und die strasse katze katze");
        expect(host, "xyz", "", "xyz");
        expect(host, "hous", "", "hous"); /* in which language? */
        expect(host, "hous", "en-GB", "house");
        expect(host, "teh", "de", "teh");
        expect(host, "teh", "fr", "teh");
        expect(host, "brickdd", "fr", "brickd");
}

static void test_chinese(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = host_of(in_folder(own));
        struct fake_host *off = host_of(
                in_folder("{ list: %/list, dictionaries: [], chinese: false }"));

        expect(host, "我以經知道", "", "我已經知道");
        expect(host, "以經濟為準", "", "以經濟為準");
        expect(host, "这必竟是真的", "", "这毕竟是真的");
        expect(host, "這必竟是真的", "", "這畢竟是真的");
        expect(host, "他用腦袋", "", "他用頭腦"); /* extra */
        expect(off, "我以經知道", "", "我以經知道");
        fake_host_free(off);
}

static void test_taiwan(void)
{
        struct fake_host *host;

        if (fake_host_new(&host, rectify_spell_brick_module_v1(),
                          in_folder("{ list: %/list, dictionaries: [], taiwan_words: true }")) <
            0) {
                check(strstr(fake_host_said(host), "without OpenCC"));
                fake_host_free(host);
                return;
        }
        expect(host, "這個軟件以經在網絡上，視頻也是。", "", "這個軟體已經在網路上，影片也是。");
        expect(host, "这个文件", "", "这个文件");
        expect(host, "這個「軟件」", "", "這個「軟件」");
        fake_host_free(host);
}

static void test_told(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = host_of(in_folder(own));
        struct fake_call *call = call_of(host, "Teh hous: 以經", "en");

        check(fake_call_run(call) == 0);
        check(strcmp(fake_call_trailers(call),
                     "x-changes=3\n"
                     "x-change={\"at\":0,\"from\":\"Teh\",\"to\":\"The\",\"by\":\"list\"}\n"
                     "x-change={\"at\":4,\"from\":\"hous\",\"to\":\"house\",\"by\":\"dictionary\"}"
                     "\n"
                     "x-change={\"at\":10,\"from\":\"\\u4EE5\\u7D93\",\"to\":\"\\u5DF2\\u7D93\","
                     "\"by\":\"confusions\"}\n") == 0);
        fake_call_free(call);
        call = call_of(host, "Teh hous", "en");
        fake_call_add_metadata(call, "x-brick-explain", "1");
        check(fake_call_run(call) == 0);
        check(strstr(fake_call_trailers(call), "x-brick-step-bin="));
        fake_call_free(call);
        call = call_of(host, "the house", "");
        check(fake_call_run(call) == 0);
        check(strcmp(fake_call_trailers(call), "x-changes=0\n") == 0);
        fake_call_free(call);
}

static void test_limits(void)
{
        struct fake_host *host = host_of(in_folder(
                "{ list: %/list, dictionaries: [%/en_X], max_lookups: 1, max_text: 1024 }"));
        struct fake_call *call;
        char text[2000];

        expect(host, "the hous and the treee", "en", "the house and the treee");
        expect(host, "the hous and the treee", "en",
               "the house and the tree"); /* one is remembered */
        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        call = call_of(host, text, "");
        check(fake_call_run(call) == 0 && fake_call_code(call) == 2003);
        fake_call_free(call);
        fake_host_free(host);
}

static void test_mistakes(void)
{
        expect_refused("{ list: %/nothing }", "cannot read");
        expect_refused("{ list: % }", "not a file of at most 16 MiB");
        expect_refused("{ list: %/bad }", "/bad:2: expected wrong->right");
        expect_refused("{ list: %/list, extra_list: %/bad }", "/bad:2: expected wrong->right");
        expect_refused("{ list: %/list, dictionaries: [%/xx_X] }", "No such file or directory");
        expect_refused("{ list: %/list, dictionaries: [xx_nothing] }",
                       "cannot use the hunspell dictionary 'xx_nothing'");
}

int main(int argc, char **argv)
{
        check(argc == 2 && setenv("BRICKD_DATA", argv[1], true) == 0);
        check(mkdtemp(folder));
        file("list", "teh->the\nrecieve->receive\nhouse->mouse\n");
        file("extra", "brickdd->brickd\nbug->mistake\nJavascript->JavaScript\n腦袋->頭腦\n");
        file("bad", "teh->the\nrecieve\n");
        file("en_X.aff", "SET UTF-8\nTRY abcdefghijklmnopqrstuvwxyz\n");
        file("en_X.dic",
             "12\nwalls\nétat\nthe\nhouse\ntree\ncat\ncut\nand\nchat\nreceive\nbag\nbug\n");
        file("de_X.aff", "SET ISO8859-1\nTRY abcdefghijklmnopqrstuvwxyz\xdf\n");
        file("de_X.dic", "7\ndas\nHaus\nund\ndie\nkatze\nstrasse\nStra\xdf"
                         "e\n");
        test_words();
        test_chinese();
        test_taiwan();
        test_told();
        test_limits();
        test_mistakes();
        for (const char *const *name =
                     (const char *const[]){ "list", "extra", "bad", "en_X.aff", "en_X.dic",
                                            "de_X.aff", "de_X.dic", NULL };
             *name; name++) {
                char path[128];

                snprintf(path, sizeof path, "%s/%s", folder, *name);
                check(unlink(path) == 0);
        }
        check(rmdir(folder) == 0);
        return 0;
}
