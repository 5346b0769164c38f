/* SPDX-License-Identifier: MIT */

/* Tags, routes, pieces and varieties of texts; and how good the translations are of a set of
 * sentences: test-translate-opencc-text SENTENCES */

#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"

static void expect_tag(const char *tag, int variety)
{
        enum variety got = VARIETIES;

        if (variety_read(tag, &got) != (variety >= 0) || (variety >= 0 && (int)got != variety)) {
                printf("%s: %d\n", tag, got);
                abort();
        }
}

static void test_tags(void)
{
        expect_tag("zh", VARIETY_UNKNOWN);
        expect_tag("zh-TW", VARIETY_TW);
        expect_tag("zh_tw", VARIETY_TW);
        expect_tag("ZH-hant", VARIETY_HANT);
        expect_tag("zh-Hant-HK", VARIETY_HK);
        expect_tag("zh-Hans-HK", VARIETY_HANS);
        expect_tag("zh-Hant-CN", VARIETY_HANT);
        expect_tag("cmn-Hans-CN", VARIETY_HANS);
        expect_tag("zh-MO", VARIETY_HK);
        expect_tag("zh-SG", VARIETY_HANS);
        expect_tag("", -1);
        expect_tag("en", -1);
        expect_tag("zh-", -1);
        expect_tag("zh-XX", -1);
        expect_tag("zh-TW-", -1);
        expect_tag("zhTW", -1);
        expect_tag("ja", -1);
}

static void test_routes(void)
{
        size_t route[ROUTE_MAX];

        for (enum variety from = VARIETY_HANS; from < VARIETIES; from++)
                for (enum variety to = VARIETY_HANS; to < VARIETIES; to++) {
                        size_t n = model_route(from, to, true, route);
                        enum variety at = from;

                        assert((n == 0) == (from == to));
                        for (size_t i = 0; i < n; i++) {
                                assert(models[route[i]].from == at);
                                at = models[route[i]].to;
                        }
                        assert(at == to);
                }
        assert(model_route(VARIETY_HANS, VARIETY_TW, true, route) == 1);
        assert(strcmp(models[route[0]].name, "s2twp") == 0);
        assert(model_route(VARIETY_HANS, VARIETY_TW, false, route) == 1);
        assert(strcmp(models[route[0]].name, "s2tw") == 0);
        assert(model_find("s2twp") < MODELS && model_find("") == MODELS);
}

static void expect_found(struct converter *converter, const char *text, int variety)
{
        enum variety got;
        bool chinese = converter_detect(converter, text, strlen(text), &got);

        if (chinese != (variety >= 0) || (chinese && (int)got != variety)) {
                printf("%s: %d\n", text, chinese ? (int)got : -1);
                abort();
        }
}

static void test_detect(struct converter *converter)
{
        expect_found(converter, "这个软件可以免费下载", VARIETY_HANS);
        expect_found(converter, "這個軟體可以免費下載", VARIETY_HANT);
        expect_found(converter, "皇后", VARIETY_HANS); /* the same in both */
        expect_found(converter, "著名的乾隆皇帝在这里写了一首诗，我们后来都学过", VARIETY_HANS);
        expect_found(converter, "用 Python 写一个 hello world 程序", VARIETY_HANS);
        expect_found(converter, "请打开 ホーム 页面，然后点击右上角的按钮", VARIETY_HANS);
        expect_found(converter, "12:30 :-)", VARIETY_HANS);
        expect_found(converter, "", VARIETY_HANS);
        expect_found(converter, "Good morning", -1);
        expect_found(converter, "これは日本語の文章です。", -1);
        expect_found(converter, "안녕하세요", -1);
        expect_found(converter, "Доброе утро", -1);
}

/* OpenCC must not see a text that ends within a character: it reads on. */
static void test_cut(struct converter *converter)
{
        static const char *const bad[] = { "\xe8\xbd", "软\xe4\xbb", "\xff", "\xc0\x80",
                                           "a\xf0\x9f" };
        struct conversion conversion = { converter, false, { model_find("t2s") }, 1 };
        char text[3 * 2000 + 1];
        enum variety variety;
        char *made;

        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
                assert(conversion_run(&conversion, bad[i], strlen(bad[i]), &made) == -EINVAL);
        for (size_t i = 0; i < 2000; i++)
                memcpy(text + 3 * i, "軟", 3);
        text[3 * 2000] = '\0';
        assert(converter_detect(converter, text, strlen(text), &variety));
        assert(variety == VARIETY_HANT);
}

static void test_pieces(void)
{
        static const char text[] = "一。二！？\n\n三";
        char *big = malloc(3 * CONVERT_PIECE);

        assert(convert_piece(text, strlen(text), 0) == strlen("一。"));
        assert(convert_piece(text + 6, strlen(text) - 6, 0) == strlen("二！？\n\n"));
        assert(convert_piece(text, strlen(text), 7) == strlen("一。二！？\n\n"));
        assert(convert_piece(text, strlen(text), 100) == strlen(text));
        assert(big);
        for (size_t i = 0; i < CONVERT_PIECE; i++)
                memcpy(big + 3 * i, "猫", 3);
        assert(convert_piece(big, 3 * CONVERT_PIECE, 0) == CONVERT_PIECE - CONVERT_PIECE % 3);
        free(big);
}

static struct conversion between(struct converter *converter, const char *from, const char *into)
{
        struct conversion conversion = { .converter = converter };
        struct convert_error error;
        enum variety source, target;

        assert(variety_read(from, &source) && variety_read(into, &target));
        conversion.n = model_route(source, target, true, conversion.route);
        assert(conversion_prepare(&conversion, &error) == 0);
        return conversion;
}

static void expect_converted(const struct conversion *conversion, const char *text,
                             const char *want)
{
        char *made;

        assert(conversion_run(conversion, text, strlen(text), &made) == 0);
        if (strcmp(made, want) != 0) {
                printf("%s: %s\n", text, made);
                abort();
        }
        free(made);
}

static void test_addresses(struct converter *converter)
{
        struct conversion conversion = between(converter, "zh-CN", "zh-TW");

        expect_converted(&conversion, "软件 https://a.org/软件/x?q=软件，软件",
                         "軟體 https://a.org/软件/x?q=软件，軟體");
        expect_converted(&conversion, "看https://a.org/x软件", "看https://a.org/x軟體");
        expect_converted(&conversion, "www.a.org/软件", "www.a.org/软件");
        expect_converted(&conversion, "“http://a.org/软件”软件", "“http://a.org/软件”軟體");
        expect_converted(&conversion, "http:/软件", "http:/軟體");
        expect_converted(&conversion, "", "");
}

#define RIGHT_PERCENT 85
#define FOUND_PERCENT 95 /* some sentences are the same in both */

struct score {
        size_t sentences, right, found;
};

static void judge(struct converter *converter, char *line, struct score *score)
{
        const char *from = strsep(&line, "\t"), *into = strsep(&line, "\t");
        const char *text = strsep(&line, "\t"), *want = line;
        struct conversion conversion = between(converter, from, into);
        enum variety variety, source;
        char *made;
        bool right;

        assert(conversion_run(&conversion, text, strlen(text), &made) == 0);
        right = strcmp(made, want) == 0;
        if (!right)
                printf("%s to %s: %s\n  got %s\n  not %s\n", from, into, text, made, want);
        assert(variety_read(from, &source));
        score->sentences++;
        score->right += right;
        score->found += converter_detect(converter, text, strlen(text), &variety) &&
                        (variety == VARIETY_HANS) == (source == VARIETY_HANS);
        free(made);
}

/* Pieces become what the whole becomes. */
static void test_pieces_of(struct converter *converter, const char *text)
{
        struct conversion conversion = between(converter, "zh-CN", "zh-TW");
        size_t length = strlen(text), at = 0;
        char *whole, *piece;

        assert(conversion_run(&conversion, text, length, &whole) == 0);
        while (length > 0) {
                size_t n = convert_piece(text, length, 0);

                assert(conversion_run(&conversion, text, n, &piece) == 0);
                assert(memcmp(whole + at, piece, strlen(piece)) == 0);
                at += strlen(piece);
                text += n;
                length -= n;
                free(piece);
        }
        assert(whole[at] == '\0');
        free(whole);
}

static void test_sentences(struct converter *converter, const char *path)
{
        struct score score = { 0 };
        FILE *f = fopen(path, "r");
        char line[1024], all[16384];
        size_t n;

        assert(f);
        while (fgets(line, sizeof line, f)) {
                line[strcspn(line, "\n")] = '\0';
                if (line[0] != '#')
                        judge(converter, line, &score);
        }
        printf("%zu sentences: %zu as expected, %zu found to be simplified or traditional\n",
               score.sentences, score.right, score.found);
        assert(score.right * 100 >= score.sentences * RIGHT_PERCENT);
        assert(score.found * 100 >= score.sentences * FOUND_PERCENT);
        rewind(f);
        n = fread(all, 1, sizeof all - 1, f);
        all[n] = '\0';
        test_pieces_of(converter, all);
        (void)fclose(f);
}

int main(int argc, char **argv)
{
        struct converter *converter;
        struct convert_error error;

        setvbuf(stdout, NULL, _IOLBF, 0);
        assert(argc == 2);
        assert(converter_new(NULL, &converter, &error) == 0);
        test_tags();
        test_routes();
        test_detect(converter);
        test_cut(converter);
        test_pieces();
        test_addresses(converter);
        test_sentences(converter, argv[1]);
        converter_free(converter);
        return 0;
}
