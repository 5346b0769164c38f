/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "rpc/connection.h"
#include "rpc/gather.h"
#include "rpc/goaway.h"
#include "rpc/linger.h"
#include "rpc/listen.h"
#include "serve/peers.h"
#include "shared/stats.h"
#include "util/clock.h"

/* rpc/gather.c behind the functions of libc of rpc/interpose.c, called as gRPC core calls them. */

static const struct conf_port port = {
        .listen = "127.0.0.1:0",
        .max_connections = 16,
        .max_connections_per_address = 16,
};
static struct stats_port stats;
static int listener, epoll;

/* A connection as the core has it, and its peer. */
struct pair {
        int fd, peer;
};

static struct sockaddr_in loopback(void)
{
        return (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
}

/* As the main process makes it, and as the core takes it. Small windows, which connections inherit:
 * the kernel is full soon. */
static void listener_new(void)
{
        struct sockaddr_in address = loopback();
        int shared = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        static const int small = 4096;

        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert(shared >= 0 && listener >= 0);
        assert(setsockopt(shared, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
        assert(bind(shared, (struct sockaddr *)&address, sizeof address) == 0);
        assert(listen(shared, 16) == 0);
        listen_adopt(shared, &port, &stats);
        assert(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
}

/* What tells the events of one connection from another's. */
static void *mark_of(int fd)
{
        static char marks[1024];

        return &marks[fd];
}

static struct pair pair_new(void)
{
        struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
        static const int small = 4096;
        struct sockaddr_in address;
        socklen_t length = sizeof address;
        struct pair pair;

        pair.peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert(setsockopt(pair.peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
        assert(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
        assert(connect(pair.peer, (struct sockaddr *)&address, length) == 0);
        pair.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        assert(pair.fd >= 0);
        event.data.ptr = mark_of(pair.fd);
        assert(epoll_ctl(epoll, EPOLL_CTL_ADD, pair.fd, &event) == 0);
        return pair;
}

static void pair_done(struct pair *pair)
{
        assert(shutdown(pair->fd, SHUT_RDWR) == 0);
        assert(close(pair->fd) == 0);
        (void)close(pair->peer);
}

/* In two pieces, as the core would. */
static ssize_t write_core(int fd, const void *bytes, size_t length)
{
        struct iovec iov[] = {
                { .iov_base = (void *)bytes, .iov_len = length / 2 },
                { .iov_base = (char *)bytes + length / 2, .iov_len = length - length / 2 },
        };
        const struct msghdr message = {
                .msg_iov = length > 1 ? iov : iov + 1,
                .msg_iovlen = length > 1 ? 2 : 1,
        };

        return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void must_write(int fd, const char *text)
{
        assert(write_core(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void must_read(int peer, const char *text)
{
        char bytes[256];

        assert(strlen(text) < sizeof bytes);
        assert(recv(peer, bytes, strlen(text), MSG_WAITALL) == (ssize_t)strlen(text));
        assert(memcmp(bytes, text, strlen(text)) == 0);
}

static bool has_nothing(int peer)
{
        char byte;

        return recv(peer, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static bool is_at_end(int peer)
{
        char byte;

        return recv(peer, &byte, 1, 0) == 0;
}

/* What the core would see: the events of one wait. */
static int wait_events(struct epoll_event *events, int max, int timeout)
{
        int n = epoll_wait(epoll, events, max, timeout);

        assert(n >= 0);
        return n;
}

static void wait_once(void)
{
        struct epoll_event events[16];

        (void)wait_events(events, 16, 0);
}

/* So that the next write is not taken for a lone one. */
static void be_busy(void)
{
        struct pair pair = pair_new();

        gather_begin();
        must_write(pair.fd, "1");
        must_write(pair.fd, "2");
        gather_end();
        wait_once();
        pair_done(&pair);
}

/* --- order and time -----------------------------------------------------------------------------
 */

static void test_direct(void)
{
        struct pair pair = pair_new();

        gather_begin();
        must_write(pair.fd, "one");
        must_write(pair.fd, "two");
        assert(!gather_held());
        gather_end();
        must_read(pair.peer, "onetwo");
        pair_done(&pair);
}

static void test_hold(void)
{
        struct pair pair = pair_new(), other = pair_new();

        wait_once();
        gather_begin();
        must_write(pair.fd, "lone");
        must_read(pair.peer, "lone"); /* the first goes at once */
        must_write(pair.fd, "a");
        must_write(other.fd, "b");
        must_write(pair.fd, "c");
        gather_end();
        assert(gather_held());
        assert(has_nothing(pair.peer) && has_nothing(other.peer));
        wait_once();
        assert(!gather_held());
        must_read(pair.peer, "ac");
        must_read(other.peer, "b");

        gather_begin(); /* there were several before: now the first waits, too */
        must_write(pair.fd, "d");
        gather_end();
        assert(has_nothing(pair.peer));
        must_write(pair.fd, "e"); /* not held: it must not overtake */
        must_read(pair.peer, "de");
        gather_flush();
        assert(!gather_held());
        must_write(pair.fd, "f");
        must_read(pair.peer, "f");
        pair_done(&pair);
        pair_done(&other);
}

/* Two milliseconds of work, as of a call that ends: it looks at the clock. */
static void pass_time(void)
{
        (void)usleep(2000);
        (void)clock_now();
}

/* A thread that works long on one burst lets go of what it has. */
static void test_late(void)
{
        struct pair pair = pair_new();

        be_busy();
        gather_begin();
        must_write(pair.fd, "early");
        gather_enable(NSEC_PER_MSEC);
        pass_time();
        must_write(pair.fd, "late");
        gather_end();
        must_read(pair.peer, "earlylate");
        assert(!gather_held());

        be_busy(); /* nor does what it holds wait for another write */
        gather_begin();
        must_write(pair.fd, "alone");
        gather_end();
        pass_time();
        gather_begin();
        gather_end();
        must_read(pair.peer, "alone");
        assert(!gather_held());
        gather_enable(60 * NSEC_PER_SEC);
        pair_done(&pair);
}

/* What does not fit makes way for itself. */
static void test_large(void)
{
        static char bytes[GATHER_SIZE + 1], back[GATHER_SIZE + 1];
        struct pair pair = pair_new();
        ssize_t n;

        for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (char)(i * 7);
        be_busy();
        gather_begin();
        must_write(pair.fd, "small");
        n = write_core(pair.fd, bytes, sizeof bytes);
        gather_end();
        assert(n > 0);
        must_read(pair.peer, "small");
        assert(recv(pair.peer, back, (size_t)n, MSG_WAITALL) == n);
        assert(memcmp(bytes, back, (size_t)n) == 0);
        gather_flush();
        pair_done(&pair);
}

/* Descriptors that are no connections are none of our business. */
static void test_others(void)
{
        struct pair pair = pair_new();
        int fds[2];

        be_busy();
        pair_done(&pair);
        assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
        assert(fds[0] == pair.fd || fds[1] == pair.fd);
        gather_begin();
        must_write(fds[0], "x");
        must_write(fds[1], "y");
        gather_end();
        assert(!gather_held());
        must_read(fds[1], "x");
        must_read(fds[0], "y");
        (void)close(fds[0]);
        (void)close(fds[1]);
}

/* Nor is an epoll of a brick's: what it puts in its events comes back, whatever it is. */
static void test_other_epoll(void)
{
        struct epoll_event event = { .events = EPOLLIN }, got;
        int own = epoll_create1(EPOLL_CLOEXEC), fds[2];
        struct pair pair = pair_new();
        const uint64_t marks[] = { UINT64_MAX, UINT64_C(1) << 63,
                                   UINT64_C(1) << 63 | (uint64_t)pair.fd };

        assert(own >= 0 && pipe(fds) == 0 && write(fds[1], "x", 1) == 1);
        event.data.u64 = 0;
        assert(epoll_ctl(own, EPOLL_CTL_ADD, fds[0], &event) == 0);
        for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
                event.data.u64 = marks[i];
                assert(epoll_ctl(own, EPOLL_CTL_MOD, fds[0], &event) == 0);
                assert(epoll_wait(own, &got, 1, 1000) == 1);
                assert(got.data.u64 == marks[i]);
        }
        (void)close(own);
        (void)close(fds[0]);
        (void)close(fds[1]);
        pair_done(&pair);
}

/* --- a peer that does not read ------------------------------------------------------------------
 */

/* Numbers, so that a byte lost, doubled or moved is seen. */
static void check_numbers(const uint32_t *numbers, size_t n, uint32_t *next)
{
        for (size_t i = 0; i < n; i++)
                assert(numbers[i] == (*next)++);
}

/* Writes numbers in eights until the kernel is full and so is what is held; then EAGAIN. */
static uint32_t fill(int fd)
{
        uint32_t numbers[8], next = 0;
        ssize_t n;

        for (;;) {
                for (size_t i = 0; i < 8; i++)
                        numbers[i] = next + (uint32_t)i;
                gather_begin();
                n = write_core(fd, numbers, sizeof numbers);
                gather_end();
                if (n < 0)
                        break;
                assert(n == sizeof numbers); /* what is held is taken whole */
                next += 8;
        }
        assert(errno == EAGAIN);
        return next;
}

/* The peer reads all; the polling thread only waits for events. */
static void drain(int peer, uint32_t n, bool *ret_writable, void *mark)
{
        struct epoll_event events[16];
        uint32_t numbers[512], next = 0;
        size_t part = 0;

        while (next < n) {
                ssize_t got = recv(peer, (char *)numbers + part, sizeof numbers - part,
                                   MSG_DONTWAIT);

                if (got < 0) {
                        int k = wait_events(events, 16, 1000);

                        assert(errno == EAGAIN);
                        for (int i = 0; i < k; i++)
                                *ret_writable = *ret_writable || (events[i].data.ptr == mark &&
                                                                  events[i].events & EPOLLOUT);
                        continue;
                }
                assert(got > 0);
                part += (size_t)got;
                check_numbers(numbers, part / 4, &next);
                memmove(numbers, (char *)numbers + part / 4 * 4, part % 4);
                part %= 4;
        }
        assert(part == 0);
}

static void test_full(void)
{
        struct pair pair = pair_new(), other = pair_new();
        bool writable = false;
        uint32_t n;

        be_busy();
        wait_once(); /* the edges of both have been seen */
        n = fill(pair.fd);
        gather_flush();
        assert(!gather_held() && gather_stalled() == 1);
        assert(write_core(pair.fd, "x", 1) < 0 && errno == EAGAIN);
        must_write(other.fd, "well"); /* others are */
        must_read(other.peer, "well");
        drain(pair.peer, n, &writable, mark_of(pair.fd));
        assert(writable); /* the core has been told EAGAIN, so it must hear of this */
        assert(gather_stalled() == 0);
        must_write(pair.fd, "more");
        must_read(pair.peer, "more");
        pair_done(&pair);
        pair_done(&other);
}

/* The bytes go on by themselves when the core has no more to write, on whichever thread waits. */
static void *wait_elsewhere(void *arg)
{
        while (gather_stalled() > 0) {
                struct epoll_event events[16];

                (void)wait_events(events, 16, 20);
        }
        return NULL;
}

static void test_other_waits(void)
{
        struct pair pair = pair_new();
        uint32_t n, numbers[256], next = 0;
        pthread_t thread;

        be_busy();
        wait_once();
        n = fill(pair.fd);
        gather_flush();
        assert(gather_stalled() == 1);
        assert(pthread_create(&thread, NULL, wait_elsewhere, NULL) == 0);
        while (next < n) {
                size_t size = n - next > 256 ? sizeof numbers : (n - next) * 4;

                assert(recv(pair.peer, numbers, size, MSG_WAITALL) == (ssize_t)size);
                check_numbers(numbers, size / 4, &next);
        }
        assert(pthread_join(thread, NULL) == 0);
        assert(gather_stalled() == 0);
        pair_done(&pair);
}

static void reset(int peer)
{
        static const struct linger now = { .l_onoff = 1 };

        assert(setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
        (void)close(peer);
}

/* --- the end of a connection --------------------------------------------------------------------
 */

static void test_last_bytes(bool shut)
{
        struct pair pair = pair_new();

        be_busy();
        gather_begin();
        must_write(pair.fd, "last");
        gather_end();
        if (shut)
                assert(shutdown(pair.fd, SHUT_RDWR) == 0);
        assert(close(pair.fd) == 0);
        must_read(pair.peer, "last");
        assert(is_at_end(pair.peer));
        (void)close(pair.peer);
        gather_flush();
        assert(peers_count() == 0);
}

/* The core has closed it; the peer still gets all, and then the end. */
static void test_close_full(bool flushed)
{
        struct pair pair = pair_new();
        bool writable = false;
        uint32_t n;

        be_busy();
        wait_once();
        n = fill(pair.fd);
        if (flushed)
                gather_flush();
        assert(shutdown(pair.fd, SHUT_RDWR) == 0);
        assert(close(pair.fd) == 0);
        assert(peers_count() == 1);
        drain(pair.peer, n, &writable, mark_of(pair.fd));
        assert(!writable); /* the core's data may be gone: it must not see it again */
        assert(is_at_end(pair.peer));
        assert(peers_count() == 0 && gather_stalled() == 0);
        (void)close(pair.peer);
}

/* Or the peer goes without reading. */
static void test_close_lost(void)
{
        struct pair pair = pair_new();
        struct epoll_event events[16];

        be_busy();
        wait_once();
        (void)fill(pair.fd);
        assert(close(pair.fd) == 0);
        gather_flush();
        assert(gather_stalled() == 1 && peers_count() == 1);
        reset(pair.peer);
        for (int i = 0; i < 100 && peers_count() > 0; i++)
                assert(wait_events(events, 16, 50) == 0);
        assert(gather_stalled() == 0 && peers_count() == 0);
}

/* Or it neither reads nor goes, for too long. */
static void test_close_unread(void)
{
        struct pair pair = pair_new();
        struct epoll_event events[16];

        be_busy();
        wait_once();
        (void)fill(pair.fd);
        assert(close(pair.fd) == 0);
        gather_flush();
        linger_maintain(clock_now() + 10 * NSEC_PER_SEC);
        assert(wait_events(events, 16, 50) == 0);
        assert(gather_stalled() == 1 && peers_count() == 1);
        linger_maintain(clock_now() + 20 * NSEC_PER_SEC);
        for (int i = 0; i < 100 && peers_count() > 0; i++)
                assert(wait_events(events, 16, 50) == 0);
        assert(gather_stalled() == 0 && peers_count() == 0);
        (void)close(pair.peer);
}

/* One byte, as the core reads. */
static ssize_t read_core(int fd)
{
        char byte;
        struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        return recvmsg(fd, &message, 0);
}

static bool has_event(int fd)
{
        struct epoll_event events[16];
        int n = wait_events(events, 16, 5000);

        for (int i = 0; i < n; i++)
                if (events[i].data.ptr == mark_of(fd) && events[i].events & EPOLLIN)
                        return true;
        return false;
}

static void must_be_lost(int fd)
{
        assert(read_core(fd) < 0 && errno == ECONNRESET);
        assert(write_core(fd, "x", 1) < 0 && errno == ECONNRESET);
        assert(close(fd) == 0);
        assert(peers_count() == 0);
}

/* The peer has gone: the write that is held is lost, and the core hears of it. */
static void test_error(void)
{
        struct pair pair = pair_new();

        be_busy();
        wait_once();
        gather_begin();
        must_write(pair.fd, "lost");
        gather_end();
        reset(pair.peer);
        gather_flush(); /* takes the error from the kernel */
        assert(has_event(pair.fd));
        must_be_lost(pair.fd);
}

/* The same if the core has seen the event of the reset before. */
static void test_error_after_event(void)
{
        struct pair pair = pair_new();

        be_busy();
        gather_begin();
        must_write(pair.fd, "lost");
        assert(write(pair.peer, "abc", 3) == 3);
        reset(pair.peer);
        gather_flush();
        gather_end();
        wait_once();
        must_be_lost(pair.fd);
}

/* What somebody sent who has gone since is not read; and nothing needs to be written for that. */
static void test_reset(void)
{
        struct pair pair = pair_new();

        wait_once();
        assert(write(pair.peer, "abc", 3) == 3);
        assert(has_event(pair.fd));
        assert(read_core(pair.fd) == 1);
        reset(pair.peer);
        assert(has_event(pair.fd));
        must_be_lost(pair.fd);
}

/* Who has only said all that it had to say still gets its answer. */
static void test_half_closed(void)
{
        struct pair pair = pair_new();

        wait_once();
        assert(write(pair.peer, "a", 1) == 1);
        assert(shutdown(pair.peer, SHUT_WR) == 0);
        assert(has_event(pair.fd));
        assert(read_core(pair.fd) == 1);
        assert(read_core(pair.fd) == 0);
        must_write(pair.fd, "answer");
        must_read(pair.peer, "answer");
        pair_done(&pair);
}

/* The kernel has no memory: from now on, for this thread. */
static void break_sending(void)
{
        static struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendto, 1, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOBUFS),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        static const struct sock_fprog program = { sizeof filter / sizeof *filter, filter };

        assert(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
        assert(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void *write_without_memory(void *arg)
{
        const struct pair *pairs = arg;

        be_busy();
        gather_begin();
        must_write(pairs[0].fd, "held");
        gather_end();
        break_sending();
        gather_flush();
        assert(write_core(pairs[1].fd, "x", 1) < 0 && errno == EAGAIN);
        gather_done();
        return NULL;
}

/* Of the end of that no event tells: one is made. */
static void test_no_memory(void)
{
        struct pair pairs[] = { pair_new(), pair_new() };
        struct epoll_event events[16];
        bool writable = false;
        pthread_t thread;
        int n;

        wait_once();
        assert(pthread_create(&thread, NULL, write_without_memory, pairs) == 0);
        assert(pthread_join(thread, NULL) == 0);
        assert(wait_events(events, 16, 50) == 0);
        assert(has_nothing(pairs[0].peer));
        connection_maintain(clock_now());
        n = wait_events(events, 16, 5000);
        for (int i = 0; i < n; i++)
                writable = writable || (events[i].data.ptr == mark_of(pairs[1].fd) &&
                                        events[i].events & EPOLLOUT);
        must_read(pairs[0].peer, "held");
        assert(writable && gather_stalled() == 0);
        pair_done(&pairs[0]);
        pair_done(&pairs[1]);
}

/* --- many threads -------------------------------------------------------------------------------
 */

#define STRESS_WRITES 40000

/* The core serialises the writes of a connection, whichever thread makes them. */
static pthread_mutex_t core_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t core_next;

static bool write_number(int fd)
{
        bool written;

        (void)pthread_mutex_lock(&core_lock);
        written = core_next == STRESS_WRITES ||
                  write_core(fd, &core_next, sizeof core_next) == sizeof core_next;
        if (written && core_next < STRESS_WRITES)
                core_next++;
        (void)pthread_mutex_unlock(&core_lock);
        return written;
}

static bool all_written(void)
{
        bool all;

        (void)pthread_mutex_lock(&core_lock);
        all = core_next == STRESS_WRITES;
        (void)pthread_mutex_unlock(&core_lock);
        return all;
}

static void *write_elsewhere(void *arg)
{
        const struct pair *pair = arg;

        while (!all_written())
                if (!write_number(pair->fd))
                        (void)sched_yield();
        return NULL;
}

static void *read_all(void *arg)
{
        const struct pair *pair = arg;
        uint32_t number;

        for (uint32_t i = 0; i < STRESS_WRITES; i++) {
                assert(recv(pair->peer, &number, sizeof number, MSG_WAITALL) == sizeof number);
                assert(number == i);
        }
        return NULL;
}

static void test_threads(void)
{
        struct pair pair = pair_new();
        pthread_t reader, writers[2];

        core_next = 0;
        assert(pthread_create(&reader, NULL, read_all, &pair) == 0);
        for (size_t i = 0; i < 2; i++)
                assert(pthread_create(&writers[i], NULL, write_elsewhere, &pair) == 0);
        while (!all_written()) {
                gather_begin();
                for (int i = 0; i < 20; i++)
                        (void)write_number(pair.fd);
                gather_end();
                wait_once();
        }
        for (size_t i = 0; i < 2; i++)
                assert(pthread_join(writers[i], NULL) == 0);
        while (gather_held() || gather_stalled() > 0)
                wait_once();
        assert(pthread_join(reader, NULL) == 0);
        pair_done(&pair);
}

/* --- GOAWAY -------------------------------------------------------------------------------------
 */

#define GOAWAY "\0\0\10\7\0\0\0\0\0\177\377\377\377\0\0\0\0"

static void must_read_goaway(int peer)
{
        char bytes[17];

        assert(recv(peer, bytes, sizeof bytes, MSG_WAITALL) == sizeof bytes);
        assert(memcmp(bytes, GOAWAY, sizeof bytes) == 0);
}

/* Whose first write and greeting are over. */
static struct pair pair_greeted(void)
{
        struct pair pair = pair_new();

        must_write(pair.fd, "hello");
        must_read(pair.peer, "hello");
        goaway_greeted(connection_of(pair.fd));
        return pair;
}

/* Not to be undone, so this is the last. */
static void test_goaway(void)
{
        struct pair idle = pair_greeted(), held = pair_greeted(), full = pair_greeted();
        struct pair fresh = pair_new(), tls = pair_new();
        uint32_t n;
        bool writable = false;

        must_write(tls.fd, "tls");
        be_busy();
        n = fill(full.fd);
        gather_begin();
        must_write(held.fd, "held");
        gather_end();

        goaway_all();
        must_read_goaway(idle.peer);
        assert(has_nothing(held.peer));
        gather_flush();
        must_read(held.peer, "held");
        must_read_goaway(held.peer);

        /* Who has not been greeted hears of it after that, with the next write. */
        must_write(tls.fd, "more");
        must_read(tls.peer, "tlsmore");
        must_write(fresh.fd, "hello");
        must_read(fresh.peer, "hello");
        goaway_greeted(connection_of(fresh.fd));
        assert(has_nothing(tls.peer) && has_nothing(fresh.peer));
        must_write(fresh.fd, "answer");
        must_read(fresh.peer, "answer");
        must_read_goaway(fresh.peer);

        /* The core's last write did not go through: first the rest of it. */
        drain(full.peer, n, &writable, mark_of(full.fd));
        assert(has_nothing(full.peer));
        must_write(full.fd, "rest");
        must_read(full.peer, "rest");
        must_read_goaway(full.peer);

        /* Once. */
        goaway_all();
        must_write(idle.fd, "after");
        must_read(idle.peer, "after");
        assert(has_nothing(idle.peer));

        pair_done(&idle);
        pair_done(&held);
        pair_done(&full);
        pair_done(&fresh);
        pair_done(&tls);
}

/* --- the core as the client ------------------------------------------------------------------- */

/* A connection to a backend: the core has connected, and the peer is the backend's end. */
static struct pair backend_new(void)
{
        struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
        int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        static const int small = 4096;
        struct sockaddr_in address = loopback();
        socklen_t length = sizeof address;
        struct pair pair;

        assert(setsockopt(server, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) == 0);
        assert(bind(server, (struct sockaddr *)&address, sizeof address) == 0);
        assert(listen(server, 1) == 0);
        assert(getsockname(server, (struct sockaddr *)&address, &length) == 0);
        pair.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert(setsockopt(pair.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small) == 0);
        assert(connect(pair.fd, (struct sockaddr *)&address, length) == 0);
        assert(!connection_of(pair.fd)); /* it was not the core that has connected */
        assert(fcntl(pair.fd, F_SETFL, O_NONBLOCK) == 0);
        connection_add_client(pair.fd);
        pair.peer = accept4(server, NULL, NULL, SOCK_CLOEXEC);
        (void)close(server);
        event.data.ptr = mark_of(pair.fd);
        assert(epoll_ctl(epoll, EPOLL_CTL_ADD, pair.fd, &event) == 0);
        return pair;
}

static void test_backend(void)
{
        struct pair pair = backend_new();
        bool writable = false;
        uint32_t n;

        assert(peers_count() == 0);
        be_busy();
        gather_begin();
        must_write(pair.fd, "a");
        must_write(pair.fd, "b");
        gather_end();
        assert(has_nothing(pair.peer));
        gather_flush();
        must_read(pair.peer, "ab");

        wait_once();
        n = fill(pair.fd);
        gather_flush();
        assert(gather_stalled() == 0); /* a stop does not wait for it */
        linger_disconnect();           /* nor does it end it */
        drain(pair.peer, n, &writable, mark_of(pair.fd));
        must_write(pair.fd, "more");
        must_read(pair.peer, "more");
        pair_done(&pair);
}

/* It neither reads nor goes, and the core has closed the connection. */
static void test_backend_close_unread(void)
{
        struct pair pair = backend_new();
        struct epoll_event events[16];

        be_busy();
        wait_once();
        (void)fill(pair.fd);
        gather_flush();
        assert(close(pair.fd) == 0);
        assert(connection_of(pair.fd));
        linger_maintain(clock_now() + 20 * NSEC_PER_SEC);
        for (int i = 0; i < 100 && connection_of(pair.fd); i++)
                assert(wait_events(events, 16, 50) == 0);
        assert(!connection_of(pair.fd));
        (void)close(pair.peer);
}

int main(void)
{
        listener_new();
        epoll = epoll_create1(EPOLL_CLOEXEC);
        assert(epoll >= 0);

        test_direct();
        gather_enable(60 * NSEC_PER_SEC);
        test_hold();
        test_late();
        test_large();
        test_others();
        test_other_epoll();
        test_full();
        test_other_waits();
        test_last_bytes(false);
        test_last_bytes(true);
        test_close_full(false);
        test_close_full(true);
        test_close_lost();
        test_close_unread();
        test_error();
        test_error_after_event();
        test_reset();
        test_half_closed();
        test_no_memory();
        test_threads();
        test_backend();
        test_backend_close_unread();
        test_goaway();
        assert(peers_count() == 0 && gather_stalled() == 0);
        gather_done();
        (void)close(epoll);
        (void)close(listener);
        return 0;
}
