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

/* Starts the core by this function, and learns in which set it will wait: the one to which the
 * function adds a descriptor. [main] */
void guest_learn(void (*start)(void));

/*
 * After guest_learn(), before the polling thread runs, once. wake: makes a wait of the polling
 * thread return. The epoll set must stay open as long as the core runs. -ENOTSUP: the core's set is
 * not known; or another negative errno. [main]
 */
int guest_set(const struct guest *set, void (*wake)(void *user), void *wake_user);

/* For epoll_ctl(): something is added to this set. [any] */
void guest_note(int epoll);

/* For epoll_wait(): whether an event of this set is the guest's; it has come. [any] */
bool guest_is_event(int epoll, uint64_t data);
void guest_ready(void);
