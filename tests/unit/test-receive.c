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
#include "rpc/late.h"
#include "rpc/receive.h"
#include "serve/listener.h"
#include "util/clock.h"

/* recvmsg() of rpc/receive.c, called as gRPC core calls it; and rpc/late.c. */

#define TOTAL (1 << 20)
#define TURN_MAX ((size_t)16 * 1024)
#define TURN_FIRST ((size_t)512)
#define TURN_DATA (4 * TURN_MAX)
#define TURN_LARGE (16 * TURN_MAX)

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
static void pair_add(int epoll, int ret_pair[2])
{
        const struct sockaddr local = { .sa_family = AF_UNIX };
        struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
        struct peer_key key;
        int size = 4 * TOTAL;

        assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ret_pair) == 0);
        (void)setsockopt(ret_pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
        key = peers_key(&listener, &local);
        assert(peers_add(&key) && connection_add(ret_pair[1], &listener, &local));
        event.data.fd = ret_pair[1];
        assert(epoll_ctl(epoll, EPOLL_CTL_ADD, ret_pair[1], &event) == 0);
}

static int pair_new(int ret_pair[2])
{
        int epoll = epoll_create1(EPOLL_CLOEXEC);

        assert(epoll >= 0);
        pair_add(epoll, ret_pair);
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

/* DATA frames with messages of so many bytes, heads included, then what belongs to no message. */
static void send_messages(int peer, size_t size)
{
        char *p = mempcpy(sent, PREFACE, strlen(PREFACE));

        for (size_t i = 0; i < 40; i++) {
                p = mempcpy(p, DATA_HEAD, 9);
                for (size_t k = 0; k < TURN_MAX; k++, p++) {
                        size_t at = (i * TURN_MAX + k) % size;

                        *p = at < 5 ? (char)((uint64_t)(size - 5) >> 8 * (4 - at)) : 'x';
                }
        }
        for (; p + 13 <= sent + 60 * TURN_MAX; p += 13)
                memcpy(p, "\0\0\4\x8\0\0\0\0\0\0\0\0\1", 13); /* WINDOW_UPDATE */
        assert(write(peer, sent, (size_t)(p - sent)) == p - sent);
}

/* Who sends messages has longer turns, most of all for large ones, until something else comes. */
static void test_large_turns(void)
{
        int pair[2], epoll = pair_new(pair);

        send_messages(pair[0], 40 * TURN_MAX);
        assert(next_turn(epoll, pair[1]) == TURN_FIRST);
        assert(next_turn(epoll, pair[1]) == TURN_DATA);
        assert(next_turn(epoll, pair[1]) == TURN_LARGE);
        assert(next_turn(epoll, pair[1]) == TURN_LARGE);
        assert(next_turn(epoll, pair[1]) == TURN_LARGE); /* which is mostly something else */
        assert(next_turn(epoll, pair[1]) == TURN_MAX);
        pair_done(epoll, pair);

        epoll = pair_new(pair);
        send_messages(pair[0], 1024);
        assert(next_turn(epoll, pair[1]) == TURN_FIRST);
        for (int i = 0; i < 10; i++)
                assert(next_turn(epoll, pair[1]) == TURN_DATA);
        pair_done(epoll, pair);
}

#define SETTINGS_ACK "\0\0\0\4\1\0\0\0\0"
#define CALL "\0\0\0\1\5\0\0\0\1" /* HEADERS, of a request without a message */

static void send_calls(int peer, bool first, size_t n)
{
        char *p = sent;

        if (first)
                p = mempcpy(mempcpy(p, PREFACE, strlen(PREFACE)), SETTINGS_ACK, 9);
        for (size_t i = 0; i < n; i++)
                p = mempcpy(p, CALL, 9);
        assert(write(peer, sent, (size_t)(p - sent)) == p - sent);
}

/* So many events come in one wait. */
static void wait_events(int epoll, int n)
{
        struct epoll_event events[4];

        /* An event comes a moment after epoll_wait() may return another one. */
        assert(poll(NULL, 0, 1) == 0);
        assert(epoll_wait(epoll, events, 4, 2000) == n);
}

static size_t read_some(const int pair[2])
{
        return read_turn(pair[1], received, 300000);
}

/* Two clients that begin many calls at a time, and one that does not. */
struct crowd {
        int epoll;
        int a[2], b[2], few[2];
};

static void crowd_new(struct crowd *crowd)
{
        crowd->epoll = pair_new(crowd->a);
        pair_add(crowd->epoll, crowd->b);
        pair_add(crowd->epoll, crowd->few);
        send_calls(crowd->a[0], true, 900);
        send_calls(crowd->b[0], true, 900);
        send_calls(crowd->few[0], true, 1);
        wait_events(crowd->epoll, 3);
        assert(read_some(crowd->a) == TURN_FIRST && read_some(crowd->b) == TURN_FIRST);
        assert(read_some(crowd->few) > 0);
        send_calls(crowd->few[0], false, 1);
        wait_events(crowd->epoll, 3);
}

static void crowd_done(struct crowd *crowd)
{
        pair_done(crowd->epoll, crowd->a);
        (void)close(crowd->b[0]);
        (void)close(crowd->b[1]);
        (void)close(crowd->few[0]);
        (void)close(crowd->few[1]);
}

/* Long after the last wait, one of those who begin many calls is read, the next one after the next
 * wait, however long the first one's calls take. */
static void test_many_calls(void)
{
        struct crowd crowd;

        crowd_new(&crowd);
        assert(poll(NULL, 0, 20) == 0);
        assert(read_some(crowd.a) > 0);
        assert(poll(NULL, 0, 1100) == 0); /* the calls begin */
        assert(read_some(crowd.b) == 0);
        assert(read_some(crowd.few) > 0);
        wait_events(crowd.epoll, 2);
        assert(read_some(crowd.b) > 0);
        crowd_done(&crowd);
}

static void test_hold(void)
{
        struct crowd crowd;
        struct epoll_event event;

        receive_release(); /* nothing is held */
        crowd_new(&crowd);
        receive_hold();
        receive_hold();
        assert(read_some(crowd.a) == 0 && read_some(crowd.b) == 0);
        assert(read_some(crowd.few) > 0);
        assert(epoll_wait(crowd.epoll, &event, 1, 0) == 0);
        receive_release();
        wait_events(crowd.epoll, 2);
        assert(read_some(crowd.a) > 0);

        /* A few calls at a time become many as well. */
        receive_hold();
        for (int i = 0; i < 7; i++) {
                send_calls(crowd.few[0], false, 1);
                assert(read_some(crowd.few) > 0);
        }
        send_calls(crowd.few[0], false, 1);
        assert(read_some(crowd.few) == 0);
        receive_release();
        crowd_done(&crowd);
}

/* Another thread sends while this one reads: the event comes when the send has ended. */
static void test_read_during_send(void)
{
        struct iovec piece = { received, 1 };
        struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
        struct epoll_event event;
        int pair[2], epoll = pair_new(pair);

        send_calls(pair[0], true, 1);
        wait_events(epoll, 1);
        atomic_store(&connection_of(pair[1])->blocked, true); /* as a send begins */
        assert(read_some(pair) == 0);
        assert(epoll_wait(epoll, &event, 1, 0) == 0);
        assert(sendmsg(pair[1], &message, MSG_NOSIGNAL) == 1);
        wait_events(epoll, 1);
        assert(read_some(pair) > 0);
        pair_done(epoll, pair);
}

/* Requests that have come at once are taken between waits, however long a brick works on each; and
 * in time, if this thread does not wait. */
static void test_late(void)
{
        struct run_item items[2] = {};
        struct epoll_event event;
        int pair[2], epoll = pair_new(pair);

        wait_events(epoll, 1);
        assert(poll(NULL, 0, 20) == 0);
        assert(late_put_off(&items[0]));
        assert(poll(NULL, 0, 60) == 0);
        assert(!late_put_off(&items[0]));
        assert(poll(NULL, 0, 60) == 0); /* the brick works */
        assert(late_put_off(&items[1]));
        (void)epoll_wait(epoll, &event, 1, 0);
        assert(!late_put_off(&items[1]) || gather_waited() + 5 * NSEC_PER_MSEC < clock_now());
        pair_done(epoll, pair);
}

static ssize_t send_and_read(int epoll, const int pair[2], const char *bytes, size_t length)
{
        char buffer[1024];
        struct iovec piece = { buffer, sizeof buffer };
        struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
        struct epoll_event event;
        ssize_t n;

        assert(write(pair[0], bytes, length) == (ssize_t)length);
        for (;;) { /* on a slow machine, the next turn may be due already */
                n = recvmsg(pair[1], &message, 0);
                if (n >= 0 || errno != EAGAIN)
                        return n;
                assert(epoll_wait(epoll, &event, 1, 10000) == 1);
        }
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

        assert(send_and_read(epoll, pair, PREFACE, strlen(PREFACE)) > 0);
        assert(send_and_read(epoll, pair, "\0\x4\0\x1\0\0\0\0\1", 9) > 0);
        assert(send_and_read(epoll, pair, "\0\x8\0\x1\0\0\0\0\1", 9) > 0); /* that was payload */
        pair_done(epoll, pair);

        epoll = pair_new(pair);
        assert(send_and_read(epoll, pair, PREFACE, strlen(PREFACE)) > 0);
        assert(send_and_read(epoll, pair, "\0\x8\0\x1\0\0\0\0\1", 9) < 0 && errno == ECONNRESET);
        assert(is_over(pair[0]));
        pair_done(epoll, pair);

        epoll = pair_new(pair);
        assert(send_and_read(epoll, pair, PREFACE, strlen(PREFACE)) > 0);
        for (int i = 0; i < 5; i++)
                assert(send_and_read(epoll, pair, RST_STREAM, sizeof RST_STREAM - 1) > 0);
        assert(!is_over(pair[0]));
        /* The second may just have ended. */
        for (int i = 0; i < 6 && !is_over(pair[0]); i++)
                if (send_and_read(epoll, pair, RST_STREAM, sizeof RST_STREAM - 1) < 0)
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
        test_many_calls();
        test_hold();
        test_read_during_send();
        test_late();
        test_refused();
        test_backend();
        return 0;
}
