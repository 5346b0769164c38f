/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Another server of this worker that shares the polling thread. It has an epoll set of its own. The
 * descriptor of that set is put into the set in which the core waits, so that one wait is for both;
 * when it is ready, the polling thread runs the guest between two events of the core.
 */

#include <stdbool.h>
#include <stdint.h>

struct guest {
        int epoll; /* of the guest */

        /* Handles what is ready, for about 1 ms. True: more is ready. On the polling thread. */
        bool (*run)(void *user);
        void *user;
};

/* In the data of an event. */
#define GUEST_MARK UINT64_MAX

/* Before the polling thread starts, and once. wake: makes a wait of the polling thread return.
 * [main] */
void guest_set(const struct guest *set, void (*wake)(void *user), void *wake_user);

/* For epoll_wait(): the core is about to wait for this set; the guest's event has come. [any] */
void guest_wait(int epoll);
void guest_ready(void);
