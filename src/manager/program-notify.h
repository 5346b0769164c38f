/* SPDX-License-Identifier: MIT */
#pragma once

/* How a process of a brick tells that it is ready, that it lives, and what it does. */

#include <stdbool.h>

struct program;

/* Makes the socket of $NOTIFY_SOCKET. */
int program_listen(struct program *program);

/* Reads the messages that have come. */
void program_read_messages(struct program *program);

/* Removes it. */
void program_listen_end(struct program *program);

/* A connection to the socket of the process is accepted. */
bool program_accepts(const struct program *program);
