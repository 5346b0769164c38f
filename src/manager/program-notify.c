/* SPDX-License-Identifier: MIT */
#include "manager/program-notify.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "manager/program.h"
#include "util/clock.h"
#include "util/utf8.h"

#define MESSAGE_MAX 4096
#define MESSAGES_AT_ONCE 10
#define WAKEUPS_PER_SECOND 50

static struct sockaddr_un address_of(const char *path)
{
        struct sockaddr_un un = { .sun_family = AF_UNIX };

        memcpy(un.sun_path, path, strlen(path) + 1);
        return un;
}

bool program_accepts(const struct program *p)
{
        const struct sockaddr_un un = address_of(p->socket);
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd >= 0 && connect(fd, (const struct sockaddr *)&un, sizeof un) == 0;
}

/* --- messages --------------------------------------------------------------------------------- */

static void take_status(struct program *p, const char *text)
{
        size_t n = utf8_prefix(text, strlen(text), PROGRAM_STATUS_MAX);

        memcpy(p->status, text, n);
        p->status[n] = '\0';
        utf8_clean(p->status, n);
}

/* Variables that are not known mean nothing. */
static void take_message(struct program *p, char *message)
{
        char *rest = message, *line;
        bool ready = false;

        while ((line = strsep(&rest, "\n"))) {
                if (strcmp(line, "READY=1") == 0)
                        ready = true;
                else if (strcmp(line, "WATCHDOG=1") == 0)
                        program_feed_watchdog(p);
                else if (strncmp(line, "STATUS=", 7) == 0)
                        take_status(p, line + 7);
        }
        if (ready)
                program_handle(p, PROGRAM_SAYS_READY);
}

void program_read_messages(struct program *p)
{
        char message[MESSAGE_MAX + 1];
        ssize_t n;

        for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
                n = recv(p->notify_fd, message, MESSAGE_MAX, 0);
                if (n < 0)
                        return;
                message[n] = '\0';
                take_message(p, message);
        }
}

static int on_message(sd_event_source *source, int fd, uint32_t events, void *user)
{
        program_read_messages(user);
        return 0;
}

int program_listen(struct program *p)
{
        const struct sockaddr_un un = address_of(p->notify);
        int r;

        p->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (p->notify_fd < 0)
                return -errno;
        (void)unlink(p->notify);
        if (bind(p->notify_fd, (const struct sockaddr *)&un, sizeof un) < 0)
                return -errno;
        if (p->settings.spec->user &&
            chown(p->notify, p->settings.spec->uid, p->settings.spec->gid) < 0)
                return -errno;
        r = sd_event_add_io(p->settings.event, &p->notify_io, p->notify_fd, EPOLLIN, on_message, p);
        if (r < 0)
                return r;
        return sd_event_source_set_ratelimit(p->notify_io, NSEC_PER_SEC / NSEC_PER_USEC,
                                             WAKEUPS_PER_SECOND);
}

void program_listen_end(struct program *p)
{
        if (p->notify_fd >= 0)
                (void)unlink(p->notify);
        p->notify_io = sd_event_source_disable_unref(p->notify_io);
        p->notify_fd = close_fd(p->notify_fd);
}
