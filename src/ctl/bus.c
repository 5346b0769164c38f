/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>

#include "ctl/bus.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define OBJECT "/org/brickd"
#define INTERFACE "org.brickd.Manager"

static uint64_t now_usec(void)
{
        return clock_now() / NSEC_PER_USEC;
}

static uint64_t left_usec(uint64_t deadline)
{
        uint64_t now = now_usec();

        if (deadline == UINT64_MAX)
                return UINT64_MAX;
        return deadline > now ? deadline - now : 0;
}

static int connect_to(const char *path, uint64_t deadline)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        uint64_t left = left_usec(deadline);
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof address.sun_path)
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        /* SO_SNDTIMEO also limits connect(), which waits while the queue of the socket is full. */
        if (left != UINT64_MAX) {
                struct timeval t = { (time_t)(left / 1000000), (suseconds_t)(left % 1000000) };

                (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
        }
        if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
                return errno == EAGAIN ? -ETIMEDOUT : -errno;

        return TAKE_FD(fd);
}

/* timeout: in ns; 0: none. */
static uint64_t deadline_of(int64_t timeout)
{
        return timeout ? now_usec() + (uint64_t)timeout / NSEC_PER_USEC : UINT64_MAX;
}

int bus_listener(const char *path, int64_t timeout, pid_t *ret)
{
        struct ucred peer;
        socklen_t length = sizeof peer;
        _cleanup_close_ int fd = connect_to(path, deadline_of(timeout));

        if (fd < 0)
                return fd;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
                return -errno;
        *ret = peer.pid;
        return 0;
}

/* Waits for the end of the handshake until our own deadline. sd_bus_call() would use limits of its
 * own. */
static int wait_ready(sd_bus *bus, uint64_t deadline)
{
        int r;

        while ((r = sd_bus_is_ready(bus)) == 0) {
                if (left_usec(deadline) == 0)
                        return -ETIMEDOUT;
                r = sd_bus_process(bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(bus, left_usec(deadline));
                if (r < 0)
                        return r;
        }

        return r < 0 ? r : 0;
}

static int bus_open(const char *path, uint64_t deadline, sd_bus **ret)
{
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = connect_to(path, deadline);
        if (fd < 0)
                return fd;
        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        r = sd_bus_set_fd(bus, fd, fd);
        if (r < 0)
                return r;
        (void)TAKE_FD(fd);
        r = sd_bus_start(bus);
        if (r < 0)
                return r;
        r = wait_ready(bus, deadline);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);

        return 0;
}

static int take_error(const sd_bus_error *error, struct bus_reply *ret)
{
        struct bus_reply reply = { strdup(error->message ?: error->name), strdup(error->name) };

        if (!reply.text || !reply.error) {
                bus_reply_done(&reply);
                return -ENOMEM;
        }
        *ret = reply;

        return 0;
}

static int take_answer(sd_bus_message *message, struct bus_reply *ret)
{
        const char *text = "";
        int r;

        if (sd_bus_message_has_signature(message, "s")) {
                r = sd_bus_message_read(message, "s", &text);
                if (r < 0)
                        return r;
        }
        ret->text = strdup(text);
        ret->error = NULL;

        return ret->text ? 0 : -ENOMEM;
}

int bus_call(const char *path, int64_t timeout, struct bus_reply *ret, const char *method,
             const char *types, ...)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL, *answer = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        uint64_t deadline = deadline_of(timeout);
        va_list args;
        int r;

        r = bus_open(path, deadline, &bus);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_call(bus, &message, NULL, OBJECT, INTERFACE, method);
        if (r < 0)
                return r;
        va_start(args, types);
        r = sd_bus_message_appendv(message, types, args);
        va_end(args);
        if (r < 0)
                return r;

        /* 0 would mean the default of sd_bus_call(). */
        r = sd_bus_call(bus, message, left_usec(deadline) ?: 1, &error, &answer);
        if (r >= 0)
                return take_answer(answer, ret);
        /* sd-bus also names local errors. Those of brickd have our prefix and are not errnos. */
        if (sd_bus_error_is_set(&error) && strncmp(error.name, "org.brickd.", 11) == 0)
                return take_error(&error, ret);
        return r;
}

void bus_reply_done(struct bus_reply *reply)
{
        free(reply->text);
        free(reply->error);
        *reply = (struct bus_reply){};
}
