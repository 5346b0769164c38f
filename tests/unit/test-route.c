/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "llm.pb-c.h"
#include "module/instance.h"
#include "serve/route.h"

/* Which brick answers: by metadata, by model_id, by default; and what a file may not say. */

enum { BRICKS_MAX = 8 };

/* Bricks whose names begin with g are of type Guard, all others of type LLM. */
static struct setup {
        char text[2048]; /* the diag quotes it */
        struct conf *conf;
        struct diag *diag;
        struct instance instances[BRICKS_MAX];
        struct instance *pointers[BRICKS_MAX];
        struct route route;
} setup;

static int begin(const char *bricks)
{
        static const char head[] = "ports:\n  - listen: 127.0.0.1:0\nbricks:\n";
        int n;

        setup = (struct setup){};
        n = snprintf(setup.text, sizeof setup.text, "%s%s", head, bricks);
        assert(n > 0 && (size_t)n < sizeof setup.text);
        assert(diag_new(&setup.diag, "test.yaml", setup.text, (size_t)n) == 0);
        assert(conf_parse(&setup.conf, "test.yaml", setup.text, (size_t)n, setup.diag) == 0);
        assert(setup.conf->n_bricks <= BRICKS_MAX);
        for (size_t i = 0; i < setup.conf->n_bricks; i++) {
                const struct conf_brick *brick = &setup.conf->bricks[i];

                setup.instances[i].conf = brick;
                setup.instances[i].type = brick->name[0] == 'g' ? BRICK_TYPE_GUARD : BRICK_TYPE_LLM;
                setup.pointers[i] = &setup.instances[i];
        }
        return route_init(&setup.route, service_of_type(BRICK_TYPE_LLM), &setup.conf->ports[0],
                          setup.pointers, setup.diag);
}

static void end(void)
{
        route_done(&setup.route);
        setup.conf = conf_free(setup.conf);
        setup.diag = diag_free(setup.diag);
}

/* The name of the brick that gets a request; "none". NULL: the request does not say. */
static const char *found(const char *x_brick, const char *model)
{
        Protocols__Grpc__Llm__LLMRequest request = PROTOCOLS__GRPC__LLM__LLMREQUEST__INIT;
        struct brick_str name = x_brick ? brick_str(x_brick) : (struct brick_str){};
        const struct instance *instance;
        uint8_t bytes[256];
        size_t n;

        if (model)
                request.model_id = (char *)model;
        n = protobuf_c_message_pack(&request.base, bytes);
        instance = route_find(&setup.route, name, (struct brick_bytes){ bytes, n });
        return instance ? instance->conf->name : "none";
}

static void check(const char *x_brick, const char *model, const char *expected)
{
        assert(strcmp(found(x_brick, model), expected) == 0);
}

static void test_one(void)
{
        assert(begin("  - { name: guard, module: m }\n  - { name: chat, module: m }\n") == 0);
        assert(setup.route.n_bricks == 1);
        check(NULL, NULL, "chat");
        check(NULL, "any", "chat");
        check("chat", NULL, "chat");
        check("guard", NULL, "none"); /* of another type */
        check("other", NULL, "none");
        check("", NULL, "none");
        end();
}

static void test_none(void)
{
        assert(begin("  - { name: guard, module: m }\n") == 0);
        assert(setup.route.n_bricks == 0);
        end();
}

static void test_several(void)
{
        assert(begin("  - { name: small, module: m, match: { model_id: [s1, s2] } }\n"
                     "  - { name: large, module: m, default: true }\n"
                     "  - { name: beta, module: m, match: { x-brick: [next], model_id: b } }\n") ==
               0);
        assert(setup.route.n_bricks == 3);
        check(NULL, NULL, "large");
        check(NULL, "unknown", "large");
        check(NULL, "s1", "small");
        check(NULL, "s2", "small");
        check(NULL, "s", "large");
        check(NULL, "b", "beta");
        check("next", "s1", "beta"); /* metadata before the model */
        check("small", "b", "small");
        check("nobody", "s1", "none");
        end();
}

static void check_mistake(const char *bricks, const char *expected)
{
        const char *text;
        bool said = false;

        assert(begin(bricks) == -EINVAL);
        for (size_t i = 0; (text = diag_text(setup.diag, i)); i++)
                said = said || strstr(text, expected);
        assert(said);
        end();
}

static void test_mistakes(void)
{
        check_mistake("  - { name: a, module: m }\n  - { name: b, module: m }\n", "need `match:`");
        check_mistake("  - { name: a, module: m, match: { model_id: x } }\n"
                      "  - { name: b, module: m, match: { model_id: y } }\n",
                      "exactly one of them needs `default: true`, not 0");
        check_mistake("  - { name: a, module: m, default: true }\n"
                      "  - { name: b, module: m, default: true }\n",
                      "not 2");
        check_mistake("  - { name: a, module: m, default: true, match: { model_id: x } }\n"
                      "  - { name: b, module: m, match: { model_id: [y, x] } }\n",
                      "model_id 'x' also selects brick 'a'");
        check_mistake("  - { name: a, module: m, default: true }\n"
                      "  - { name: b, module: m, match: { x-brick: a } }\n",
                      "x-brick 'a' also selects brick 'a'");
        /* In either order. */
        check_mistake("  - { name: c, module: m, default: true }\n"
                      "  - { name: b, module: m, match: { x-brick: a } }\n"
                      "  - { name: a, module: m, match: { model_id: x } }\n",
                      "x-brick 'a' also selects brick 'a'");
}

int main(void)
{
        test_one();
        test_none();
        test_several();
        test_mistakes();
        return 0;
}
