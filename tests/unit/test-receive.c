/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/connection.h"

/* recvmsg() of rpc/receive.c, called as gRPC core calls it. */

#define TOTAL (1 << 20)
#define TURN_MAX ((size_t)16 * 1024)
#define TURN_FIRST ((size_t)4 * 1024)
#define TURN_LARGE (4 * TURN_MAX)

static const struct conf_port port = {
        .listen = "test",
        .max_connections = 10,
        .max_connections_per_address = 10,
        .max_metadata = 1000,
        .max_resets = 5,
        .max_streams = 100,
        .max_request = 1 << 20,
        .max_unfinished = 1 << 20,
};

static struct stats_port stats;
static struct listener listener = { .conf = &port, .stats = &stats };
static char sent[TOTAL], received[TOTAL];

/* A pair whose second end is a connection that waits in epoll. */
static int pair_new(int ret_pair[2])
{
        const struct sockaddr local = { .sa_family = AF_UNIX };
        struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
        int epoll = epoll_create1(EPOLL_CLOEXEC), size = 4 * TOTAL;

        assert(epoll >= 0);
        assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ret_pair) == 0);
        (void)setsockopt(ret_pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
        assert(connection_add(ret_pair[1], &listener, &local));
        event.data.fd = ret_pair[1];
        assert(epoll_ctl(epoll, EPOLL_CTL_ADD, ret_pair[1], &event) == 0);
        return epoll;
}

static void pair_done(int epoll, const int pair[2])
{
        (void)close(epoll);
        (void)close(pair[0]);
        (void)close(pair[1]);
}

/*
 * As the core reads: into two pieces until they are full or nothing has come, then again, until
 * nothing has come at all. Gives the bytes of one turn.
 */
static size_t read_turn(int fd, char *to, size_t room)
{
        size_t turn = 0;

        for (;;) {
                size_t got = 0;

                while (got < room) {
                        struct iovec pieces[] = {
                                { to + turn + got, (room - got) / 2 },
                                { to + turn + got + (room - got) / 2,
                                  room - got - (room - got) / 2 },
                        };
                        struct msghdr message = { .msg_iov = pieces, .msg_iovlen = 2 };
                        ssize_t n = recvmsg(fd, &message, 0);

                        assert(message.msg_iovlen == 2);
                        if (n < 0 && errno == EAGAIN && got == 0)
                                return turn;
                        if (n < 0 && errno == EAGAIN)
                                break;
                        assert(n > 0);
                        got += (size_t)n;
                }
                turn += got;
        }
}

/* Whatever the core's buffers, a turn ends, and nothing is lost. */
static void test_turns(size_t room)
{
        size_t written = 0, got = 0, turns = 0;
        int pair[2], epoll = pair_new(pair);

        while (got < TOTAL - room) {
                struct epoll_event event;
                size_t turn;
                ssize_t n;

                n = write(pair[0], sent + written, TOTAL - written);
                written += n > 0 ? (size_t)n : 0;
                assert(epoll_wait(epoll, &event, 1, 2000) == 1);
                turn = read_turn(pair[1], received + got, room);
                assert(turn <= TURN_MAX);
                got += turn;
                turns++;
        }
        assert(memcmp(sent, received, got) == 0);
        assert(turns <= 2 * TOTAL / TURN_MAX + 2);
        pair_done(epoll, pair);
}

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define RST_STREAM "\0\0\4\3\0\0\0\0\1\0\0\0\x8"
#define DATA_HEAD "\0\x40\0\0\0\0\0\0\1" /* of 16 KiB */

/* The bytes of the next turn, when there is more to read than a turn may take. */
static size_t next_turn(int epoll, int fd)
{
        struct epoll_event event;

        assert(epoll_wait(epoll, &event, 1, 2000) == 1);
        return read_turn(fd, received, 300000);
}

/* Who sends large messages has longer turns, until something else comes. */
static void test_large_turns(void)
{
        char *p = sent + strlen(PREFACE);
        int pair[2], epoll = pair_new(pair);

        memcpy(sent, PREFACE, strlen(PREFACE));
        for (size_t i = 0; i < 10; i++, p += 9 + TURN_MAX)
                memcpy(p, DATA_HEAD, 9);
        memcpy(sent + strlen(PREFACE) + 9, "\0\0\2\x7f\xfb", 5); /* one message in all of them */
        for (; p + 13 <= sent + 15 * TURN_MAX; p += 13)
                memcpy(p, "\0\0\4\x8\0\0\0\0\0\0\0\0\1", 13); /* WINDOW_UPDATE */
        assert(write(pair[0], sent, (size_t)(p - sent)) == p - sent);
        assert(next_turn(epoll, pair[1]) == TURN_FIRST);
        assert(next_turn(epoll, pair[1]) == TURN_LARGE);
        assert(next_turn(epoll, pair[1]) == TURN_LARGE);
        assert(next_turn(epoll, pair[1]) == TURN_LARGE); /* which is mostly something else */
        assert(next_turn(epoll, pair[1]) == TURN_MAX);
        pair_done(epoll, pair);
}

static ssize_t send_and_read(const int pair[2], const char *bytes, size_t length)
{
        char buffer[1024];
        struct iovec piece = { buffer, sizeof buffer };
        struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

        assert(write(pair[0], bytes, length) == (ssize_t)length);
        return recvmsg(pair[1], &message, 0);
}

/* The peer is told, though nobody has closed the connection yet. */
static bool is_over(int peer)
{
        struct pollfd pollfd = { .fd = peer };

        return poll(&pollfd, 1, 0) > 0 && pollfd.revents & POLLHUP;
}

static void test_refused(void)
{
        int pair[2], epoll = pair_new(pair);

        assert(send_and_read(pair, PREFACE, strlen(PREFACE)) > 0);
        assert(send_and_read(pair, "\0\x4\0\x1\0\0\0\0\1", 9) > 0);
        assert(send_and_read(pair, "\0\x8\0\x1\0\0\0\0\1", 9) > 0); /* that was payload */
        pair_done(epoll, pair);

        epoll = pair_new(pair);
        assert(send_and_read(pair, PREFACE, strlen(PREFACE)) > 0);
        assert(send_and_read(pair, "\0\x8\0\x1\0\0\0\0\1", 9) < 0 && errno == ECONNRESET);
        assert(is_over(pair[0]));
        pair_done(epoll, pair);

        epoll = pair_new(pair);
        assert(send_and_read(pair, PREFACE, strlen(PREFACE)) > 0);
        for (int i = 0; i < 5; i++)
                assert(send_and_read(pair, RST_STREAM, sizeof RST_STREAM - 1) > 0);
        assert(!is_over(pair[0]));
        /* The second may just have ended. */
        for (int i = 0; i < 6 && !is_over(pair[0]); i++)
                if (send_and_read(pair, RST_STREAM, sizeof RST_STREAM - 1) < 0)
                        assert(errno == ECONNRESET && is_over(pair[0]));
        assert(is_over(pair[0]));
        pair_done(epoll, pair);
}

/* What a backend sends is read in turns as well, also while it does not read: it may wait for this
 * end to read. */
static void test_backend(void)
{
        struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
        int pair[2], epoll = epoll_create1(EPOLL_CLOEXEC), size = 4 * TOTAL;
        size_t got = 0;

        assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
        (void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
        connection_add_client(pair[1]);
        event.data.fd = pair[1];
        assert(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[1], &event) == 0);
        assert(write(pair[0], sent, 4 * TURN_MAX) == 4 * TURN_MAX);
        atomic_store(&connection_of(pair[1])->blocked, true);
        for (int i = 0; i < 2; i++) {
                size_t turn = next_turn(epoll, pair[1]);

                assert(turn == 2 * TURN_MAX);
                assert(memcmp(sent + got, received, turn) == 0);
                got += turn;
        }
        pair_done(epoll, pair);
}

int main(void)
{
        for (size_t i = 0; i < TOTAL; i++)
                sent[i] = (char)(i * 7 + i / 251);
        test_turns(8192);
        test_turns(1000);
        test_turns(65536);
        test_turns(300000);
        test_large_turns();
        test_refused();
        test_backend();
        return 0;
}
