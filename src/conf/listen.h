/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

struct conf_port;
struct diag;
struct document;
struct node;

/* Takes "host:port", "unix:/path", "unix:@name" and "systemd:NAME" apart into port's listen, kind,
 * host, port and path. -EINVAL: diag says why; -ENOMEM. */
int listen_parse(struct document *doc, const struct node *node, struct conf_port *port,
                 struct diag *diag);

/* Then `mode`, `owner` and `group`: NULL where the port does not say so. Mistakes go to diag. */
void listen_parse_access(const struct node *mode, const struct node *owner,
                         const struct node *group, struct conf_port *port, struct diag *diag);

/* Only this machine can reach it. */
bool listen_is_local(const struct conf_port *port);

/* It is encrypted, asks who calls, or shall be open. */
bool listen_is_guarded(const struct conf_port *port);

/* Both cannot be open at a time. */
bool listen_clash(const struct conf_port *a, const struct conf_port *b);
