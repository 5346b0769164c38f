/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "brick.h"
#include "conf/conf.h"
#include "conf/diag.h"
#include "rpc/credentials.h"
#include "shared/stats.h"

static const char config[] = "ports: [{ listen: \"127.0.0.1:0\" }]\n"
                             "bricks:\n"
                             "  - { name: chat, module: m }\n"
                             "  - { name: chat2, module: m }\n"
                             "  - { name: shield, module: m }\n";

static struct conf *conf;
static struct stats *stats;
static struct quota *quota;

struct request {
        grpc_metadata pairs[4];
        grpc_metadata_array array;
};

static grpc_metadata_array *request_of(struct request *request, const char *first,
                                       const char *second)
{
        const char *values[] = { "other", first, second };

        *request = (struct request){ .array = { .metadata = request->pairs, .capacity = 4 } };
        for (size_t i = 0; i < ELEMENTSOF(values) && values[i]; i++)
                request->pairs[request->array.count++] = (grpc_metadata){
                        .key = grpc_slice_from_static_string(i == 0 ? "x-other" : "authorization"),
                        .value = grpc_slice_from_static_string(values[i]),
                };
        return &request->array;
}

static const char *identify(struct auth *auth, enum auth_reader reader,
                            grpc_metadata_array *metadata, const struct auth_identity **ret)
{
        struct credentials credentials;
        const char *refusal;

        credentials_take(&credentials, NULL, metadata);
        refusal = auth_identify(auth, reader, &credentials.proof, ret);
        credentials_done(&credentials);
        return refusal;
}

static const char *ask(struct auth *auth, const char *authorization,
                       const struct auth_identity **ret)
{
        struct request request;
        grpc_metadata_array *array = request_of(&request, authorization, NULL);
        const char *refusal = identify(auth, AUTH_CALLS, array, ret);

        /* No brick sees it. */
        assert(array->count == 1 && grpc_slice_str_cmp(array->metadata[0].key, "x-other") == 0);
        return refusal;
}

static void set(struct auth *auth, const char *text)
{
        assert(auth_set(auth, text, strlen(text)) == 0);
}

/* The digests of "abc" and of "" are those of FIPS 180-4 and its examples. */
#define ABC "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define LONG "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
#define LONG_TOKEN "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"

static void test_tokens(void)
{
        _cleanup_(auth_freep) struct auth *auth = NULL;
        const struct auth_identity *who;
        struct request request;
        char large[1024];

        assert(auth_new(&auth, conf, stats, quota) == 0);
        set(auth, "identities:\n"
                  "  - { name: abc, token: " ABC ", allow: [chat] }\n"
                  "  - { name: old, token: " LONG ", expires: 2001-01-01, allow: [] }\n"
                  "  - { name: cert, certificate: abc2, allow: [] }\n");
        assert(!ask(auth, "Bearer abc", &who) && strcmp(who->name, "abc") == 0);
        assert(!ask(auth, "bEaReR abc", &who));
        assert(strcmp(ask(auth, "Bearer " LONG_TOKEN, &who), "The identity has expired") == 0);
        assert(strcmp(who->name, "old") == 0);
        assert(strcmp(ask(auth, "Bearer abd", &who), "The token is not known") == 0 && !who);
        /* The name in a certificate is no token. */
        assert(ask(auth, "Bearer abc2", &who) && !who);
        assert(ask(auth, "Bearer", &who) && ask(auth, "Bearer ", &who) && ask(auth, "abc", &who));
        assert(ask(auth, "Basic abc", &who) && ask(auth, "Bearer  abc", &who));
        (void)snprintf(large, sizeof large, "Bearer %01000d", 0);
        assert(ask(auth, large, &who) && !who);
        assert(identify(auth, AUTH_CALLS, request_of(&request, NULL, NULL), &who));
        assert(identify(auth, AUTH_CALLS, request_of(&request, "Bearer abc", "Bearer abc"), &who));
        assert(request.array.count == 1);
}

static void test_allow(void)
{
        static const struct {
                const char *allow;
                unsigned chat, chat2, missing; /* 1 << BRICK_METHOD_* */
        } cases[] = {
                { "[]", 0, 0, 0 },
                { "chat", 31, 0, 0 },
                { "chat2", 0, 31, 0 },
                { "cha", 0, 0, 0 },
                { "chat/*", 31, 0, 0 },
                { "chat/Unary", 2, 0, 0 },
                { "[chat/Unary, chat/GetServiceInfo, chat2/BidiStreaming]", 3, 16, 0 },
                { "\"*\"", 31, 31, 31 },
                { "\"*/*\"", 31, 31, 31 },
                { "[\"*/OutputStreaming\", chat/InputStreaming]", 12, 4, 4 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(auth_freep) struct auth *auth = NULL;
                const struct auth_identity *who;
                char text[256];

                assert(auth_new(&auth, conf, stats, quota) == 0);
                (void)snprintf(text, sizeof text,
                               "identities: [ { name: a, token: " ABC ", allow: %s } ]",
                               cases[i].allow);
                set(auth, text);
                assert(!ask(auth, "Bearer abc", &who));
                for (unsigned m = 0; m <= BRICK_METHOD_BIDI_STREAMING; m++) {
                        assert(auth_allows(who, 0, m) == (bool)(cases[i].chat & 1u << m));
                        assert(auth_allows(who, 1, m) == (bool)(cases[i].chat2 & 1u << m));
                        assert(auth_allows(who, -1, m) == (bool)(cases[i].missing & 1u << m));
                }
        }
}

static void test_bad_text(void)
{
        _cleanup_(auth_freep) struct auth *auth = NULL;
        const struct auth_identity *who;

        assert(auth_new(&auth, conf, stats, quota) == 0);
        set(auth, "identities: [ { name: a, token: " ABC ", allow: [] } ]");
        assert(auth_set(auth, "identities: [ { name: a } ]", 27) == -EINVAL);
        assert(!ask(auth, "Bearer abc", &who));
        set(auth, "");
        assert(ask(auth, "Bearer abc", &who));
}

static atomic_bool over;

static void *read_all_the_time(void *arg)
{
        struct auth *auth = arg;
        const struct auth_identity *who;
        unsigned long n = 0;

        while (!atomic_load(&over)) {
                struct request request;

                assert(!identify(auth, AUTH_BUILTIN, request_of(&request, "Bearer abc", NULL),
                                 &who));
                assert(strcmp(who->name, "even") == 0 || strcmp(who->name, "odd") == 0);
                n++;
        }
        assert(n > 0);
        return NULL;
}

/* Tables change while two threads read; whoever never asks holds nothing up. */
static void test_changes(void)
{
        _cleanup_(auth_freep) struct auth *auth = NULL;
        pthread_t thread;
        char text[256];

        assert(auth_new(&auth, conf, stats, quota) == 0);
        for (int i = 0; i < 500; i++) {
                (void)snprintf(text, sizeof text,
                               "identities: [ { name: %s, token: " ABC ", allow: [] } ]",
                               i % 2 ? "odd" : "even");
                set(auth, text);
                if (i == 0)
                        assert(pthread_create(&thread, NULL, read_all_the_time, auth) == 0);
                if (i % 7 == 0) {
                        const struct auth_identity *who;

                        assert(!ask(auth, "Bearer abc", &who));
                        assert(strcmp(who->name, i % 2 ? "odd" : "even") == 0);
                }
        }
        atomic_store(&over, true);
        assert(pthread_join(thread, NULL) == 0);
}

int main(void)
{
        struct quota *owner = NULL;
        struct diag *diag = NULL;

        assert(diag_new(&diag, "f", config, strlen(config)) == 0);
        assert(conf_parse(&conf, "f", config, strlen(config), diag) == 0);
        diag = diag_free(diag);
        assert(stats_attach(&stats, -EBADF, conf->n_bricks, conf->n_ports) == 0);
        assert(quota_new(&owner) == 0 && quota_open(&quota, quota_fd(owner), 0) == 0);
        test_tokens();
        test_allow();
        test_bad_text();
        test_changes();
        quota = quota_free(quota);
        owner = quota_free(owner);
        stats = stats_free(stats);
        conf = conf_free(conf);
        return 0;
}
