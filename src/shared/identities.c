/* SPDX-License-Identifier: MIT */
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "shared/identities.h"
#include "shared/memfd.h"
#include "util/clock.h"

/* How often to try to read a text while the main process writes it, and the pause between two
 * attempts. Writing the longest text takes some milliseconds. */
#define TRIES 1000
#define PAUSE_NS NSEC_PER_MSEC

/* A sequence lock: the version is odd while the main process writes the rest. */
struct memory {
        _Atomic uint32_t version;
        _Atomic uint64_t length;
        _Atomic char bytes[];
};

struct identity_text {
        struct memory *memory;
        size_t max;
        uint32_t seen; /* [worker] the version that was read last */
        int fd;
};

int identity_text_new(struct identity_text **ret, size_t max)
{
        _cleanup_free_ struct identity_text *text = calloc(1, sizeof *text);
        void *p;

        if (!text)
                return -ENOMEM;
        text->max = max;
        text->fd = memfd_publish(&p, "brickd-identities", sizeof *text->memory + max);
        if (text->fd < 0)
                return text->fd;
        text->memory = p;
        *ret = TAKE_PTR(text);
        return 0;
}

int identity_text_fd(const struct identity_text *text)
{
        return text->fd;
}

int identity_text_open(struct identity_text **ret, int fd)
{
        _cleanup_free_ struct identity_text *text = calloc(1, sizeof *text);
        struct stat st;
        void *p;

        if (!text)
                return -ENOMEM;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size < (off_t)sizeof *text->memory)
                return -EINVAL;
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        text->memory = p;
        text->max = (size_t)st.st_size - sizeof *text->memory;
        text->fd = -EBADF;
        *ret = TAKE_PTR(text);
        return 0;
}

struct identity_text *identity_text_free(struct identity_text *text)
{
        if (!text)
                return NULL;
        (void)munmap(text->memory, sizeof *text->memory + text->max);
        (void)close_fd(text->fd);
        free(text);
        return NULL;
}

int identity_text_set(struct identity_text *text, const char *bytes, size_t length)
{
        struct memory *memory = text->memory;

        if (length > text->max)
                return -EFBIG;
        (void)atomic_fetch_add(&memory->version, 1);
        atomic_store(&memory->length, length);
        for (size_t i = 0; i < length; i++)
                atomic_store_explicit(&memory->bytes[i], bytes[i], memory_order_release);
        (void)atomic_fetch_add(&memory->version, 1);
        return 0;
}

bool identity_text_changed(const struct identity_text *text)
{
        return atomic_load(&text->memory->version) != text->seen;
}

/* -EAGAIN: the main process was writing. */
static int try_to_read(struct identity_text *text, char **ret, size_t *ret_length)
{
        const struct memory *memory = text->memory;
        _cleanup_free_ char *bytes = NULL;
        uint32_t version = atomic_load(&memory->version);
        uint64_t length = atomic_load(&memory->length);

        if (version % 2 != 0 || length > text->max)
                return -EAGAIN;
        bytes = malloc(length + 1);
        if (!bytes)
                return -ENOMEM;
        for (size_t i = 0; i < length; i++)
                bytes[i] = atomic_load_explicit(&memory->bytes[i], memory_order_acquire);
        bytes[length] = '\0';
        if (atomic_load(&memory->version) != version)
                return -EAGAIN;
        text->seen = version;
        *ret = TAKE_PTR(bytes);
        *ret_length = length;
        return 0;
}

int identity_text_read(struct identity_text *text, char **ret, size_t *ret_length)
{
        const struct timespec pause = { .tv_nsec = PAUSE_NS };
        int r = try_to_read(text, ret, ret_length);

        for (int i = 1; r == -EAGAIN && i < TRIES; i++) {
                (void)nanosleep(&pause, NULL);
                r = try_to_read(text, ret, ret_length);
        }
        return r;
}
