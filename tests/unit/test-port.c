/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/diag.h"
#include "rpc/call.h"
#include "rpc/rpc.h"
#include "shared/balance.h"
#include "shared/stats.h"

/*
 * A request is posted for every call that begins. When there is no memory for that, it is posted
 * later: the port goes deaf otherwise, after as many such moments as requests wait.
 */

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED
static atomic_bool full;
static atomic_int refused;

/* glibc's own. */
extern void *__libc_calloc(size_t n, size_t size);

/* No memory for calls. */
__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
        if (n == 1 && size == sizeof(struct rpc_call) && atomic_load(&full)) {
                (void)atomic_fetch_add(&refused, 1);
                return NULL;
        }
        return __libc_calloc(n, size);
}

static const char yaml[] = "ports:\n  - { listen: \"127.0.0.1:0\", health: false, reflection: "
                           "false }\nbricks: []\nlog: { access: off }\n";

static int listener_new(struct sockaddr_in *ret_address)
{
        socklen_t length = sizeof *ret_address;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        *ret_address = (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        assert(fd >= 0 && bind(fd, (struct sockaddr *)ret_address, sizeof *ret_address) == 0);
        assert(listen(fd, 16) == 0);
        assert(getsockname(fd, (struct sockaddr *)ret_address, &length) == 0);
        return fd;
}

static void must_send(int fd, const void *bytes, size_t length)
{
        assert(send(fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length);
}

static void must_read(int fd, void *bytes, size_t length)
{
        assert(recv(fd, bytes, length, MSG_WAITALL) == (ssize_t)length);
}

/* A call of a method that nobody serves, and its answer. */
static void must_answer(int fd, unsigned stream)
{
        static const char block[] = "\203\206\0\5:path\2/x\0\12:authority\1x"
                                    "\0\14content-type\20application/grpc\0\2te\10trailers";
        const unsigned char head[] = {
                0, 0, sizeof block - 1, 1, 5, 0, 0, 0, (unsigned char)stream
        };
        unsigned char got[9], payload[65536];

        must_send(fd, head, sizeof head);
        must_send(fd, block, sizeof block - 1);
        do {
                must_read(fd, got, sizeof got);
                must_read(fd, payload, (size_t)got[1] << 8 | got[2]);
        } while (got[3] != 1 || got[8] != stream);
}

static int connect_to(const struct sockaddr_in *address)
{
        static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                    "\0\0\0\4\0\0\0\0\0"
                                    "\0\0\0\4\1\0\0\0\0";
        static const struct timeval limit = { .tv_sec = 20 };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert(fd >= 0);
        assert(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
        assert(connect(fd, (const struct sockaddr *)address, sizeof *address) == 0);
        must_send(fd, hello, sizeof hello - 1);
        return fd;
}

int main(void)
{
        struct sockaddr_in address;
        struct diag *diag;
        struct conf *conf;
        struct stats *stats;
        struct balance *shared, *balance;
        struct rpc *rpc;
        int client;

        assert(diag_new(&diag, "test.yaml", yaml, strlen(yaml)) == 0);
        assert(conf_parse(&conf, "test.yaml", yaml, strlen(yaml), diag) == 0);
        assert(stats_attach(&stats, -1, 0, 1) == 0);
        assert(balance_new(&shared, 1) == 0);
        assert(balance_open(&balance, balance_fd(shared), 0) == 0);
        assert(rpc_new(&rpc, conf, stats, NULL, NULL, true) == 0);
        assert(rpc_add_port(rpc, &conf->ports[0], listener_new(&address), NULL, diag) == 0);
        assert(rpc_start(rpc, balance) == 0);

        client = connect_to(&address);
        atomic_store(&full, true);
        for (unsigned stream = 1; stream < 40; stream += 2)
                must_answer(client, stream);
        assert(atomic_load(&refused) > 2); /* as many as wait */
        atomic_store(&full, false);
        must_answer(client, 41);
        (void)close(client);

        rpc_drain(rpc);
        while (!rpc_step(rpc))
                (void)usleep(5000);
        (void)rpc_free(rpc);
        (void)balance_free(balance);
        (void)balance_free(shared);
        (void)stats_free(stats);
        (void)conf_free(conf);
        (void)diag_free(diag);
        return 0;
}
#else
int main(void)
{
        return 77; /* calloc() is the sanitizer's */
}
#endif
