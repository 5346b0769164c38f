/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "shared/balance.h"
#include "shared/memfd.h"

struct slot {
        _Atomic uint32_t connections;
        atomic_bool serving;
};

struct balance {
        struct slot *slots; /* shared, one per worker */
        uint32_t n_slots;
        uint32_t own; /* [worker] its own slot */
        int fd;       /* [main process] */
};

_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_BOOL_LOCK_FREE == 2,
               "processes share these atomics");

static int map(struct balance **ret, int fd, uint32_t workers)
{
        _cleanup_free_ struct balance *balance = calloc(1, sizeof *balance);
        void *p;
        int r;

        if (!balance)
                return -ENOMEM;
        r = memfd_map(&p, fd, workers * sizeof *balance->slots);
        if (r < 0)
                return r;
        *balance = (struct balance){ .slots = p, .n_slots = workers, .fd = -EBADF };
        *ret = TAKE_PTR(balance);
        return 0;
}

int balance_new(struct balance **ret, unsigned workers)
{
        _cleanup_close_ int fd = memfd_share("brickd-balance", workers * sizeof(struct slot));
        struct balance *balance;
        int r;

        if (fd < 0)
                return fd;
        r = map(&balance, fd, workers);
        if (r < 0)
                return r;
        balance->fd = TAKE_FD(fd);
        *ret = balance;
        return 0;
}

int balance_fd(const struct balance *balance)
{
        return balance->fd;
}

int balance_open(struct balance **ret, int fd, unsigned worker)
{
        struct balance *balance;
        struct stat st;
        size_t workers;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        workers = (size_t)st.st_size / sizeof(struct slot);
        if (worker >= workers)
                return -EINVAL;
        r = map(&balance, fd, (uint32_t)workers);
        if (r < 0)
                return r;
        balance->own = worker;
        *ret = balance;
        return 0;
}

struct balance *balance_free(struct balance *balance)
{
        if (!balance)
                return NULL;
        (void)munmap(balance->slots, balance->n_slots * sizeof *balance->slots);
        (void)close_fd(balance->fd);
        free(balance);
        return NULL;
}

void balance_forget(struct balance *balance, unsigned worker)
{
        struct slot *slot = &balance->slots[worker];

        atomic_store(&slot->serving, false);
        atomic_store(&slot->connections, 0);
}

void balance_join(struct balance *balance)
{
        atomic_store(&balance->slots[balance->own].serving, true);
}

void balance_pause(struct balance *balance)
{
        atomic_store(&balance->slots[balance->own].serving, false);
}

void balance_count(struct balance *balance, uint32_t connections)
{
        atomic_store(&balance->slots[balance->own].connections, connections);
}

bool balance_is_ahead(const struct balance *balance, uint32_t connections)
{
        const uint32_t fair = connections - connections / 16;

        for (uint32_t i = 0; i < balance->n_slots; i++)
                if (i != balance->own && atomic_load(&balance->slots[i].serving) &&
                    atomic_load(&balance->slots[i].connections) < fair)
                        return true;
        return false;
}
