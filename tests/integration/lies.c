/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lies.h"
#include "shared/channel.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define DESCRIPTORS 8
#define LIFETIME (1200 * NSEC_PER_MSEC) /* who lives so long is started again at once */

/* --- packets ---------------------------------------------------------------------------------- */

/* Waits for room. The first descriptors are sent along. */
static void send_packet(const void *bytes, size_t length, size_t descriptors)
{
        union {
                char bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
                struct cmsghdr head;
        } control = { .head = { .cmsg_len = CMSG_LEN(descriptors * sizeof(int)),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS } };
        struct iovec iov = { (void *)bytes, length };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        for (size_t i = 0; i < descriptors; i++)
                memcpy(CMSG_DATA(&control.head) + i * sizeof(int), &(int){ CHANNEL_FD_CONFIG },
                       sizeof(int));
        if (descriptors > 0) {
                message.msg_control = control.bytes;
                message.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
        }
        (void)sendmsg(CHANNEL_FD_CONTROL, &message, MSG_NOSIGNAL);
}

static void block(void)
{
        (void)fcntl(CHANNEL_FD_CONTROL, F_SETFL, 0);
}

static void complain(const char *text, size_t length)
{
        static struct {
                uint32_t kind;
                char text[100000];
        } packet = { .kind = CHANNEL_DIAGNOSTIC };

        memcpy(packet.text, text, length);
        send_packet(&packet, sizeof packet.kind + length, 0);
}

void complain_at_length(void)
{
        static char text[100000];

        block();
        for (int i = 0; i < 1000; i++) {
                memset(text, 'a' + i % 26, sizeof text);
                memcpy(text, "c.yaml:1:1: ", strlen("c.yaml:1:1: "));
                complain(text, sizeof text);
        }
        exit(78);
}

void complain_strangely(const char *file)
{
        static const char *const ends[] = {
                ":1:1: caf\xe9 is no word",
                (":2:1: \x1b]0;owned\x07\x1b[31mred, \xc2\x9b"
                 "31mred, \xe2\x80\xaeright"),
                ":3:1: two lines\n    3 | one\n2026-01-01T00:00:00.000Z error Worker 0 died",
        };
        static const char forged[] = "2026-01-01T00:00:00.000Z error Worker 0 died";
        char text[1024];

        for (size_t i = 0; i < ELEMENTSOF(ends); i++) {
                (void)snprintf(text, sizeof text, "%s%s", file, ends[i]);
                complain(text, strlen(text));
        }
        complain(forged, strlen(forged));
        exit(78);
}

void send_descriptors(void)
{
        const uint32_t kinds[] = { 0, CHANNEL_WAKE, CHANNEL_DIAGNOSTIC, CHANNEL_FAILED, 99 };

        block();
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                for (size_t n = 1; n <= DESCRIPTORS; n++)
                        send_packet(&kinds[i], sizeof kinds[i], n);
        send_packet("", 0, DESCRIPTORS);
}

/* --- memory ----------------------------------------------------------------------------------- */

struct mapping {
        unsigned char *bytes;
        size_t size;
};

static struct mapping mappings[CHANNEL_FD_LISTEN - CHANNEL_FD_CONFIG];
static size_t n_mappings;

static uint64_t next(uint64_t *random)
{
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        return *random;
}

static void map_all(void)
{
        for (int fd = CHANNEL_FD_CONFIG; fd < CHANNEL_FD_LISTEN; fd++) {
                struct stat st;
                void *p;

                if (fstat(fd, &st) < 0 || st.st_size == 0)
                        continue;
                p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
                if (p != MAP_FAILED) /* what it may only read */
                        mappings[n_mappings++] = (struct mapping){ p, (size_t)st.st_size };
        }
}

/* Values that are the ends of something more often than others. */
static uint32_t value(uint64_t *random)
{
        static const uint32_t ends[] = {
                0, 1, 2, 3, 4, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff
        };
        uint64_t r = next(random);

        return r % 4 ? ends[r / 4 % ELEMENTSOF(ends)] : (uint32_t)(r >> 32);
}

static void scribble(uint64_t *random)
{
        const struct mapping *mapping = &mappings[next(random) % n_mappings];
        size_t window = next(random) % 2 ? mapping->size : 256; /* what is read most is in front */
        size_t at = next(random) % (mapping->size < window ? mapping->size : window);
        uint32_t word = value(random);
        size_t n = next(random) % 64;

        for (; n > 0 && at + sizeof word <= mapping->size; n--, at += sizeof word)
                memcpy(mapping->bytes + at, &word, sizeof word);
}

static void babble(uint64_t *random)
{
        struct {
                uint32_t kind;
                char text[8192];
        } packet = { .kind = value(random) % 8 };
        size_t length = next(random) % (next(random) % 8 ? 64 : sizeof packet.text);

        for (size_t i = 0; i < length; i++)
                packet.text[i] = (char)next(random);
        (void)fcntl(CHANNEL_FD_CONTROL, F_SETFL, O_NONBLOCK);
        send_packet(&packet, next(random) % 64 ? sizeof packet.kind + length : length % 4,
                    next(random) % 16 ? 0 : 1 + next(random) % DESCRIPTORS);
}

_Noreturn static void die(uint64_t *random)
{
        static const int signals[] = { SIGKILL, SIGSEGV, SIGABRT, SIGTERM };
        uint64_t how = next(random) % 6;

        if (how >= ELEMENTSOF(signals))
                _exit((int)(next(random) % 128));
        (void)signal(signals[how], SIG_DFL);
        (void)kill(getpid(), signals[how]);
        _exit(1);
}

_Noreturn void lie(unsigned seed)
{
        uint64_t random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15), end;

        map_all();
        end = clock_now() + LIFETIME + next(&random) % (LIFETIME / 4);
        while (clock_now() < end) {
                for (int i = 0; i < 200; i++)
                        scribble(&random);
                babble(&random);
                if (next(&random) % 16 == 0)
                        (void)usleep(500);
        }
        die(&random);
}
