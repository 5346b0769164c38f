/* SPDX-License-Identifier: MIT */
#include "shared/programs.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "shared/memfd.h"

struct row {
        _Atomic uint32_t health;
        _Atomic uint32_t starts;
        uint32_t brick;                  /* this and the socket: written before a worker starts */
        char socket[PROGRAM_SOCKET_MAX]; /* a path, ends with NUL */
};

struct programs {
        struct row *rows;
        size_t n;
        size_t size; /* of the memory: never 0, so that it can be mapped */
        size_t n_added;
        int fd;
};

int programs_new(struct programs **ret, size_t n)
{
        _cleanup_free_ struct programs *programs = calloc(1, sizeof *programs);
        void *p;

        if (!programs)
                return -ENOMEM;
        programs->n = n;
        programs->size = n * sizeof *programs->rows + 1;
        programs->fd = memfd_publish(&p, "brickd-programs", programs->size);
        if (programs->fd < 0)
                return programs->fd;
        programs->rows = p;
        *ret = TAKE_PTR(programs);
        return 0;
}

void programs_add(struct programs *programs, size_t brick, const char *socket)
{
        struct row *row = &programs->rows[programs->n_added++];

        row->brick = (uint32_t)brick;
        (void)snprintf(row->socket, sizeof row->socket, "%s", socket);
}

void programs_set(struct programs *programs, const char *socket, enum program_health health)
{
        for (size_t i = 0; i < programs->n_added; i++) {
                struct row *row = &programs->rows[i];

                if (strcmp(row->socket, socket) != 0 || atomic_load(&row->health) == health)
                        continue;
                if (health == PROGRAM_READY)
                        atomic_fetch_add(&row->starts, 1);
                atomic_store(&row->health, health);
        }
}

bool programs_has_started(const struct programs *programs, const char *socket)
{
        for (size_t i = 0; i < programs->n_added; i++)
                if (strcmp(programs->rows[i].socket, socket) == 0)
                        return programs_starts(programs, i) > 0;
        return false;
}

int programs_fd(const struct programs *programs)
{
        return programs->fd;
}

int programs_open(struct programs **ret, int fd)
{
        _cleanup_free_ struct programs *programs = calloc(1, sizeof *programs);
        struct stat st;
        void *p;

        if (!programs)
                return -ENOMEM;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size < 1 || (size_t)(st.st_size - 1) % sizeof *programs->rows != 0)
                return -EINVAL;
        programs->size = (size_t)st.st_size;
        programs->n = programs->n_added = (programs->size - 1) / sizeof *programs->rows;
        p = mmap(NULL, programs->size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        programs->rows = p;
        programs->fd = -EBADF;
        *ret = TAKE_PTR(programs);
        return 0;
}

struct programs *programs_free(struct programs *programs)
{
        if (!programs)
                return NULL;
        (void)munmap(programs->rows, programs->size);
        (void)close_fd(programs->fd);
        free(programs);
        return NULL;
}

size_t programs_count(const struct programs *programs)
{
        return programs->n;
}

size_t programs_brick(const struct programs *programs, size_t index)
{
        return programs->rows[index].brick;
}

const char *programs_socket(const struct programs *programs, size_t index)
{
        return programs->rows[index].socket;
}

enum program_health programs_health(const struct programs *programs, size_t index)
{
        return (enum program_health)atomic_load(&programs->rows[index].health);
}

uint32_t programs_starts(const struct programs *programs, size_t index)
{
        return atomic_load(&programs->rows[index].starts);
}

bool programs_started(const struct programs *programs)
{
        for (size_t i = 0; i < programs->n; i++)
                if (programs_starts(programs, i) == 0)
                        return false;
        return true;
}
