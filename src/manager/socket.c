/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "conf/conf.h"
#include "conf/listen.h"
#include "manager/holder.h"
#include "manager/socket.h"

int inherited_init(struct inherited *inherited)
{
        char **names = NULL;
        int n = sd_listen_fds_with_names(true, &names);

        if (n < 0)
                return n;
        *inherited = (struct inherited){ .names = names, .n = n };
        return 0;
}

void inherited_done(struct inherited *inherited)
{
        for (int i = 0; i < inherited->n; i++)
                free(inherited->names[i]);
        free(inherited->names);
}

struct socket *socket_ref(struct socket *s)
{
        s->n_ref++;
        return s;
}

struct socket *socket_unref(struct socket *s)
{
        if (!s || --s->n_ref > 0)
                return NULL;

        /* A retired worker may keep its descriptor open for long. shutdown() makes the kernel
         * refuse connections that nobody would accept. */
        if (s->fd >= 0 && !s->inherited)
                (void)shutdown(s->fd, SHUT_RDWR);
        socket_close(s);
        if (s->path)
                (void)unix_remove(s->path, &s->file);
        free(s->listen);
        free(s->address);
        free(s->path);
        free(s);
        return NULL;
}

void socket_close(struct socket *s)
{
        s->fd = close_fd(s->fd);
}

static int socket_new(struct socket **ret, const char *listen)
{
        _cleanup_(socket_unrefp) struct socket *s = calloc(1, sizeof *s);

        if (!s)
                return -ENOMEM;
        s->n_ref = 1;
        s->fd = -EBADF;
        s->listen = strdup(listen);
        if (!s->listen)
                return -ENOMEM;
        *ret = TAKE_PTR(s);
        return 0;
}

/* Describes a failed system call, and what to do about it. Returns r. */
static int explain(int r, const char *holder, char **ret_why)
{
        int n;

        if (r == -EADDRINUSE && holder)
                n = asprintf(ret_why, "it is held by %s", holder);
        else if (r == -EADDRINUSE)
                n = asprintf(ret_why,
                             "another program holds it; `ss -ltxp`, run as root, names it");
        else if (r == -EADDRNOTAVAIL)
                n = asprintf(ret_why, "this machine has no such address");
        else if (r == -EEXIST)
                n = asprintf(ret_why, "it exists and is not a socket");
        else if (r == -EACCES)
                n = asprintf(ret_why, "permission denied (a port below 1024 needs "
                                      "CAP_NET_BIND_SERVICE, a path a writable directory)");
        else
                n = asprintf(ret_why, "%s", strerror(-r));
        return n < 0 ? -ENOMEM : r;
}

static socklen_t inet_length(const union inet_address *address)
{
        return address->any.sa_family == AF_INET ? sizeof address->v4 : sizeof address->v6;
}

static int inet_parse(const char *host, uint16_t port, union inet_address *ret)
{
        *ret = (union inet_address){ .v4 = { .sin_family = AF_INET, .sin_port = htons(port) } };
        if (strcmp(host, "localhost") == 0)
                host = "127.0.0.1";
        if (inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1)
                return 0;
        *ret = (union inet_address){ .v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) } };
        return inet_pton(AF_INET6, host, &ret->v6.sin6_addr) == 1 ? 0 : -EINVAL;
}

static int inet_format(int fd, char **ret)
{
        union inet_address address;
        socklen_t length = sizeof address;
        char host[INET6_ADDRSTRLEN];
        int n;

        if (getsockname(fd, &address.any, &length) < 0)
                return -errno;
        if (address.any.sa_family == AF_INET)
                n = asprintf(ret, "%s:%u",
                             inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof host),
                             ntohs(address.v4.sin_port));
        else
                n = asprintf(ret, "[%s]:%u",
                             inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof host),
                             ntohs(address.v6.sin6_port));
        return n < 0 ? -ENOMEM : 0;
}

static int inet_listen(const union inet_address *address)
{
        _cleanup_close_ int fd = -EBADF;
        int on = 1, off = 0;

        fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
                return -errno;
        /* [::] means every address of both families, whatever net.ipv6.bindv6only says. */
        if (address->any.sa_family == AF_INET6 &&
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0)
                return -errno;
        if (bind(fd, &address->any, inet_length(address)) < 0)
                return -errno;
        if (listen(fd, SOMAXCONN) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int open_inet(struct socket *s, const struct conf_port *port, char **ret_why)
{
        _cleanup_free_ char *holder = NULL;
        union inet_address address;
        int r;

        r = inet_parse(port->host, port->port, &address);
        if (r < 0)
                return explain(r, NULL, ret_why);
        s->fd = inet_listen(&address);
        if (s->fd == -EAFNOSUPPORT && IN6_IS_ADDR_UNSPECIFIED(&address.v6.sin6_addr)) {
                /* A kernel without IPv6, as in some containers: [::] then means every IPv4 address.
                 */
                (void)inet_parse("0.0.0.0", port->port, &address);
                s->fd = inet_listen(&address);
        }
        if (s->fd == -EADDRINUSE)
                (void)holder_of_port(&address, &holder);
        if (s->fd < 0)
                return explain(s->fd, holder, ret_why);
        return inet_format(s->fd, &s->address);
}

/* The same for the results of unix_listen(), which may be UNIX_E_*. */
static int explain_unix(int r, const char *holder, char **ret_why)
{
        static const char *const texts[] = {
                [UNIX_E_DIRECTORY] = "every user can write its directory, and could put another "
                                     "socket there; use a directory of its own",
                [UNIX_E_OWNER] = "brickd may not give it to this owner or group: it must be in the "
                                 "group (SupplementaryGroups= of the unit), or run as root",
                [UNIX_E_LOCK] = "the file beside it whose name ends in .lock is not brickd's: "
                                "remove it",
        };

        if (r == UNIX_E_TAKEN)
                return explain(-EADDRINUSE, holder, ret_why);
        if (r < 0)
                return explain(r, NULL, ret_why);
        *ret_why = strdup(texts[r]);
        return -EPERM;
}

static int open_unix(struct socket *s, const char *path, const struct unix_access *access,
                     char **ret_why)
{
        _cleanup_free_ char *holder = NULL;
        int r;

        s->path = strdup(path);
        s->address = strdup(s->listen);
        if (!s->path || !s->address)
                return -ENOMEM;
        r = unix_listen(&s->fd, &s->file, path, access, &holder);
        return r == 0 ? 0 : explain_unix(r, holder, ret_why);
}

static int open_inherited(struct socket *s, const char *name, const struct inherited *inherited,
                          char **ret_why)
{
        int fd = -EBADF, n = 0;

        for (int i = 0; i < inherited->n; i++)
                if (strcmp(inherited->names[i], name) == 0) {
                        fd = SD_LISTEN_FDS_START + i;
                        n++;
                }
        if (n != 1 || sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0) {
                if (asprintf(ret_why,
                             "systemd has passed %s listening stream socket of that name "
                             "(FileDescriptorName= of the .socket unit)",
                             n > 1 ? "more than one" : "no") < 0)
                        return -ENOMEM;
                return -ENOENT;
        }
        s->inherited = true;
        s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (s->fd < 0 || fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_NONBLOCK) < 0)
                return -errno;
        if (sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0)
                s->address = strdup(s->listen);
        else
                (void)inet_format(fd, &s->address);
        return s->address ? 0 : -ENOMEM;
}

static bool is_reachable(int fd)
{
        union inet_address address = {};
        const struct in6_addr *v6 = &address.v6.sin6_addr;
        socklen_t length = sizeof address;

        if (getsockname(fd, &address.any, &length) < 0)
                return true;
        if (address.any.sa_family == AF_INET)
                return ntohl(address.v4.sin_addr.s_addr) >> 24 != IN_LOOPBACKNET;
        return address.any.sa_family == AF_INET6 && !IN6_IS_ADDR_LOOPBACK(v6) &&
               !(IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == IN_LOOPBACKNET);
}

int socket_check(const struct socket *s, const struct conf_port *port, char **ret_why)
{
        if (!s->inherited || listen_is_guarded(port) || !is_reachable(s->fd))
                return 0;
        return asprintf(ret_why,
                        "other machines can reach %s, where systemd listens, and it is open to all "
                        "of them in plain text; a port needs tls or identities there, or "
                        "allow_insecure: true",
                        s->address) < 0
                       ? -ENOMEM
                       : -EPERM;
}

static struct unix_access access_of(const struct conf_port *port)
{
        return (struct unix_access){ port->mode, port->owner, port->group };
}

int socket_open(struct socket **ret, const struct conf_port *port,
                const struct inherited *inherited, char **ret_why)
{
        const struct unix_access access = access_of(port);
        _cleanup_(socket_unrefp) struct socket *s = NULL;
        int r;

        r = socket_new(&s, port->listen);
        if (r < 0)
                return r;
        switch (port->kind) {
        case LISTEN_INET:
                r = open_inet(s, port, ret_why);
                break;
        case LISTEN_UNIX:
                r = open_unix(s, port->path, &access, ret_why);
                break;
        case LISTEN_SYSTEMD:
                r = open_inherited(s, port->path, inherited, ret_why);
                break;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

bool socket_is_lost(const struct socket *s)
{
        return s->path && s->file.inode != 0 &&
               faccessat(AT_FDCWD, s->path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

int socket_set_access(struct socket *s, const struct conf_port *port, char **ret_why)
{
        const struct unix_access access = access_of(port);
        int r;

        if (!s->path || s->file.inode == 0)
                return 0;
        r = unix_set_access(s->path, &s->file, &access);
        return r == 0 ? 0 : explain_unix(r, NULL, ret_why);
}

int socket_open_unix(struct socket **ret, const char *path, mode_t mode, char **ret_why)
{
        const struct unix_access access = { mode, (uid_t)-1, (gid_t)-1 };
        _cleanup_(socket_unrefp) struct socket *s = NULL;
        int r;

        r = socket_new(&s, path);
        if (r < 0)
                return r;
        r = open_unix(s, path, &access, ret_why);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}
