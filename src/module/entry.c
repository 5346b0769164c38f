/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "module/entry.h"
#include "module/instance.h"
#include "util/clock.h"
#include "util/log.h"

#define THREAD_STACK (1024 * 1024)
#define SLOW_NS (100 * NSEC_PER_MSEC)

static _Thread_local struct instance *current;
static _Thread_local bool watched;
static bool forked; /* this process is a child that a brick has made */
static _Thread_local char signal_stack[32 * 1024];

/* /proc/thread-self/schedstat of the watched thread; -1: it cannot be read. */
static int schedstat = -1;

/* For how many ns the watched thread has waited for a processor. 0: not known. */
static uint64_t run_queue_wait(void)
{
        unsigned long long ran, waited;
        char text[64];
        ssize_t n = pread(schedstat, text, sizeof text - 1, 0);

        if (n <= 0)
                return 0;
        text[n] = '\0';
        return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? waited : 0;
}

/* The brick that the watched thread is in, and since when, for other threads. */
static _Atomic(struct instance *) watched_instance;
static atomic_uint_fast64_t watched_since;

/* Counts the time of the watched thread for this brick from now on. Returns for how long it counted
 * for the last one. */
static uint64_t hand_over(struct instance *instance, uint64_t now)
{
        uint64_t since = atomic_exchange_explicit(&watched_since, now, memory_order_relaxed);

        atomic_store_explicit(&watched_instance, instance, memory_order_release);
        return now - since;
}

void entry_begin(struct entry *entry, struct instance *instance)
{
        bool suspect;

        entry->previous = current;
        current = instance;
        if (!watched)
                return;
        suspect = instance_is_suspect(instance);
        entry->waited = suspect ? run_queue_wait() : 0;
        (void)hand_over(instance, suspect ? clock_now() : clock_recent());
}

/* The time in which the thread could not run is not the brick's. */
static uint64_t without_wait(uint64_t held, uint64_t waited)
{
        return held > waited ? held - waited : 0;
}

/* A brick that has forked returns in the child as well: the child would go on with its parent's
 * connections. */
static void leave_child(void)
{
        if (forked)
                _exit(EXIT_FAILURE);
}

uint64_t entry_end(struct entry *entry, struct instance *instance)
{
        uint64_t held;

        current = entry->previous;
        if (!watched) {
                leave_child();
                return 0;
        }
        held = hand_over(current, clock_now());
        if (entry->waited > 0)
                held = without_wait(held, run_queue_wait() - entry->waited);
        if (held > SLOW_NS && instance_log_pass(instance, LINE_SLOW)) {
                const struct log_field fields[] = {
                        { "BRICK", instance->conf->name, strlen(instance->conf->name) },
                        { "MESSAGE_ID", LOG_ID_BRICK_SLOW, strlen(LOG_ID_BRICK_SLOW) },
                };

                log_fields(LOG_LEVEL_WARNING, fields, ELEMENTSOF(fields),
                           "Brick '%s' held the polling thread for %u ms: every other call waited. "
                           "Its module should do long work on a thread of its own or be a blocking "
                           "brick.",
                           instance->conf->name, (unsigned)(held / NSEC_PER_MSEC));
        }
        return held;
}

const struct conf_brick *entry_current(void)
{
        return current ? current->conf : NULL;
}

static void on_fork(void)
{
        forked = true;
        watched = false;
}

void entry_watch_thread(void)
{
        watched = true;
        (void)pthread_atfork(NULL, NULL, on_fork);
        schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
}

const struct conf_brick *entry_stuck(uint64_t limit, uint64_t *ret_held)
{
        struct instance *instance = atomic_load_explicit(&watched_instance, memory_order_acquire);
        uint64_t since = atomic_load_explicit(&watched_since, memory_order_relaxed);
        uint64_t now = clock_now(); /* read after `since`, which may have changed meanwhile */

        if (!instance || now < since || now - since < limit)
                return NULL;
        *ret_held = now - since;
        return instance->conf;
}

int entry_start_thread(pthread_t *ret, void *(*run)(void *arg), void *arg)
{
        pthread_attr_t attr;
        int r;

        (void)pthread_attr_init(&attr);
        (void)pthread_attr_setstacksize(&attr, THREAD_STACK);
        r = -pthread_create(ret, &attr, run, arg);
        (void)pthread_attr_destroy(&attr);
        return r;
}

static pthread_key_t end_key;
static void (*on_thread_end)(void); /* NULL: there is no key */

/* A thread ends. It is the key's destructor, so it sees every way to end. */
static void check_entry(void *data)
{
        if (current)
                on_thread_end();
}

void entry_on_thread_end(void (*function)(void))
{
        if (pthread_key_create(&end_key, check_entry) == 0)
                on_thread_end = function;
}

void entry_guard_thread(void)
{
        const stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof signal_stack };
        stack_t old;

        /* A destructor runs for any value but NULL. */
        if (on_thread_end)
                (void)pthread_setspecific(end_key, &end_key);

        /* A sanitizer gives each thread a signal stack, and at the end frees the one that is set.
         */
        if (sigaltstack(NULL, &old) == 0 && old.ss_flags & SS_DISABLE)
                (void)sigaltstack(&stack, NULL);
}
