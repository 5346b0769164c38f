/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>

#include "manager/bus.h"
#include "manager/manager.h"
#include "manager/socket.h"
#include "util/clock.h"
#include "util/log.h"

/* Per user, so that a brick, which runs as brickd's user, cannot keep root out. */
#define CONNECTIONS_MAX 16

/* Per connection. */
#define PENDING_MAX 8 /* calls that have not been answered */
#define UNREAD_MAX 4  /* answers that do not fit into the socket's buffer */

/* How long Status() waits for the answers of busy workers. */
#define ANSWER_TIME (500 * NSEC_PER_MSEC)

#define ERROR_CONFIG "org.brickd.Error.Config"
#define ERROR_FAILED "org.brickd.Error.Failed"

struct connection {
        struct connection *next;
        struct bus *bus;
        sd_bus *peer;
        uid_t uid;
        unsigned n_pending;
};

struct pending { /* a call that has not been answered; the bus owns it */
        struct pending *next;
        struct connection *connection;
        sd_bus_message *message;
        enum {
                PENDING_STATUS,
                PENDING_RELOAD,  /* waits for the verdict on `generation` */
                PENDING_RETIRED, /* waits for the end of all generations before `generation` */
                PENDING_RESTART, /* waits until the processes of the brick `text` are restarted */
        } kind;
        unsigned generation;
        bool wait;  /* PENDING_RELOAD: becomes PENDING_RETIRED after a good verdict */
        char *text; /* PENDING_RETIRED: the verdict, which is the answer */
        size_t n;   /* PENDING_RESTART: the processes */
};

struct bus {
        struct manager *manager;
        struct socket *socket;
        sd_event_source *io;
        sd_event_source *answer_time;   /* when pending Status() calls are answered */
        struct connection *connections; /* the newest first */
        struct pending *pending;
};

/* --- pending calls ---------------------------------------------------------------------------- */

static struct pending *pending_free(struct bus *bus, struct pending *p)
{
        struct pending **link = &bus->pending;

        while (*link != p)
                link = &(*link)->next;
        *link = p->next;
        p->connection->n_pending--;
        sd_bus_message_unref(p->message);
        free(p->text);
        free(p);
        return NULL;
}

static int pending_add(struct connection *c, sd_bus_message *message, struct pending **ret)
{
        struct pending *p;

        if (c->n_pending >= PENDING_MAX)
                return -EBUSY;
        p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        p->connection = c;
        p->message = sd_bus_message_ref(message);
        p->next = c->bus->pending;
        c->bus->pending = p;
        c->n_pending++;
        *ret = p;
        return 0;
}

/* r: the result of sending the reply. If that failed, the client gets the error instead. */
static void answer_done(struct bus *bus, struct pending *p, int r)
{
        if (r < 0)
                (void)sd_bus_reply_method_errno(p->message, r, NULL);
        (void)pending_free(bus, p);
}

static void answer_status(struct bus *bus, struct pending *p)
{
        _cleanup_free_ char *json = NULL;
        int r = manager_status(bus->manager, &json);

        if (r == 0)
                r = sd_bus_reply_method_return(p->message, "s", json);
        answer_done(bus, p, r);
}

static void answer_reload(struct bus *bus, struct pending *p)
{
        const struct verdict *v = &bus->manager->verdict;
        const char *text = v->text ? v->text : "";
        int r;

        if (v->ok)
                r = sd_bus_reply_method_return(p->message, "s", text);
        else
                r = sd_bus_reply_method_errorf(p->message, v->config ? ERROR_CONFIG : ERROR_FAILED,
                                               "%s", text);
        answer_done(bus, p, r);
}

static void answer_all_status(struct bus *bus)
{
        bus->answer_time = sd_event_source_disable_unref(bus->answer_time);
        for (struct pending *p = bus->pending, *next; p; p = next) {
                next = p->next;
                if (p->kind == PENDING_STATUS)
                        answer_status(bus, p);
        }
}

static int on_answer_time(sd_event_source *source, uint64_t usec, void *user)
{
        answer_all_status(user);
        return 0;
}

void bus_answered(struct bus *bus)
{
        if (bus->answer_time && !manager_awaits_answer(bus->manager))
                answer_all_status(bus);
}

void bus_generation_ended(struct bus *bus)
{
        for (struct pending *p = bus->pending, *next; p; p = next) {
                next = p->next;
                if (p->kind == PENDING_RETIRED &&
                    !manager_retires_before(bus->manager, p->generation)) {
                        (void)sd_bus_reply_method_return(p->message, "s", p->text ? p->text : "");
                        (void)pending_free(bus, p);
                }
        }
}

void bus_verdict(struct bus *bus)
{
        const struct verdict *v = &bus->manager->verdict;

        for (struct pending *p = bus->pending, *next; p; p = next) {
                next = p->next;
                if (p->kind != PENDING_RELOAD || p->generation != v->generation)
                        continue;
                if (v->ok && p->wait) {
                        p->kind = PENDING_RETIRED;
                        p->text = v->text ? strdup(v->text) : NULL;
                } else {
                        answer_reload(bus, p);
                }
        }
        bus_generation_ended(bus); /* the replaced generations may have ended already */
}

static void answer_restart(struct bus *bus, struct pending *p, const char *why)
{
        char text[64];
        int r;

        (void)snprintf(text, sizeof text, "restarted %zu process%s", p->n, p->n == 1 ? "" : "es");
        if (why)
                r = sd_bus_reply_method_errorf(p->message, ERROR_FAILED,
                                               "a process of brick '%s' %s", p->text, why);
        else
                r = sd_bus_reply_method_return(p->message, "s", text);
        answer_done(bus, p, r);
}

void bus_restarted(struct bus *bus, const char *brick, const char *why)
{
        for (struct pending *p = bus->pending, *next; p; p = next) {
                next = p->next;
                if (p->kind == PENDING_RESTART && strcmp(p->text, brick) == 0)
                        answer_restart(bus, p, why);
        }
}

/* --- methods ---------------------------------------------------------------------------------- */

static int on_status(sd_bus_message *message, void *user, sd_bus_error *error)
{
        struct connection *c = user;
        struct bus *bus = c->bus;
        struct pending *p;
        int r;

        r = pending_add(c, message, &p);
        if (r < 0)
                return r;
        p->kind = PENDING_STATUS;
        manager_query(bus->manager);
        if (!bus->answer_time)
                (void)sd_event_add_time_relative(
                        bus->manager->event, &bus->answer_time, CLOCK_MONOTONIC,
                        manager_awaits_answer(bus->manager) ? ANSWER_TIME / NSEC_PER_USEC : 0, 1,
                        on_answer_time, bus);
        return 1;
}

static int on_stats(sd_bus_message *message, void *user, sd_bus_error *error)
{
        _cleanup_free_ char *json = NULL;
        struct connection *c = user;
        int r;

        r = manager_stats(c->bus->manager, &json);
        return r < 0 ? r : sd_bus_reply_method_return(message, "s", json);
}

static int on_identities(sd_bus_message *message, void *user, sd_bus_error *error)
{
        _cleanup_free_ char *json = NULL;
        struct connection *c = user;
        int r;

        r = manager_identities(c->bus->manager, &json);
        return r < 0 ? r : sd_bus_reply_method_return(message, "s", json);
}

static int on_reload(sd_bus_message *message, void *user, sd_bus_error *error)
{
        struct connection *c = user;
        struct bus *bus = c->bus;
        struct pending *p;
        int wait, r;

        r = sd_bus_message_read(message, "b", &wait);
        if (r < 0)
                return r;
        r = pending_add(c, message, &p);
        if (r < 0)
                return r;
        p->kind = PENDING_RELOAD;
        p->wait = wait;
        r = manager_reload(bus->manager, &p->generation);
        if (r < 0) {
                (void)pending_free(bus, p);
                return sd_bus_error_setf(error, ERROR_FAILED, "brickd is stopping");
        }
        return 1;
}

static int restart_error(int r, const char *brick, sd_bus_error *error)
{
        if (r == -ENOENT)
                return sd_bus_error_setf(error, ERROR_FAILED,
                                         "no brick '%s' runs in processes of its own", brick);
        if (r == -EBUSY)
                return sd_bus_error_setf(error, ERROR_FAILED,
                                         "the processes of brick '%s' are being restarted", brick);
        return r;
}

static int on_restart(sd_bus_message *message, void *user, sd_bus_error *error)
{
        struct connection *c = user;
        struct bus *bus = c->bus;
        struct pending *p;
        const char *brick;
        int r;

        r = sd_bus_message_read(message, "s", &brick);
        if (r < 0)
                return r;
        r = pending_add(c, message, &p);
        if (r < 0)
                return r;
        p->kind = PENDING_RESTART;
        p->text = strdup(brick);
        r = p->text ? manager_restart(bus->manager, brick, &p->n) : -ENOMEM;
        if (r == 0)
                return 1;
        (void)pending_free(bus, p);
        return restart_error(r, brick, error);
}

static int on_stop(sd_bus_message *message, void *user, sd_bus_error *error)
{
        struct connection *c = user;

        (void)sd_bus_reply_method_return(message, NULL);
        manager_stop(c->bus->manager);
        return 1;
}

static int on_log_level(sd_bus_message *message, void *user, sd_bus_error *error)
{
        struct connection *c = user;
        const char *level, *brick, *module;
        int r;

        r = sd_bus_message_read(message, "sss", &level, &brick, &module);
        if (r < 0)
                return r;
        if (*brick && *module)
                return sd_bus_error_setf(error, ERROR_FAILED,
                                         "a brick or a module: both cannot be given");
        r = log_level_from_string(level);
        if (r < 0)
                return sd_bus_error_setf(
                        error, ERROR_FAILED,
                        "no such level: '%s' (error, warning, notice, info or debug)", level);
        r = manager_set_log_level(c->bus->manager, (enum log_level)r, *brick ? brick : NULL,
                                  *module ? module : NULL);
        if (r == -ENOENT)
                return sd_bus_error_setf(error, ERROR_FAILED, "no brick %s '%s'",
                                         *brick ? "has the name" : "is made from the module",
                                         *brick ? brick : module);
        return r < 0 ? r : sd_bus_reply_method_return(message, NULL);
}

static int on_explain_key(sd_bus_message *message, void *user, sd_bus_error *error)
{
        struct connection *c = user;
        char key[EXPLAIN_KEY_LENGTH + 1];

        explain_key_print(processes_explain_key(c->bus->manager->processes), key);
        return sd_bus_reply_method_return(message, "s", key);
}

static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Status", "", "s", on_status, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Stats", "", "s", on_stats, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Identities", "", "s", on_identities, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Reload", "b", "s", on_reload, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Restart", "s", "s", on_restart, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Stop", "", "", on_stop, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("LogLevel", "sss", "", on_log_level, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ExplainKey", "", "s", on_explain_key, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

/* --- connections ------------------------------------------------------------------------------ */

static struct connection *connection_free(struct connection *c)
{
        struct bus *bus = c->bus;
        struct connection **link = &bus->connections;

        for (struct pending *p = bus->pending, *next; p; p = next) {
                next = p->next;
                if (p->connection == c)
                        (void)pending_free(bus, p);
        }
        while (*link != c)
                link = &(*link)->next;
        *link = c->next;
        sd_bus_close_unref(c->peer); /* without a flush, which would wait for the peer to read */
        free(c);
        return NULL;
}

static int on_disconnected(sd_bus_message *message, void *user, sd_bus_error *error)
{
        (void)connection_free(user);
        return 0;
}

/* Runs before each call: closes the connection of a client that does not read its answers. */
static int on_message(sd_bus_message *message, void *user, sd_bus_error *error)
{
        struct connection *c = user;
        uint64_t unread;

        if (sd_bus_get_n_queued_write(c->peer, &unread) < 0 || unread < UNREAD_MAX)
                return 0;
        log_warning("A control client is disconnected: it does not read its answers");
        (void)connection_free(c);
        return 1;
}

static int connection_start(struct connection *c)
{
        sd_id128_t id;
        int r;

        r = sd_id128_randomize(&id);
        if (r < 0)
                return r;
        r = sd_bus_set_server(c->peer, 1, id);
        if (r < 0)
                return r;
        /* Closing on exit would flush, and wait for the peer to read. */
        r = sd_bus_set_close_on_exit(c->peer, false);
        if (r < 0)
                return r;
        r = sd_bus_start(c->peer);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(c->peer, c->bus->manager->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        r = sd_bus_match_signal(c->peer, NULL, NULL, "/org/freedesktop/DBus/Local",
                                "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, c);
        if (r < 0)
                return r;
        r = sd_bus_add_filter(c->peer, NULL, on_message, c);
        if (r < 0)
                return r;
        return sd_bus_add_object_vtable(c->peer, NULL, "/org/brickd", "org.brickd.Manager",
                                        manager_vtable, c);
}

/* Closes a user's oldest connection if the user has too many: preferably one without a pending
 * call. */
static void make_room(struct bus *bus, uid_t uid)
{
        struct connection *oldest = NULL, *oldest_idle = NULL;
        unsigned n = 0;

        for (struct connection *c = bus->connections; c; c = c->next) {
                if (c->uid != uid)
                        continue;
                n++;
                oldest = c;
                if (c->n_pending == 0)
                        oldest_idle = c;
        }
        if (n >= CONNECTIONS_MAX)
                (void)connection_free(oldest_idle ? oldest_idle : oldest);
}

static int connection_new(struct bus *bus, int fd, uid_t uid)
{
        struct connection *c = calloc(1, sizeof *c);
        int r;

        if (!c) {
                (void)close_fd(fd);
                return -ENOMEM;
        }
        r = sd_bus_new(&c->peer);
        if (r == 0)
                r = sd_bus_set_fd(c->peer, fd, fd);
        if (r < 0) {
                (void)close_fd(fd);
                sd_bus_unref(c->peer);
                free(c);
                return r;
        }
        make_room(bus, uid);
        c->bus = bus;
        c->uid = uid;
        c->next = bus->connections;
        bus->connections = c;
        r = connection_start(c);
        if (r < 0)
                (void)connection_free(c);
        return r;
}

static bool may_connect(int fd, uid_t *ret)
{
        struct ucred peer;
        socklen_t length = sizeof peer;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
                return false;
        *ret = peer.uid;
        return peer.uid == 0 || peer.uid == geteuid();
}

static int on_connect(sd_event_source *source, int listener, uint32_t events, void *user)
{
        _cleanup_close_ int fd = -EBADF;
        uid_t uid;
        int r;

        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 || !may_connect(fd, &uid))
                return 0;
        r = connection_new(user, TAKE_FD(fd), uid);
        if (r < 0)
                (void)log_errno(r, "Cannot accept a control connection: %m");
        return 0;
}

/* --- the socket ------------------------------------------------------------------------------- */

static void make_directory_of(const char *path)
{
        _cleanup_free_ char *directory = strdup(path);
        char *slash = directory ? strrchr(directory, '/') : NULL;

        if (slash && slash != directory) {
                *slash = '\0';
                (void)mkdir(directory, 0755); /* if that fails, bind() fails and says why */
        }
}

static void close_listener(struct bus *bus)
{
        bus->io = sd_event_source_disable_unref(bus->io);
        bus->socket = socket_unref(bus->socket);
}

static int open_listener(struct bus *bus, const char *path, char **ret_why)
{
        _cleanup_(socket_unrefp) struct socket *socket = NULL;
        _cleanup_(sd_event_source_disable_unrefp) sd_event_source *io = NULL;
        int r;

        make_directory_of(path);
        r = socket_open_unix(&socket, path, 0600, ret_why);
        if (r < 0)
                return r;
        r = sd_event_add_io(bus->manager->event, &io, socket->fd, EPOLLIN, on_connect, bus);
        if (r < 0)
                return r;
        r = sd_event_source_set_ratelimit(io, RATE_USEC, RATE_BURST);
        if (r < 0)
                return r;
        close_listener(bus);
        bus->socket = TAKE_PTR(socket);
        bus->io = TAKE_PTR(io);
        return 0;
}

void bus_listen(struct bus *bus, const char *path)
{
        _cleanup_free_ char *why = NULL;
        int r;

        if (bus->socket && path && strcmp(bus->socket->path, path) == 0 &&
            !socket_is_lost(bus->socket))
                return;
        if (!path) {
                close_listener(bus);
                return;
        }
        r = open_listener(bus, path, &why);
        if (r < 0 && bus->socket)
                log_warning("The control socket stays at %s: %s: %s", bus->socket->path, path,
                            why ? why : strerror(-r));
        else if (r < 0)
                log_warning("brickctl cannot control this brickd: %s: %s", path,
                            why ? why : strerror(-r));
}

int bus_new(struct bus **ret, struct manager *m)
{
        struct bus *bus = calloc(1, sizeof *bus);

        if (!bus)
                return -ENOMEM;
        bus->manager = m;
        *ret = bus;
        return 0;
}

struct bus *bus_free(struct bus *bus)
{
        if (!bus)
                return NULL;
        while (bus->connections)
                (void)connection_free(bus->connections);
        bus_listen(bus, NULL);
        sd_event_source_disable_unref(bus->answer_time);
        free(bus);
        return NULL;
}
