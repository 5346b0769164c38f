/* SPDX-License-Identifier: MIT */
#include "conf/listen.h"

#include <arpa/inet.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/document.h"
#include "conf/value.h"

static int parse_unix(const struct node *node, const char *path, struct conf_port *port,
                      struct diag *diag)
{
        if ((path[0] != '/' && path[0] != '@') || path[1] == '\0') {
                diag_add(diag, node, "expected unix:/path with an absolute path, or unix:@name");
                return -EINVAL;
        }
        if (strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path) {
                diag_add(diag, node, "the path of a unix socket must not be longer than %zu bytes",
                         sizeof((struct sockaddr_un *)NULL)->sun_path - 1);
                return -EINVAL;
        }
        port->kind = LISTEN_UNIX;
        port->path = path;
        return 0;
}

static int parse_systemd(const struct node *node, const char *name, struct conf_port *port,
                         struct diag *diag)
{
        size_t n = strlen(name);

        for (const char *s = name; *s; s++)
                if (*s <= ' ' || *s > '~' || *s == ':')
                        n = 0;
        if (n == 0 || n > 255) {
                diag_add(diag, node,
                         "expected systemd:NAME, where NAME is the FileDescriptorName= of the "
                         "socket unit");
                return -EINVAL;
        }
        port->kind = LISTEN_SYSTEMD;
        port->path = name;
        return 0;
}

/* The host in the form of inet_ntop(). NULL: neither an address nor "localhost". */
static const char *canonical_host(const char *host, bool brackets, char buffer[INET6_ADDRSTRLEN])
{
        struct in6_addr address;
        int family = brackets ? AF_INET6 : AF_INET;

        if (!brackets && strcmp(host, "localhost") == 0)
                return "localhost";
        if (inet_pton(family, host, &address) != 1)
                return NULL;
        return inet_ntop(family, &address, buffer, INET6_ADDRSTRLEN);
}

static int parse_host(struct document *doc, const struct node *node, const char *host, size_t n,
                      struct conf_port *port, struct diag *diag)
{
        bool brackets = n >= 2 && host[0] == '[' && host[n - 1] == ']';
        char buffer[INET6_ADDRSTRLEN], copy[INET6_ADDRSTRLEN] = "";
        const char *canonical = NULL;

        if (brackets) {
                host++;
                n -= 2;
        }
        if (n > 0 && n < sizeof copy) {
                memcpy(copy, host, n);
                canonical = canonical_host(copy, brackets, buffer);
        }
        if (canonical) {
                port->host = document_strndup(doc, canonical, strlen(canonical));
                return port->host ? 0 : -ENOMEM;
        }
        if (n == 0 || (n == 1 && host[0] == '*'))
                diag_add(diag, node,
                         "the host is missing; for every address of this machine write \"[::]:%s\"",
                         host + n + brackets + 1);
        else if (!brackets && memchr(host, ':', n))
                diag_add(diag, node, "write an IPv6 address in brackets, such as \"[::1]:50051\"");
        else
                diag_add(diag, node,
                         "the host must be \"localhost\" or an address of this machine");
        return -EINVAL;
}

static int parse_inet(struct document *doc, const struct node *node, struct conf_port *port,
                      struct diag *diag)
{
        const char *colon = strrchr(node->text, ':');
        int64_t number;

        if (!colon || strchr(colon, ']')) {
                diag_add(diag, node,
                         "expected host:port, unix:/path or systemd:NAME, such as "
                         "\"127.0.0.1:50051\"");
                return -EINVAL;
        }
        if (colon[1] == '+' || value_parse_int(colon + 1, &number) < 0 || number < 0 ||
            number > UINT16_MAX) {
                diag_add(diag, node, "the port must be a number from 0 to 65535");
                return -EINVAL;
        }
        port->kind = LISTEN_INET;
        port->port = (uint16_t)number;
        return parse_host(doc, node, node->text, (size_t)(colon - node->text), port, diag);
}

int listen_parse(struct document *doc, const struct node *node, struct conf_port *port,
                 struct diag *diag)
{
        static const char unix_prefix[] = "unix:", systemd_prefix[] = "systemd:";

        port->listen = node->text;
        if (strncmp(node->text, unix_prefix, strlen(unix_prefix)) == 0)
                return parse_unix(node, node->text + strlen(unix_prefix), port, diag);
        if (strncmp(node->text, systemd_prefix, strlen(systemd_prefix)) == 0)
                return parse_systemd(node, node->text + strlen(systemd_prefix), port, diag);
        return parse_inet(doc, node, port, diag);
}

bool listen_is_local(const struct conf_port *port)
{
        struct in6_addr v6;
        struct in_addr v4;

        if (port->kind != LISTEN_INET || strcmp(port->host, "localhost") == 0)
                return true;
        if (inet_pton(AF_INET, port->host, &v4) == 1)
                return ntohl(v4.s_addr) >> 24 == 127;
        if (inet_pton(AF_INET6, port->host, &v6) != 1)
                return false;
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

bool listen_is_guarded(const struct conf_port *port)
{
        return port->tls.node || port->authenticate != AUTHENTICATE_OFF || port->allow_insecure;
}

static const char *address_of(const struct conf_port *port)
{
        return strcmp(port->host, "localhost") == 0 ? "127.0.0.1" : port->host;
}

/* "::" means every address of both families. */
static bool covers(const char *all, const char *address)
{
        return strcmp(all, address) == 0 || strcmp(all, "::") == 0 ||
               (strcmp(all, "0.0.0.0") == 0 && !strchr(address, ':'));
}

bool listen_clash(const struct conf_port *a, const struct conf_port *b)
{
        if (a->kind != b->kind)
                return false;
        if (a->kind == LISTEN_INET)
                return a->port == b->port && a->port != 0 &&
                       (covers(address_of(a), address_of(b)) ||
                        covers(address_of(b), address_of(a)));
        return strcmp(a->path, b->path) == 0;
}

/* Looks a name up; a text that is no name may be the number itself. */
static void parse_id(const struct node *node, const char *what,
                     bool (*find)(const char *name, id_t *ret), id_t *ret, struct diag *diag)
{
        int64_t number;

        if (find(node->text, ret))
                return;
        if (value_parse_int(node->text, &number) == 0 && number >= 0 && number < UINT32_MAX)
                *ret = (id_t)number;
        else
                diag_add(diag, node, "there is no %s \"%s\"", what, node->text);
}

static bool find_user(const char *name, id_t *ret)
{
        const struct passwd *entry = getpwnam(name);

        if (entry)
                *ret = entry->pw_uid;
        return entry;
}

static bool find_group(const char *name, id_t *ret)
{
        const struct group *entry = getgrnam(name);

        if (entry)
                *ret = entry->gr_gid;
        return entry;
}

static void refuse_access(const struct node *node, const struct conf_port *port, struct diag *diag)
{
        if (port->kind == LISTEN_SYSTEMD)
                diag_add(diag, node,
                         "systemd creates this socket; use SocketMode=, SocketUser= and "
                         "SocketGroup= of its unit");
        else
                diag_add(diag, node, "only a unix socket with a path has a mode, owner and group");
}

void listen_parse_access(const struct node *mode, const struct node *owner,
                         const struct node *group, struct conf_port *port, struct diag *diag)
{
        const struct node *any = mode ? mode : owner ? owner : group;

        port->mode = mode    ? (mode_t)strtoul(mode->text, NULL, 8)
                     : group ? S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP
                             : S_IRUSR | S_IWUSR;
        port->owner = (uid_t)-1;
        port->group = (gid_t)-1;
        if (any && port->listen && (port->kind != LISTEN_UNIX || port->path[0] == '@')) {
                refuse_access(any, port, diag);
                return;
        }
        if (owner)
                parse_id(owner, "user", find_user, &port->owner, diag);
        if (group)
                parse_id(group, "group", find_group, &port->group, diag);
}
