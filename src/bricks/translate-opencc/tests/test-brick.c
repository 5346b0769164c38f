/* SPDX-License-Identifier: MIT */

/* The brick as a host sees it. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fake-host.h"

const struct brick_module *translate_opencc_brick_module_v1(void);

static struct fake_host *host_of(const char *options)
{
        struct fake_host *host;
        int r = fake_host_new(&host, translate_opencc_brick_module_v1(), options);

        if (r < 0)
                fake_die("create(): %d, %s", r, fake_host_said(host));
        return host;
}

static void expect_refused(const char *options, const char *why)
{
        struct fake_host *host;

        check(fake_host_new(&host, translate_opencc_brick_module_v1(), options) < 0);
        if (!strstr(fake_host_said(host), why))
                fake_die("'%s' is not in '%s'", why, fake_host_said(host));
        fake_host_free(host);
}

/* What a request is: from, into and the model may be NULL. */
struct asked {
        const char *text, *from, *into, *model;
};

static struct fake_call *run(struct fake_host *host, unsigned method, const struct asked *asked)
{
        TranslateRequest request = PROTOCOLS__GRPC__TRANSLATE__TRANSLATE_REQUEST__INIT;
        struct fake_call *call;

        request.text = (char *)asked->text;
        request.source_language = (char *)(asked->from ? asked->from : "");
        request.target_language = (char *)(asked->into ? asked->into : "");
        request.model_id = (char *)(asked->model ? asked->model : "");
        call = fake_call_new(host, method, &request.base);
        check(fake_call_run(call) == 0);
        return call;
}

/* language NULL: it fails with this code, and the text is in its message or detail. */
static void expect(struct fake_host *host, struct asked asked, int code, const char *text,
                   const char *language)
{
        _cleanup_(fake_call_freep) struct fake_call *call = run(host, BRICK_METHOD_UNARY, &asked);
        const TranslateResponse *response;

        if (fake_call_code(call) != code)
                fake_die("code %d, %s", fake_call_code(call), fake_call_text(call));
        if (code != 200) {
                if (!strstr(fake_call_text(call), text) && !strstr(fake_call_detail(call), text))
                        fake_die("%s; %s", fake_call_text(call), fake_call_detail(call));
                return;
        }
        response = fake_call_reply(call, 0, BRICK_DESCRIPTOR(TranslateResponse));
        if (strcmp(response->text, text) != 0 || strcmp(response->language_code, language) != 0 ||
            !response->is_final)
                fake_die("%s (%s)", response->text, response->language_code);
}

static void test_languages(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = host_of(NULL);

        expect(host, (struct asked){ "软件", NULL, "zh-TW", NULL }, 200, "軟體", "zh-TW");
        expect(host, (struct asked){ "軟體", NULL, "zh-CN", NULL }, 200, "软件", "zh-CN");
        expect(host, (struct asked){ "軟體", "zh", "zh_Hans", NULL }, 200, "软件", "zh_Hans");
        expect(host, (struct asked){ "軟體", NULL, "zh-TW", NULL }, 200, "軟體", "zh-TW");
        expect(host, (struct asked){ "里面", "zh-CN", "zh-HK", NULL }, 200, "裏面", "zh-HK");
        expect(host, (struct asked){ "软件", NULL, NULL, "s2tw" }, 200, "軟件", "zh-TW");
        expect(host, (struct asked){ "", NULL, "zh-TW", NULL }, 200, "", "zh-TW");
        expect(host, (struct asked){ "42", NULL, "zh-TW", NULL }, 200, "42", "zh-TW");

        expect(host, (struct asked){ "Hello", NULL, "zh-TW", NULL }, 2003, "not in Chinese", NULL);
        expect(host, (struct asked){ "Hello", "en", "zh-TW", NULL }, 2003, "from 'en'", NULL);
        expect(host, (struct asked){ "你好", NULL, "en", NULL }, 2003, "into 'en'", NULL);
        expect(host, (struct asked){ "你好", NULL, "en\n", NULL }, 2003, "into this language",
               NULL);
        expect(host, (struct asked){ "你好", NULL, NULL, NULL }, 2002, "target_language", NULL);
        expect(host, (struct asked){ "你好", NULL, "zh", NULL }, 2002, "target_language", NULL);
        expect(host, (struct asked){ "你好", NULL, "zh-TW", "gpt" }, 404, "no such model", NULL);
        expect(host, (struct asked){ "你好", NULL, "zh-CN", "s2twp" }, 2003, "into zh-TW", NULL);
}

static void test_options(void)
{
        struct fake_host *host;

        host = host_of("{ target_language: zh-TW, words: false }");
        expect(host, (struct asked){ "软件", NULL, NULL, NULL }, 200, "軟件", "zh-TW");
        fake_host_free(host);

        host = host_of("{ target_language: zh-TW }");
        expect(host, (struct asked){ "軟體", NULL, NULL, "t2s" }, 200, "软体", "zh-Hans");
        fake_host_free(host);

        host = host_of("{ source_language: zh-TW, target_language: zh-HK }");
        expect(host, (struct asked){ "裡", NULL, NULL, NULL }, 200, "裏", "zh-HK");
        fake_host_free(host);

        host = host_of("{ traditional: zh-HK, target_language: zh-TW }");
        expect(host, (struct asked){ "這裏", NULL, NULL, NULL }, 200, "這裡", "zh-TW");
        fake_host_free(host);

        host = host_of("{ model: /etc/brickd/tw2sp }");
        expect(host, (struct asked){ "軟體", NULL, NULL, NULL }, 200, "软件", "zh-Hans");
        expect(host, (struct asked){ "軟體", NULL, "zh-CN", NULL }, 200, "软件", "zh-CN");
        fake_host_free(host);

        expect_refused("{ model: /etc/brickd/s2xx }", "OpenCC has no model 's2xx'");
        expect_refused("{ model: /nowhere/own.json }", "own.json not found");
}

/* A configuration and a dictionary of the user's own. */
static void test_own_file(void)
{
        static const char config[] =
                "{\"name\": \"own\", \"segmentation\": {\"type\": \"mmseg\", \"dict\":"
                " {\"type\": \"text\", \"file\": \"%s\"}}, \"conversion_chain\": [{\"dict\":"
                " {\"type\": \"text\", \"file\": \"%s\"}}]}";
        char words[] = "/tmp/test-opencc-XXXXXX", file[64], options[128];
        int fd = mkstemp(words);
        struct fake_host *host;
        FILE *f;

        check(fd >= 0 && dprintf(fd, "貓\t狗\n") > 0 && close(fd) == 0);
        snprintf(file, sizeof file, "%s.json", words);
        snprintf(options, sizeof options, "{ model: %s }", file);
        f = fopen(file, "w");
        check(f && fprintf(f, config, words, words) > 0 && fclose(f) == 0);
        host = host_of(options);
        expect(host, (struct asked){ "一隻貓", NULL, NULL, NULL }, 200, "一隻狗", "zh");
        expect(host, (struct asked){ "一隻貓", NULL, "zh-TW", NULL }, 200, "一隻狗", "zh-TW");
        fake_host_free(host);
        f = fopen(file, "w");
        check(f && fputs("{", f) > 0 && fclose(f) == 0);
        expect_refused(options, "Error parsing JSON");
        check(unlink(file) == 0 && unlink(words) == 0);
}

static void test_stream(void)
{
        static const struct asked asked = { "软件。\n硬盘", NULL, "zh-TW", NULL };
        static const char *const parts[] = { "軟體。\n", "硬碟" };
        _cleanup_(fake_host_freep) struct fake_host *host = host_of(NULL);
        struct fake_call *call = run(host, BRICK_METHOD_OUTPUT_STREAMING, &asked);
        static const struct asked nothing = { "", NULL, "zh-TW", NULL };

        check(fake_call_replies(call) == 2);
        for (size_t i = 0; i < 2; i++) {
                const TranslateResponse *part = fake_call_reply(
                        call, i, BRICK_DESCRIPTOR(TranslateResponse));

                check(strcmp(part->text, parts[i]) == 0);
                check(part->is_final == (i == 1));
                check(strcmp(part->language_code, "zh-TW") == 0);
        }
        check(strcmp(fake_call_trailers(call), "x-source-language=zh-Hans\n") == 0);
        fake_call_free(call);
        call = run(host, BRICK_METHOD_OUTPUT_STREAMING, &nothing);
        check(fake_call_replies(call) == 1 && fake_call_code(call) == 200);
        fake_call_free(call);
}

/* Longer than a piece, and without an end of a sentence. */
static void test_long(void)
{
        enum { N = 30000 };
        _cleanup_(fake_host_freep) struct fake_host *host = host_of(NULL);
        char *text = malloc(3 * N + 1), *want = malloc(3 * N + 1);

        check(text && want);
        for (size_t i = 0; i < N; i++) {
                memcpy(text + 3 * i, "猫", 3);
                memcpy(want + 3 * i, "貓", 3);
        }
        text[3 * N] = want[3 * N] = '\0';
        expect(host, (struct asked){ text, "zh-CN", "zh-TW", NULL }, 200, want, "zh-TW");
        free(text);
        free(want);
}

static void test_info(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = host_of(NULL);
        _cleanup_(fake_call_freep) struct fake_call *call = fake_call_new_bytes(
                host, BRICK_METHOD_SERVICE_INFO, (struct brick_bytes){ "", 0 });
        const ServiceInfoResponse *info;

        check(fake_call_run(call) == 0);
        info = fake_call_reply(call, 0, BRICK_DESCRIPTOR(ServiceInfoResponse));
        check(info->n_models == 12 && info->models[2]->support_streaming);
        check(strcmp(info->models[2]->model_id, "s2twp") == 0);
        check(strcmp(info->models[2]->supported_languages[1], "zh-TW") == 0);
}

int main(void)
{
        test_languages();
        test_options();
        test_own_file();
        test_stream();
        test_long();
        test_info();
        return 0;
}
