/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "serve/forwarded.h"
#include "util/network.h"

#define X "x-forwarded-for"
#define F "forwarded"

static struct network networks[2];
static struct conf_proxies trusted = { .networks = networks, .n_networks = 2 };

/* Names and values in turn, to NULL. */
static bool field(const void *request, size_t index, struct brick_str *ret_name,
                  struct brick_str *ret_value)
{
        const char *const *fields = request;

        if (!fields[2 * index])
                return false;
        *ret_name = brick_str(fields[2 * index]);
        *ret_value = brick_str(fields[2 * index + 1]);
        return true;
}

static const char *find(const char *peer, const char *const *fields)
{
        static char client[FORWARDED_MAX];

        return forwarded_client(&trusted, brick_str(peer), field, fields, client) ? client : "";
}

/* client "": the peer itself. */
#define CHECK(client, peer, ...)                                                 \
        do {                                                                     \
                const char *const fields[] = { __VA_ARGS__, NULL };              \
                const char *found = find(peer, fields);                          \
                                                                                 \
                if (strcmp(found, client) != 0)                                  \
                        (void)fprintf(stderr, "line %d: %s\n", __LINE__, found); \
                assert(strcmp(found, client) == 0);                              \
        } while (0)

#define PROXY "ipv4:10.0.0.1:41234"

static void test_x_forwarded_for(void)
{
        CHECK("ipv4:192.0.2.7", PROXY, X, "192.0.2.7");
        CHECK("ipv4:192.0.2.7", PROXY, "X-Forwarded-For", "192.0.2.7:4711");
        CHECK("ipv6:[2001:db8::7]", PROXY, X, "2001:db8::7");
        CHECK("ipv6:[2001:db8::7]", PROXY, X, "[2001:db8::7]:4711");
        CHECK("ipv4:192.0.2.7", PROXY, X, "::ffff:192.0.2.7");
        /* What a client writes itself is before what the proxies have added. */
        CHECK("ipv4:192.0.2.7", PROXY, X, "1.1.1.1, 192.0.2.7");
        CHECK("ipv4:192.0.2.7", PROXY, X, "1.1.1.1,192.0.2.7 ,10.9.9.9,\t10.8.8.8");
        CHECK("ipv4:192.0.2.7", PROXY, X, "1.1.1.1", X, "192.0.2.7", X, "10.9.9.9");
        CHECK("ipv4:192.0.2.7", PROXY, X, "nonsense, 192.0.2.7");
        /* All are proxies: the first one asks for itself. */
        CHECK("ipv4:10.7.7.7", PROXY, X, "10.7.7.7, 10.8.8.8");
        CHECK("ipv4:10.8.8.8", PROXY, X, "192.0.2.7, nonsense, 10.8.8.8");
        CHECK("", PROXY, X, "192.0.2.7, unknown");
        CHECK("ipv4:192.0.2.7", PROXY, X, ",, 192.0.2.7,, ");
        CHECK("", PROXY, X, "");
        CHECK("", PROXY, "x-real-ip", "192.0.2.7");
}

static void test_forwarded(void)
{
        CHECK("ipv4:192.0.2.7", PROXY, F, "for=192.0.2.7");
        CHECK("ipv4:192.0.2.7", PROXY, F,
              "for=1.1.1.1, proto=https;FOR=\"192.0.2.7:4711\";by=10.0.0.1");
        CHECK("ipv6:[2001:db8::7]", PROXY, F,
              "for=\"[2001:db8::7]:4711\" ; host=\"a,b;for=1.1.1.1\"");
        CHECK("", PROXY, F, "for=1.1.1.1, for=unknown");
        CHECK("", PROXY, F, "for=1.1.1.1, for=_hidden");
        CHECK("", PROXY, F, "for=1.1.1.1, proto=http");
        CHECK("", PROXY, F, "for=\"1.1.1.1, for=192.0.2.7");
        CHECK("ipv4:192.0.2.7", PROXY, F, "for=\"1.1.1.1", F, "for=192.0.2.7, for=10.2.2.2");
        /* A proxy that sets the one lets the other pass. */
        CHECK("ipv4:192.0.2.7", PROXY, F, "for=1.1.1.1", X, "192.0.2.7");
        CHECK("", PROXY, F, "for=1.1.1.1", X, "nonsense");
}

static void test_trust(void)
{
        CHECK("", "ipv4:192.0.2.1:1", X, "192.0.2.7");
        CHECK("ipv4:192.0.2.7", "ipv6:%5B2001:db8:5::1%5D:1", X, "192.0.2.7");
        CHECK("ipv4:192.0.2.7", "ipv6:[2001:db8:5::1]:1", X, "192.0.2.7");
        CHECK("", "unix:uid=0", X, "192.0.2.7");
        trusted.local = true;
        CHECK("ipv4:192.0.2.7", "unix:uid=0", X, "192.0.2.7");
        CHECK("", "fd:3", X, "");
        trusted = (struct conf_proxies){};
        CHECK("", PROXY, X, "192.0.2.7");
}

int main(void)
{
        assert(!network_parse(&networks[0], "10.0.0.0/8"));
        assert(!network_parse(&networks[1], "2001:db8:5::/48"));
        test_x_forwarded_for();
        test_forwarded();
        test_trust();
        return 0;
}
