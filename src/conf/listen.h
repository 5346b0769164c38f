/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

struct conf_port;
struct diag;
struct document;
struct node;

/* Takes "host:port", "unix:/path" and "systemd:NAME" apart into port's listen, kind, host, port and
 * path. -EINVAL: diag says why; -ENOMEM. */
int listen_parse(struct document *doc, const struct node *node, struct conf_port *port,
                 struct diag *diag);

/* Only this machine can reach it. */
bool listen_is_local(const struct conf_port *port);

/* Both cannot be open at a time. */
bool listen_clash(const struct conf_port *a, const struct conf_port *b);
