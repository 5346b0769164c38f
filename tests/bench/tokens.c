/* SPDX-License-Identifier: MIT */

/*
 * Opens STREAMS token streams to the LLM brick on PORT, with PER_CONNECTION on each connection, and
 * tells how long tokens took that are the time at which they were sent, as `upstream` makes them.
 *
 * Prints "open" when every stream has had its first token, and after SECONDS more one line of JSON.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S UINT64_C(1000000000)
#define MESSAGE_MAX 1024
#define EVENTS 64
#define OPEN_LIMIT (30 * NS_PER_S)

struct stream {
        size_t used;
        bool begun;
        size_t sent; /* of the request */
        unsigned char message[MESSAGE_MAX];
};

struct connection {
        int fd;
        bool wants_write;
        nghttp2_session *session;
};

/* LLMRequest { prompt: "x" } */
static const unsigned char request[] = { 0, 0, 0, 0, 3, 0x12, 1, 'x' };

static unsigned n_begun, n_ended, n_bad;
static bool measuring;
static uint32_t *latencies; /* us */
static size_t n_latencies, latencies_size;
static int epoll_fd;

static uint64_t now(void)
{
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void fail(const char *what)
{
        (void)fprintf(stderr, "tokens: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
}

static void record(uint64_t sent)
{
        uint64_t time = now();

        if (sent == 0 || sent > time) {
                n_bad++;
                return;
        }
        if (n_latencies == latencies_size) {
                latencies_size = latencies_size > 0 ? 2 * latencies_size : 65536;
                latencies = reallocarray(latencies, latencies_size, sizeof *latencies);
                if (!latencies)
                        fail("memory");
        }
        latencies[n_latencies++] = (uint32_t)((time - sent) / 1000);
}

/* One LLMResponse: its first field is the text, unless there is none. Several tokens may have
 * become one. */
static void on_message(struct stream *stream, const unsigned char *message, size_t n)
{
        const char *text = (const char *)message + 2, *end = text + message[1];
        char *next;

        if (n < 2 || message[0] != 0x0a || message[1] > 127 || end > (const char *)message + n)
                return;
        if (!stream->begun) {
                stream->begun = true;
                n_begun++;
        }
        for (; measuring && text < end; text = next + 1) {
                uint64_t sent = strtoull(text, &next, 10);

                if (next == text)
                        break;
                record(sent);
        }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t length, void *user)
{
        struct stream *stream = nghttp2_session_get_stream_user_data(session, id);
        size_t size, n;

        while (length > 0) {
                n = sizeof stream->message - stream->used;
                n = length < n ? length : n;
                memcpy(stream->message + stream->used, data, n);
                stream->used += n;
                data += n;
                length -= n;
                while (stream->used >= 5) {
                        size = (size_t)stream->message[3] << 8 | stream->message[4];
                        if (size + 5 > sizeof stream->message) {
                                errno = EMSGSIZE;
                                fail("a message");
                        }
                        if (stream->used < size + 5)
                                break;
                        on_message(stream, stream->message + 5, size);
                        stream->used -= size + 5;
                        memmove(stream->message, stream->message + size + 5, stream->used);
                }
        }
        return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
        n_ended++;
        return 0;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t length, int flags,
                       void *user)
{
        struct connection *connection = user;
        ssize_t n = send(connection->fd, data, length, MSG_NOSIGNAL);

        if (n >= 0)
                return n;
        return errno == EAGAIN ? NGHTTP2_ERR_WOULDBLOCK : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static ssize_t read_request(nghttp2_session *session, int32_t id, uint8_t *to, size_t length,
                            uint32_t *flags, nghttp2_data_source *source, void *user)
{
        struct stream *stream = source->ptr;
        size_t n = sizeof request - stream->sent;

        n = length < n ? length : n;
        memcpy(to, request + stream->sent, n);
        stream->sent += n;
        if (stream->sent == sizeof request)
                *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)n;
}

static void update_events(struct connection *connection)
{
        bool wants_write = nghttp2_session_want_write(connection->session);
        struct epoll_event event = { .events = EPOLLIN | (wants_write ? EPOLLOUT : 0u),
                                     .data.ptr = connection };

        if (wants_write == connection->wants_write)
                return;
        connection->wants_write = wants_write;
        if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) < 0)
                fail("epoll");
}

static void flush(struct connection *connection)
{
        if (nghttp2_session_send(connection->session) != 0)
                fail("send");
        update_events(connection);
}

static void on_readable(struct connection *connection)
{
        static uint8_t bytes[65536];
        ssize_t n = recv(connection->fd, bytes, sizeof bytes, 0);

        if (n < 0 && errno == EAGAIN)
                return;
        if (n <= 0)
                fail("the server has hung up");
        if (nghttp2_session_mem_recv(connection->session, bytes, (size_t)n) != n)
                fail("HTTP/2");
        flush(connection);
}

static nghttp2_session_callbacks *callbacks(void)
{
        nghttp2_session_callbacks *c;

        if (nghttp2_session_callbacks_new(&c) != 0)
                fail("nghttp2");
        nghttp2_session_callbacks_set_send_callback(c, on_send);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(c, on_close);
        return c;
}

static void connect_to(struct connection *connection, uint16_t port)
{
        static const nghttp2_settings_entry settings[] = {
                { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20 },
        };
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                       .sin_port = htons(port) };
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };
        nghttp2_session_callbacks *c = callbacks();

        connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connection->fd < 0 ||
            connect(connection->fd, (struct sockaddr *)&address, sizeof address) < 0 ||
            fcntl(connection->fd, F_SETFL, O_NONBLOCK) < 0 ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) < 0)
                fail("connect");
        if (nghttp2_session_client_new(&connection->session, c, connection) != 0 ||
            nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings, 1) != 0)
                fail("nghttp2");
        (void)nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0,
                                                    1 << 24);
        nghttp2_session_callbacks_del(c);
}

#define HEADER(n, v)                                                            \
        {                                                                       \
                (uint8_t *)(n), (uint8_t *)(v), sizeof(n) - 1, sizeof(v) - 1, 0 \
        }

static void open_stream(struct connection *connection, struct stream *stream)
{
        const nghttp2_nv headers[] = {
                HEADER(":method", "POST"),
                HEADER(":scheme", "http"),
                HEADER(":path", "/protocols.grpc.llm.LLMService/OutputStreaming"),
                HEADER(":authority", "localhost"),
                HEADER("content-type", "application/grpc"),
                HEADER("te", "trailers"),
        };
        const nghttp2_data_provider provider = { { .ptr = stream }, read_request };

        if (nghttp2_submit_request(connection->session, NULL, headers,
                                   sizeof headers / sizeof headers[0], &provider, stream) < 0)
                fail("nghttp2");
        flush(connection);
}

static void poll_until(uint64_t end)
{
        struct epoll_event events[EVENTS];
        struct timespec timeout;
        uint64_t time = now();
        uint64_t wait = end > time ? end - time : 0;
        int n;

        timeout = (struct timespec){ (time_t)(wait / NS_PER_S), (long)(wait % NS_PER_S) };
        n = epoll_pwait2(epoll_fd, events, EVENTS, &timeout, NULL);
        for (int i = 0; i < n; i++) {
                if (events[i].events & EPOLLOUT)
                        flush(events[i].data.ptr);
                if (events[i].events & ~(uint32_t)EPOLLOUT)
                        on_readable(events[i].data.ptr);
        }
}

static int compare(const void *a, const void *b)
{
        const uint32_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static uint32_t percentile(double p)
{
        size_t i = (size_t)((double)n_latencies * p / 100);

        return n_latencies == 0 ? 0 : latencies[i < n_latencies ? i : n_latencies - 1];
}

static void report(unsigned streams)
{
        qsort(latencies, n_latencies, sizeof *latencies, compare);
        (void)printf("{\"streams\": %u, \"ended\": %u, \"bad\": %u, \"tokens\": %zu, \"p50\": %u, "
                     "\"p99\": %u, \"p999\": %u, \"max\": %u}\n",
                     streams, n_ended, n_bad, n_latencies, percentile(50), percentile(99),
                     percentile(99.9), percentile(100));
}

static void run(uint16_t port, unsigned n, unsigned per_connection, unsigned seconds)
{
        unsigned n_connections = (n + per_connection - 1) / per_connection;
        struct connection *connections = calloc(n_connections, sizeof *connections);
        struct stream *streams = calloc(n, sizeof *streams);
        uint64_t begin, end;

        if (!connections || !streams)
                fail("memory");
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        for (unsigned i = 0; i < n_connections; i++)
                connect_to(&connections[i], port);
        /* Over a second: at once, all of them would have their tokens at the same moments. */
        begin = now();
        for (unsigned i = 0; i < n; i++) {
                while (now() < begin + i * NS_PER_S / n)
                        poll_until(begin + i * NS_PER_S / n);
                open_stream(&connections[i % n_connections], &streams[i]);
        }
        end = now() + OPEN_LIMIT;
        while (n_begun < n && n_ended == 0 && now() < end)
                poll_until(end);
        (void)printf("open %u\n", n_begun);
        (void)fflush(stdout);

        measuring = true;
        end = now() + seconds * NS_PER_S;
        while (now() < end)
                poll_until(end);
        report(n);
        for (unsigned i = 0; i < n_connections; i++) {
                nghttp2_session_del(connections[i].session);
                (void)close(connections[i].fd);
        }
        free(connections);
        free(streams);
        free(latencies);
}

int main(int argc, char **argv)
{
        struct rlimit files;

        if (argc != 5) {
                (void)fprintf(stderr, "usage: tokens PORT STREAMS PER_CONNECTION SECONDS\n");
                return EXIT_FAILURE;
        }
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &files);
        }
        run((uint16_t)atoi(argv[1]), (unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]),
            (unsigned)atoi(argv[4]));
        return EXIT_SUCCESS;
}
