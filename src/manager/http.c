/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>

#include "conf/conf.h"
#include "manager/http.h"
#include "manager/manager.h"
#include "manager/tally.h"
#include "util/clock.h"

#define CONNECTIONS_MAX 16
#define CONNECTIONS_CLOSING 16 /* more of them may be shut down and not closed yet */
#define CONNECTION_TIME (10 * NSEC_PER_SEC)
#define CONNECTION_MEMORY ((size_t)16 * 1024) /* for the request and the head of the answer */

#define PLAIN "text/plain; charset=utf-8"

/*
 * A page of metrics that takes longer than PAGE_CHEAP, as with a thousand bricks, serves all
 * requests within PAGE_AGE. So frequent requests cost a bounded share of the main process's time,
 * and the memory of one page.
 */
#define PAGE_CHEAP (10 * NSEC_PER_MSEC)
#define PAGE_AGE NSEC_PER_SEC

struct http {
        struct manager *manager;
        struct server *server;     /* NULL: it listens nowhere */
        struct MHD_Response *page; /* the last page of metrics; NULL: none */
        uint64_t page_end;         /* clock_now() when it is too old */
};

struct server { /* for one socket */
        struct http *http;
        struct socket *socket;
        struct MHD_Daemon *daemon;
        sd_event_source *io;
        sd_event_source *time;          /* runs the daemon when it wants to without new events */
        struct connection *connections; /* the oldest first */
};

struct connection {
        struct server *server;
        struct connection *next; /* a newer one */
        sd_event_source *deadline;
        int fd;
        bool disconnected;
};

/* --- answers ---------------------------------------------------------------------------------- */

/* Takes the text. */
static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *type,
                              char *text, size_t length)
{
        struct MHD_Response *response = MHD_create_response_from_buffer(length, text,
                                                                        MHD_RESPMEM_MUST_FREE);
        enum MHD_Result result;

        if (!response) {
                free(text);
                return MHD_NO;
        }
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
        if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
                (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
        result = MHD_queue_response(connection, status, response);
        MHD_destroy_response(response);
        return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status,
                                   const char *text)
{
        char *copy = strdup(text);

        return copy ? answer(connection, status, PLAIN, copy, strlen(copy)) : MHD_NO;
}

static void drop_page(struct http *http)
{
        if (http->page)
                MHD_destroy_response(http->page); /* answers that are being sent have references */
        http->page = NULL;
}

static uint64_t cpu_now(void)
{
        struct timespec ts;

        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static int make_page(struct http *http)
{
        const uint64_t begun = cpu_now();
        char *text = NULL;
        size_t length;

        drop_page(http);
        if (manager_metrics(http->manager, &text, &length) < 0) {
                free(text);
                return -ENOMEM;
        }
        http->page = MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);
        if (!http->page) {
                free(text);
                return -ENOMEM;
        }
        (void)MHD_add_response_header(http->page, MHD_HTTP_HEADER_CONTENT_TYPE,
                                      "text/plain; version=0.0.4; charset=utf-8");
        (void)MHD_add_response_header(http->page, MHD_HTTP_HEADER_CONNECTION, "close");
        http->page_end = clock_now() + (cpu_now() - begun > PAGE_CHEAP ? PAGE_AGE : 0);
        return 0;
}

static enum MHD_Result answer_metrics(struct MHD_Connection *connection, struct http *http)
{
        if ((!http->page || clock_now() >= http->page_end) && make_page(http) < 0)
                return answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
        return MHD_queue_response(connection, MHD_HTTP_OK, http->page);
}

/* NULL: brickd is ready. */
static const char *why_not_ready(const struct manager *m)
{
        if (m->stage == STAGE_STARTING)
                return "starting";
        if (m->stage == STAGE_STOPPING)
                return "stopping";
        return m->current && workers_count_ready(&m->current->workers) > 0 ? NULL
                                                                           : "no worker is ready";
}

static void put_reasons(FILE *f, const struct tally *tally)
{
        for (size_t i = 0; i < tally->n_bricks; i++)
                if (tally->bricks[i]->sick > 0)
                        (void)fprintf(f, "brick '%s' is not healthy: %s\n", tally->bricks[i]->name,
                                      *tally->bricks[i]->reason ? tally->bricks[i]->reason
                                                                : "it does not say why");
}

static enum MHD_Result answer_ready(struct MHD_Connection *connection, const struct manager *m)
{
        _cleanup_(tally_freep) struct tally *tally = NULL;
        const char *why_not = why_not_ready(m);
        char *text = NULL;
        size_t length;
        FILE *f;

        if (manager_tally(m, &tally) < 0)
                return MHD_NO;
        f = open_memstream(&text, &length);
        if (!f)
                return MHD_NO;
        if (why_not)
                (void)fprintf(f, "not ready: %s\n", why_not);
        else
                (void)fputs("ready\n", f);
        put_reasons(f, tally);
        if (fclose(f) != 0) {
                free(text);
                return MHD_NO;
        }
        return answer(connection, why_not ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, PLAIN, text,
                      length);
}

/* libmicrohttpd calls this when the head of a request has arrived. A body is ignored. */
static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_size, void **state)
{
        struct http *http = ((struct server *)user)->http;

        if (strcmp(url, "/metrics") != 0 && strcmp(url, "/livez") != 0 &&
            strcmp(url, "/readyz") != 0)
                return answer_text(connection, MHD_HTTP_NOT_FOUND,
                                   "There are /metrics, /livez and /readyz.\n");
        if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
                return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                                   "Only GET and HEAD are supported.\n");
        if (strcmp(url, "/metrics") == 0)
                return answer_metrics(connection, http);
        if (strcmp(url, "/readyz") == 0)
                return answer_ready(connection, http->manager);
        return answer_text(connection, MHD_HTTP_OK, "alive\n");
}

/* --- connections ------------------------------------------------------------------------------ */

/* Shuts the socket down: the daemon notices and closes it. */
static void disconnect(struct connection *c)
{
        c->disconnected = true;
        (void)shutdown(c->fd, SHUT_RDWR);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *user)
{
        disconnect(user);
        return 0;
}

/* If there are too many connections, disconnects the oldest, so that nobody can keep others out. */
static void make_room(struct server *server)
{
        struct connection *oldest = NULL;
        unsigned n = 0;

        for (struct connection *c = server->connections; c; c = c->next) {
                if (c->disconnected)
                        continue;
                if (!oldest)
                        oldest = c;
                n++;
        }
        if (n > CONNECTIONS_MAX)
                disconnect(oldest);
}

static void connection_new(struct server *server, struct MHD_Connection *connection, void **ret)
{
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(
                connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct connection *c = calloc(1, sizeof *c), **link;

        if (!c || !info) {
                free(c);
                return; /* only the daemon's own idle timeout bounds this connection */
        }
        c->server = server;
        c->fd = info->connect_fd;
        (void)sd_event_add_time_relative(server->http->manager->event, &c->deadline,
                                         CLOCK_MONOTONIC, CONNECTION_TIME / NSEC_PER_USEC, 0,
                                         on_deadline, c);
        for (link = &server->connections; *link; link = &(*link)->next)
                ;
        *link = c;
        make_room(server);
        *ret = c;
}

static void connection_free(struct connection *c)
{
        struct connection **link = &c->server->connections;

        while (*link != c)
                link = &(*link)->next;
        *link = c->next;
        sd_event_source_disable_unref(c->deadline);
        free(c);
}

static void on_connection(void *user, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                connection_new(user, connection, state);
        } else if (*state) {
                connection_free(*state);
                *state = NULL;
        }
}

/* --- the daemon ------------------------------------------------------------------------------- */

static void run(struct server *server)
{
        MHD_UNSIGNED_LONG_LONG ms;

        (void)MHD_run(server->daemon);
        if (MHD_get_timeout(server->daemon, &ms) == MHD_YES) {
                (void)sd_event_source_set_time_relative(server->time, ms * 1000);
                (void)sd_event_source_set_enabled(server->time, SD_EVENT_ONESHOT);
        } else {
                (void)sd_event_source_set_enabled(server->time, SD_EVENT_OFF);
        }
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *user)
{
        run(user);
        return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *user)
{
        run(user);
        return 0;
}

static struct server *server_free(struct server *server)
{
        if (!server)
                return NULL;
        sd_event_source_disable_unref(server->io);
        sd_event_source_disable_unref(server->time);
        if (server->daemon)
                MHD_stop_daemon(server->daemon);
        (void)socket_unref(server->socket);
        free(server);
        return NULL;
}
DEFINE_CLEANUP(struct server *, server_free);

static int start_daemon(struct server *server, int fd)
{
        server->daemon = MHD_start_daemon(
                MHD_USE_EPOLL, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, fd,
                MHD_OPTION_CONNECTION_LIMIT, (unsigned)(CONNECTIONS_MAX + CONNECTIONS_CLOSING),
                MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(CONNECTION_TIME / NSEC_PER_SEC),
                MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_NOTIFY_CONNECTION,
                on_connection, server, MHD_OPTION_END);
        return server->daemon ? 0 : -EIO;
}

static int watch_daemon(struct server *server)
{
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon,
                                                               MHD_DAEMON_INFO_EPOLL_FD);
        sd_event *event = server->http->manager->event;
        int r;

        if (!info)
                return -EIO;
        r = sd_event_add_io(event, &server->io, info->epoll_fd, EPOLLIN, on_io, server);
        if (r < 0)
                return r;
        r = sd_event_source_set_ratelimit(server->io, RATE_USEC, RATE_BURST);
        if (r < 0)
                return r;
        r = sd_event_add_time(event, &server->time, CLOCK_MONOTONIC, 0, 1, on_time, server);
        if (r < 0)
                return r;
        /* Workers and the control bus come first. */
        (void)sd_event_source_set_priority(server->io, SD_EVENT_PRIORITY_IDLE);
        (void)sd_event_source_set_priority(server->time, SD_EVENT_PRIORITY_IDLE);
        return 0;
}

static int server_new(struct server **ret, struct http *http, struct socket *socket)
{
        _cleanup_(server_freep) struct server *server = calloc(1, sizeof *server);
        int fd, r;

        if (!server)
                return -ENOMEM;
        server->http = http;
        server->socket = socket_ref(socket);
        fd = fcntl(socket->fd, F_DUPFD_CLOEXEC, 3); /* a copy: the daemon closes it */
        if (fd < 0)
                return -errno;
        r = start_daemon(server, fd);
        if (r < 0) {
                (void)close_fd(fd);
                return r;
        }
        r = watch_daemon(server);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(server);
        return 0;
}

void http_listen(struct http *http, struct socket *socket)
{
        struct server *server = NULL;
        int r = 0;

        if (socket == (http->server ? http->server->socket : NULL))
                return;
        if (socket)
                r = server_new(&server, http, socket);
        if (r < 0) {
                (void)log_errno(r, "Cannot answer HTTP at %s: %m", socket->address);
                return;
        }
        (void)server_free(http->server);
        http->server = server;
}

int http_new(struct http **ret, struct manager *m)
{
        struct http *http = calloc(1, sizeof *http);

        if (!http)
                return -ENOMEM;
        http->manager = m;
        *ret = http;
        return 0;
}

struct http *http_free(struct http *http)
{
        if (!http)
                return NULL;
        (void)server_free(http->server);
        drop_page(http);
        free(http);
        return NULL;
}
