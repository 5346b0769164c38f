/* SPDX-License-Identifier: MIT */

/*
 * A stand-in for an OpenAI-compatible API. A request for a stream gets TOKENS pieces of text, each
 * the time at which it was sent (CLOCK_MONOTONIC, ns), RATE a second, or all at once if RATE is 0;
 * any other request gets a whole answer. With DELAY, answers have all that an API puts into them,
 * and a whole one comes after DELAY ms; then RATE must be 0 if DELAY is not, because all wait
 * equally long. Prints its port.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
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
#define REQUEST_MAX 8192
#define EVENTS 256
#define EVENT_MAX 256
#define CHUNK_MAX (EVENT_MAX + 16)

struct connection {
        struct connection *next; /* in the queue of those that wait for their next token */
        int fd;
        bool gone; /* closed; freed when it comes out of the queue */
        bool streaming;
        bool whole; /* a whole answer is due, not a token */
        uint64_t due;
        unsigned left;
        size_t used;
        char request[REQUEST_MAX + 1];
};

static unsigned long tokens;
static uint64_t interval;
static bool complete; /* DELAY is given */
static uint64_t delay;
static int epoll_fd;

/* All wait equally long, so those who begin to wait stand at the end. */
static struct connection *queue, **queue_end = &queue;

static uint64_t now(void)
{
        struct timespec ts;

        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void enqueue(struct connection *c)
{
        c->next = NULL;
        *queue_end = c;
        queue_end = &c->next;
}

static struct connection *dequeue(void)
{
        struct connection *c = queue;

        queue = c->next;
        if (!queue)
                queue_end = &queue;
        return c;
}

static void hang_up(struct connection *c)
{
        (void)close(c->fd);
        if (c->streaming)
                c->gone = true;
        else
                free(c);
}

/* A client that does not read what fits into a socket is cut off. */
static bool put(struct connection *c, const char *bytes, size_t n)
{
        return send(c->fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

#define IDENTITY                                                                            \
        "\"id\":\"chatcmpl-1\",\"created\":1700000000,\"model\":\"m-1\",\"object\":\"chat." \
        "completion"

/* An event as a chunk of the body. delta: JSON without its braces. */
static size_t format_event(char *to, const char *delta, const char *finish_reason)
{
        char event[EVENT_MAX];
        int n;

        if (complete)
                n = snprintf(event, sizeof event,
                             "data: {" IDENTITY ".chunk\",\"choices\":[{\"index\":0,\"delta\":{%s},"
                             "\"finish_reason\":%s}]}\n\n",
                             delta, finish_reason);
        else
                n = snprintf(event, sizeof event,
                             "data: {\"choices\":[{\"index\":0,\"delta\":{%s}}]}\n\n", delta);
        return (size_t)sprintf(to, "%x\r\n%s\r\n", (unsigned)n, event);
}

static size_t format_token(char *to, uint64_t time)
{
        char delta[64];

        (void)snprintf(delta, sizeof delta, "\"content\":\"%" PRIu64 " \"", time);
        return format_event(to, delta, "null");
}

static bool put_event(struct connection *c, const char *delta, const char *finish_reason)
{
        char chunk[CHUNK_MAX];

        return put(c, chunk, format_event(chunk, delta, finish_reason));
}

static bool put_token(struct connection *c, uint64_t time)
{
        char chunk[CHUNK_MAX];

        return put(c, chunk, format_token(chunk, time));
}

static bool put_end(struct connection *c)
{
        static const char end[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";

        if (complete && !put_event(c, "", "\"stop\""))
                return false;
        return put(c, end, sizeof end - 1);
}

static bool put_all_tokens(struct connection *c)
{
        char *text = malloc(tokens * CHUNK_MAX + 1);
        size_t n = 0;
        bool ok;

        if (!text)
                return false;
        for (unsigned long i = 0; i < tokens; i++)
                n += format_token(text + n, now());
        ok = put(c, text, n) && put_end(c);
        free(text);
        return ok;
}

static bool put_whole(struct connection *c)
{
        static const char answer[] =
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 76\r\n\r\n"
                "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello"
                "!\"}}]}\n";

        static const char body[] =
                "{" IDENTITY "\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                "\"content\":\"Hello!\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":"
                "5,"
                "\"completion_tokens\":2,\"total_tokens\":7}}\n";
        char text[1024];
        int n;

        if (!complete)
                return put(c, answer, sizeof answer - 1);
        n = snprintf(text, sizeof text,
                     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                     "%zu\r\n\r\n%s",
                     sizeof body - 1, body);
        return put(c, text, (size_t)n);
}

static bool begin_stream(struct connection *c)
{
        static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                   "Transfer-Encoding: chunked\r\n\r\n";

        if (!put(c, head, sizeof head - 1) ||
            (complete && !put_event(c, "\"role\":\"assistant\",\"content\":\"\"", "null")))
                return false;
        if (interval == 0)
                return put_all_tokens(c);
        c->streaming = true;
        c->left = (unsigned)tokens;
        c->due = now() + interval;
        enqueue(c);
        return true;
}

static bool put_off(struct connection *c)
{
        c->streaming = c->whole = true;
        c->due = now() + delay;
        enqueue(c);
        return true;
}

/* Answers the request, if all of it is there. */
static bool answer(struct connection *c)
{
        char *body, *length;

        c->request[c->used] = '\0';
        body = strstr(c->request, "\r\n\r\n");
        length = strcasestr(c->request, "\r\nContent-Length:");
        if (!body || !length)
                return c->used < REQUEST_MAX;
        body += 4;
        if (c->used - (size_t)(body - c->request) < strtoul(strchr(length + 2, ':') + 1, NULL, 10))
                return c->used < REQUEST_MAX;
        c->used = 0;
        if (strstr(body, "\"stream\":true") || strstr(body, "\"stream\": true"))
                return begin_stream(c);
        return delay > 0 ? put_off(c) : put_whole(c);
}

static void on_readable(struct connection *c)
{
        ssize_t n = recv(c->fd, c->request + c->used, REQUEST_MAX - c->used, 0);

        if (n < 0 && errno == EAGAIN)
                return;
        if (n > 0)
                c->used += (size_t)n;
        /* Who sends another request while its answer runs has not understood it. */
        if (n <= 0 || c->streaming || !answer(c))
                hang_up(c);
}

static void on_connection(int listener)
{
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct connection *c;
        struct epoll_event event;

        if (fd < 0)
                return;
        c = calloc(1, sizeof *c);
        if (!c)
                abort();
        c->fd = fd;
        event = (struct epoll_event){ .events = EPOLLIN, .data.ptr = c };
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                abort();
}

/* Sends the tokens that are due. */
static void run_queue(void)
{
        uint64_t time = now();

        while (queue && (queue->gone || queue->due <= time)) {
                struct connection *c = dequeue();

                if (c->gone) {
                        free(c);
                        continue;
                }
                time = now();
                if (c->whole) {
                        c->streaming = c->whole = false;
                        if (!put_whole(c))
                                hang_up(c);
                        continue;
                }
                c->left--;
                if (!put_token(c, time) || (c->left == 0 && !put_end(c))) {
                        c->streaming = false;
                        hang_up(c);
                } else if (c->left == 0) {
                        c->streaming = false;
                } else {
                        c->due += interval;
                        enqueue(c);
                }
        }
}

static int wait_for_events(struct epoll_event *events)
{
        struct timespec timeout;
        uint64_t time = now(), wait;

        if (!queue)
                return epoll_pwait2(epoll_fd, events, EVENTS, NULL, NULL);
        wait = queue->due > time ? queue->due - time : 0;
        timeout = (struct timespec){ (time_t)(wait / NS_PER_S), (long)(wait % NS_PER_S) };
        return epoll_pwait2(epoll_fd, events, EVENTS, &timeout, NULL);
}

static void serve(int listener)
{
        struct epoll_event events[EVENTS], event = { .events = EPOLLIN };
        int n;

        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0)
                abort();
        for (;;) {
                n = wait_for_events(events);
                for (int i = 0; i < n; i++)
                        if (events[i].data.ptr)
                                on_readable(events[i].data.ptr);
                        else
                                on_connection(listener);
                run_queue();
        }
}

static int listen_anywhere(void)
{
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof address;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 4096) < 0 ||
            getsockname(fd, (struct sockaddr *)&address, &length) < 0)
                return -1;
        (void)printf("%u\n", ntohs(address.sin_port));
        (void)fflush(stdout);
        return fd;
}

int main(int argc, char **argv)
{
        struct rlimit files;
        unsigned long rate;
        int fd;

        if (argc != 3 && argc != 4) {
                (void)fprintf(stderr, "usage: upstream TOKENS RATE [DELAY]\n");
                return EXIT_FAILURE;
        }
        tokens = strtoul(argv[1], NULL, 10);
        rate = strtoul(argv[2], NULL, 10);
        interval = rate > 0 ? NS_PER_S / rate : 0;
        complete = argc == 4;
        delay = complete ? strtoul(argv[3], NULL, 10) * (NS_PER_S / 1000) : 0;
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
                files.rlim_cur = files.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &files);
        }
        fd = listen_anywhere();
        if (fd < 0) {
                perror("upstream");
                return EXIT_FAILURE;
        }
        serve(fd);
}
