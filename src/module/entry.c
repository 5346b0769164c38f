/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "module/entry.h"
#include "module/instance.h"
#include "util/clock.h"
#include "util/log.h"

#define SLOW_NS (100 * NSEC_PER_MSEC)

static _Thread_local struct instance *current;
static _Thread_local bool watched;
static _Thread_local char signal_stack[32 * 1024];

/* What the watched thread is in, for other threads. */
static _Atomic(struct instance *) watched_instance;
static atomic_uint_fast64_t watched_since;

void entry_begin(struct entry *entry, struct instance *instance)
{
        entry->previous = current;
        current = instance;
        if (!watched || entry->previous)
                return;
        entry->since = clock_now();
        atomic_store_explicit(&watched_since, entry->since, memory_order_relaxed);
        atomic_store_explicit(&watched_instance, instance, memory_order_release);
}

void entry_end(struct entry *entry, struct instance *instance)
{
        uint64_t ns;

        current = entry->previous;
        if (!watched || entry->previous)
                return;
        atomic_store_explicit(&watched_instance, NULL, memory_order_release);
        ns = clock_now() - entry->since;
        if (ns > SLOW_NS) {
                const struct log_field fields[] = {
                        { "BRICK", instance->conf->name, strlen(instance->conf->name) },
                        { "MESSAGE_ID", LOG_ID_BRICK_SLOW, strlen(LOG_ID_BRICK_SLOW) },
                };

                log_fields(LOG_LEVEL_WARNING, fields, ELEMENTSOF(fields),
                           "Brick '%s' held the polling thread for %u ms: every other call waited. "
                           "Its module should do long work on a thread of its own or be a blocking "
                           "brick.",
                           instance->conf->name, (unsigned)(ns / NSEC_PER_MSEC));
        }
}

const char *entry_current(void)
{
        return current ? current->conf->name : NULL;
}

void entry_watch_thread(void)
{
        watched = true;
}

const char *entry_stuck(uint64_t *ret_since)
{
        struct instance *instance = atomic_load_explicit(&watched_instance, memory_order_acquire);

        if (!instance)
                return NULL;
        *ret_since = atomic_load_explicit(&watched_since, memory_order_relaxed);
        return instance->conf->name;
}

void entry_guard_stack(void)
{
        const stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof signal_stack };

        (void)sigaltstack(&stack, NULL);
}
