/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "module/call.h"
#include "serve/usage.h"

/* What a call has used, from what its brick says. */

#define PROMPT "x-usage-prompt-tokens"
#define COMPLETION "x-usage-completion-tokens"
#define TOTAL "x-usage-total-tokens"

struct said {
        const char *key, *value;
};

static struct brick_str lookup(const void *metadata, const char *key)
{
        for (const struct said *s = metadata; s->key; s++)
                if (strcmp(s->key, key) == 0)
                        return brick_str(s->value);
        return (struct brick_str){};
}

static bool is(struct brick_str s, const char *want)
{
        return want ? s.len == strlen(want) && memcmp(s.ptr, want, s.len) == 0 : !s.ptr;
}

static struct usage read_all(const struct said *said)
{
        struct usage usage;

        usage_read(&usage, lookup, said);
        return usage;
}

static void test_all(void)
{
        const struct said said[] = {
                { PROMPT, "5" },
                { COMPLETION, "7" },
                { TOTAL, "13" },
                { "x-model", "gpt-4o-1" },
                { "x-finish-reason", "length" },
                {},
        };
        struct usage usage = read_all(said);

        assert(usage.known && usage.prompt == 5 && usage.completion == 7 && usage.total == 13);
        assert(is(usage.model, "gpt-4o-1") && is(usage.finish_reason, "length"));
}

static void test_part(void)
{
        struct usage usage = read_all((const struct said[]){ {} });

        assert(!usage.known && !usage.total && is(usage.model, NULL));
        assert(is(usage.finish_reason, NULL));

        usage = read_all((const struct said[]){ { PROMPT, "0" }, { COMPLETION, "7" }, {} });
        assert(usage.known && usage.prompt == 0 && usage.completion == 7 && usage.total == 7);

        usage = read_all((const struct said[]){ { PROMPT, "5" }, { "x-model", "m" }, {} });
        assert(!usage.known && usage.prompt == 0 && is(usage.model, "m"));
}

/* A count that no server can mean is none. */
static void test_bounds(void)
{
        static const char *const bad[] = {
                "",
                "-1",
                "+1",
                " 1",
                "1 ",
                "1e3",
                "0x1",
                "1000000000000",
                "9223372036854775807",
                "18446744073709551616",
                "99999999999999999999999999999999999999999999",
        };
        struct usage usage;

        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
                usage = read_all(
                        (const struct said[]){ { PROMPT, bad[i] }, { COMPLETION, "1" }, {} });
                assert(!usage.known && usage.prompt == 0 && usage.completion == 0);
                usage = read_all((const struct said[]){
                        { PROMPT, "1" }, { COMPLETION, "2" }, { TOTAL, bad[i] }, {} });
                assert(usage.known && usage.total == 3);
        }
        usage = read_all((const struct said[]){
                { PROMPT, "999999999999" }, { COMPLETION, "0999999999999" }, {} });
        assert(usage.known && usage.total == 2 * USAGE_TOKENS_MAX);
}

static const struct said *of_call;

static struct brick_str find_trailer(struct call *call, const char *key)
{
        return lookup(of_call, key);
}

static void test_call(void)
{
        static const struct transport transport = { .find_trailer = find_trailer };
        const struct said said[] = { { PROMPT, "1" }, { COMPLETION, "2" }, { "x-model", "m" }, {} };
        struct call call = {};
        struct usage usage;

        assert(call_init(&call, &transport) == 0);
        of_call = said;
        call_lock(&call);
        usage_of_call(&usage, &call);
        call_unlock(&call);
        assert(usage.known && usage.total == 3 && is(usage.model, "m"));
        call_done(&call);
}

int main(void)
{
        test_all();
        test_part();
        test_bounds();
        test_call();
        return 0;
}
