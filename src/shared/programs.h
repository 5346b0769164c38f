/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The processes of the bricks `process` and `python` of one generation, in memory that the main
 * process writes and the workers of the generation can only read: where each listens, and how it
 * is. The main process wakes the workers when a state has changed. Bricks are indices into the
 * configuration's list.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "util/cleanup.h"

#define PROGRAM_SOCKET_MAX sizeof((struct sockaddr_un *)NULL)->sun_path

enum program_health {
        PROGRAM_AWAY,    /* it starts, or waits to be started again */
        PROGRAM_FAILING, /* the same, after several failures in a row: it may take long */
        PROGRAM_READY,   /* it serves */
        PROGRAM_LEAVING, /* it serves its calls, and is to get no new ones */
};

struct programs;

/* [main process] Creates the memory for n processes. */
int programs_new(struct programs **ret, size_t n);

/* [main process] Describes the next process. Call it n times before a worker is started. */
void programs_add(struct programs *programs, size_t brick, const char *socket);

/* [main process] The process with this socket has been ready once. */
bool programs_has_started(const struct programs *programs, const char *socket);

/* [main process] The processes whose socket this is are so now. */
void programs_set(struct programs *programs, const char *socket, enum program_health health);

/* The descriptor to pass to the workers; the object owns it. */
int programs_fd(const struct programs *programs);

/* [worker] Maps the memory. The descriptor stays the caller's. */
int programs_open(struct programs **ret, int fd);
struct programs *programs_free(struct programs *programs);
DEFINE_CLEANUP(struct programs *, programs_free);

/* [worker, any thread] */
size_t programs_count(const struct programs *programs);
size_t programs_brick(const struct programs *programs, size_t index);
const char *programs_socket(const struct programs *programs, size_t index);
enum program_health programs_health(const struct programs *programs, size_t index);

/* Counts how often the process has become ready. */
uint32_t programs_starts(const struct programs *programs, size_t index);

/* Every process has been ready once: the generation may serve. */
bool programs_started(const struct programs *programs);
