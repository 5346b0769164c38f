/* SPDX-License-Identifier: MIT */
#include "manager/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "manager/describe.h"
#include "manager/manager.h"
#include "util/cleanup.h"
#include "util/utf8.h"

/* The most bytes of the reason why a reload failed: systemd accepts messages of 4 KiB. */
#define WHY_MAX 1000

static bool lost;

static int notify_send(const char *path, const char *text)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const size_t n = strlen(path);
        _cleanup_close_ int fd = -EBADF;

        if (n >= sizeof address.sun_path)
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, n);
        if (path[0] == '@')
                address.sun_path[0] = '\0';
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (sendto(fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
                   (const struct sockaddr *)&address,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
                return -errno;
        return 0;
}

void notify(const char *format, ...)
{
        const char *path = getenv("NOTIFY_SOCKET");
        _cleanup_free_ char *text = NULL;
        va_list args;

        if (!path || (path[0] != '/' && path[0] != '@'))
                return;
        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                text = NULL;
        va_end(args);
        if (!text || notify_send(path, text) < 0)
                lost = true;
}

void notify_status(const struct manager *m, const char *state)
{
        _cleanup_free_ char *serving = NULL;
        const char *failed = "", *why = "";
        size_t full, length;

        if (!m->current || describe_serving(m->current, &serving) < 0)
                return;
        if (m->verdict.generation > 0 && !m->verdict.ok && m->verdict.text) {
                failed = "; the last reload failed: ";
                why = m->verdict.text;
        }
        full = strcspn(why, "\n");
        length = utf8_prefix(why, full, WHY_MAX);
        notify("%sSTATUS=%s%s%.*s%s", state, serving, failed, (int)length, why,
               length < full ? "..." : "");
}

bool notify_has_lost(void)
{
        bool was = lost;

        lost = false;
        return was;
}
