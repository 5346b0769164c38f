/* SPDX-License-Identifier: MIT */

/* The brick as a host sees it. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake-host.h"

const struct brick_module *intention_examples_brick_module_v1(void);

static struct fake_host *host_of(const char *options)
{
        struct fake_host *host;
        int r = fake_host_new(&host, intention_examples_brick_module_v1(), options);

        if (r < 0)
                fake_die("create(): %d, %s", r, fake_host_said(host));
        return host;
}

static void expect_refused(const char *options, const char *why)
{
        struct fake_host *host;

        check(fake_host_new(&host, intention_examples_brick_module_v1(), options) < 0);
        if (!strstr(fake_host_said(host), why))
                fake_die("'%s' is not in '%s'", why, fake_host_said(host));
        fake_host_free(host);
}

static struct fake_call *run(struct fake_host *host, const char *text, bool explained)
{
        IntentionRequest request = PROTOCOLS__GRPC__INTENTION__INTENTION_REQUEST__INIT;
        struct fake_call *call;

        request.text = (char *)text;
        call = fake_call_new(host, BRICK_METHOD_UNARY, &request.base);
        if (explained)
                fake_call_add_metadata(call, "x-brick-explain", "1");
        check(fake_call_run(call) == 0 && fake_call_code(call) == 200);
        return call;
}

/* The first category. Returns the number of results. */
static size_t expect(struct fake_host *host, const char *text, const char *category)
{
        _cleanup_(fake_call_freep) struct fake_call *call = run(host, text, false);
        const IntentionResponse *response = fake_call_reply(call, 0,
                                                            BRICK_DESCRIPTOR(IntentionResponse));

        check(response->n_results > 0);
        if (strcmp(response->results[0]->intent_category, category) != 0)
                fake_die("%s: %s", text, response->results[0]->intent_category);
        for (size_t i = 0; i < response->n_results; i++)
                check(response->results[i]->confidence >= 0 &&
                      response->results[i]->confidence <= 1);
        check(strcmp(fake_call_trailers(call), "") == 0);
        return response->n_results;
}

static void test_shipped(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = host_of(NULL);

        (void)expect(host, "hello!", "greeting");
        (void)expect(host, "包裹什麼時候到", "order-status");
        (void)expect(host, "Ich habe mein Passwort vergessen", "password");
        (void)expect(host, "Write a poem about the sea", "unknown");
        check(expect(host, "", "unknown") == 1);
        check(expect(host, "!?", "unknown") == 1);
}

static void test_options(void)
{
        static const char inline_examples[] = "{ examples: { a: [\"red apple\", \"green apple\"], "
                                              "b: [\"blue sky\", \"grey sky\"] },"
                                              " unknown: none, max_results: 1 }";
        struct fake_host *host = host_of(inline_examples);

        check(expect(host, "red apple", "a") == 1);
        check(expect(host, "xyzzy", "none") == 1);
        fake_host_free(host);
        host = host_of("{ threshold: 1 }");
        (void)expect(host, "hello!", "unknown");
        fake_host_free(host);
        host = host_of("{ threshold: 0 }");
        check(expect(host, "order", "order-status") == 3);
        fake_host_free(host);

        expect_refused("{ examples: {} }", "expected categories");
        expect_refused("{ examples: { a: [] } }", "expected a list of examples");
        expect_refused("{ examples: { a: [x], b: [x] } }", "this is an example of 'a' as well");
        expect_refused("{ examples: { a: [\"...\"] } }", "needs letters or digits");
        expect_refused("{ examples: { a: [], b: [\"...\", \"?\"] } }",
                       "letters or digits\nan example");
        expect_refused("{ unknown: \"\" }", "a category needs a name");
        expect_refused("{ unknown: thanks }", "there is a category 'thanks'");
        expect_refused("{ file: /nowhere.yaml }", "cannot read /nowhere.yaml: No such file");
        expect_refused("{ file: /dev/null }", "not a file");
}

static void test_file(void)
{
        char path[] = "/tmp/test-intention-XXXXXX", options[64];
        int fd = mkstemp(path);
        struct fake_host *host;

        check(fd >= 0);
        snprintf(options, sizeof options, "{ file: %s }", path);
        check(dprintf(fd, "a: [red apple]\nb:\n  - blue sky\n") > 0);
        host = host_of(options);
        (void)expect(host, "an apple, red", "a");
        fake_host_free(host);
        check(dprintf(fd, "c: [blue sky]\n") > 0);
        expect_refused(options, ":4:5: c[0]: this is an example of 'b' as well");
        check(dprintf(fd, "d: 7\n") > 0);
        expect_refused(options, "2 mistakes in the file, named in the log; the first: ");
        check(close(fd) == 0 && unlink(path) == 0);
}

static void test_explain(void)
{
        _cleanup_(fake_host_freep) struct fake_host *host = host_of("{ max_results: 1 }");
        _cleanup_(fake_call_freep) struct fake_call *call = run(host, "my parcel is late", true);

        check(strncmp(fake_call_trailers(call), "x-brick-step-bin=", 17) == 0);
}

int main(int argc, char **argv)
{
        check(argc == 2 && setenv("BRICKD_DATA", argv[1], true) == 0);
        test_shipped();
        test_options();
        test_file();
        test_explain();
        return 0;
}
