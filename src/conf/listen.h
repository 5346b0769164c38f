/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

struct conf_port;
struct diag;
struct document;
struct node;

/* Parses "host:port", "unix:/path", "unix:@name" or "systemd:NAME" into port's listen, kind, host,
 * port and path. 0; -EINVAL: diag has the mistake; -ENOMEM. */
int listen_parse(struct document *doc, const struct node *node, struct conf_port *port,
                 struct diag *diag);

/* Parses the keys mode, owner and group of a unix socket, each NULL if it is missing. Call it after
 * listen_parse(). Mistakes go to diag. */
void listen_parse_access(const struct node *mode, const struct node *owner,
                         const struct node *group, struct conf_port *port, struct diag *diag);

/* Only this machine can reach the port. */
bool listen_is_local(const struct conf_port *port);

/* The port is encrypted or authenticated, or is meant to be open. */
bool listen_is_guarded(const struct conf_port *port);

/* The two ports cannot listen at the same time. */
bool listen_clash(const struct conf_port *a, const struct conf_port *b);
