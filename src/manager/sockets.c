/* SPDX-License-Identifier: MIT */
#include "manager/sockets.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "util/log.h"

static bool has_socket(const struct sockets *sockets, const struct socket *socket)
{
        for (size_t i = 0; i < sockets->n_ports; i++)
                if (sockets->ports[i] == socket)
                        return true;
        return false;
}

/* Several ports may listen on port 0 of one address: each socket is taken over once. */
static struct socket *find_port(const struct sockets *sockets, const struct sockets *previous,
                                const char *listen)
{
        for (size_t i = 0; previous && i < previous->n_ports; i++)
                if (strcmp(previous->ports[i]->listen, listen) == 0 &&
                    !socket_is_lost(previous->ports[i]) && !has_socket(sockets, previous->ports[i]))
                        return previous->ports[i];
        return NULL;
}

static struct socket *find_metrics(const struct sockets *previous, const char *listen)
{
        if (!previous || !previous->metrics || strcmp(previous->metrics->listen, listen) != 0)
                return NULL;
        return socket_is_lost(previous->metrics) ? NULL : previous->metrics;
}

static int open_socket(struct socket **ret, const struct conf_port *port, struct socket *kept,
                       const struct inherited *inherited, char **ret_why)
{
        _cleanup_(socket_unrefp) struct socket *socket = NULL;
        int r = 0;

        if (kept)
                socket = socket_ref(kept);
        else
                r = socket_open(&socket, port, inherited, ret_why);
        if (r == 0)
                r = socket_check(socket, port, ret_why);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(socket);
        return 0;
}

int sockets_open(struct sockets *sockets, const struct conf *conf, const struct sockets *previous,
                 const struct inherited *inherited, const struct conf_port **ret_failed,
                 char **ret_why)
{
        const struct conf_port *port;
        int r;

        sockets->ports = calloc(conf->n_ports + 1, sizeof(struct socket *));
        if (!sockets->ports)
                return -ENOMEM;
        for (size_t i = 0; i < conf->n_ports; i++) {
                port = &conf->ports[i];
                r = open_socket(&sockets->ports[i], port,
                                find_port(sockets, previous, port->listen), inherited, ret_why);
                if (r < 0) {
                        *ret_failed = port;
                        return r;
                }
                sockets->n_ports++;
        }
        port = conf->metrics;
        if (!port)
                return 0;
        r = open_socket(&sockets->metrics, port, find_metrics(previous, port->listen), inherited,
                        ret_why);
        if (r < 0)
                *ret_failed = port;
        return r;
}

static void set_access(struct socket *socket, const struct conf_port *port)
{
        _cleanup_free_ char *why = NULL;
        int r;

        r = socket_set_access(socket, port, &why);
        if (r < 0)
                log_warning("%s keeps the mode and owner that it has: %s", socket->listen,
                            why ? why : strerror(-r));
}

void sockets_set_access(struct sockets *sockets, const struct conf *conf)
{
        for (size_t i = 0; i < sockets->n_ports; i++)
                set_access(sockets->ports[i], &conf->ports[i]);
        if (sockets->metrics)
                set_access(sockets->metrics, conf->metrics);
}

void sockets_close_ports(struct sockets *sockets)
{
        for (size_t i = 0; i < sockets->n_ports; i++)
                socket_close(sockets->ports[i]);
}

void sockets_release(struct sockets *sockets)
{
        for (size_t i = 0; i < sockets->n_ports; i++)
                (void)socket_unref(sockets->ports[i]);
        free(sockets->ports);
        (void)socket_unref(sockets->metrics);
        *sockets = (struct sockets){};
}
