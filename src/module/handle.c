/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#include "module/handle.h"

/* Slot 0 belongs to no call, so that no name is NULL. It is also the only one until a call claims
 * its first. */
static struct handle_slot nobody = { .name = UINTPTR_MAX };
struct handle_slot *handle_slots = &nobody;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t used = 1; /* slots below this have been claimed at some time; slot 0 counts */
static uint32_t first_free;

/* Lock held. Maps slots for as many calls as there can be; the kernel gives memory when a slot is
 * used. */
static bool make_slots(void)
{
        void *memory;

        if (handle_slots != &nobody)
                return true;
        memory = mmap(NULL, HANDLE_SLOTS * sizeof(struct handle_slot), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED)
                return false;
        handle_slots = memory;
        atomic_store(&handle_slots[0].name, UINTPTR_MAX);
        return true;
}

/* Lock held. */
static uint32_t take_slot(void)
{
        uint32_t slot = first_free;

        if (slot > 0)
                first_free = handle_slots[slot].next_free;
        else if (used < HANDLE_SLOTS)
                slot = used++;
        return slot;
}

uint32_t handle_claim(struct call *call)
{
        uint32_t slot = 0;

        (void)pthread_mutex_lock(&lock);
        if (make_slots())
                slot = take_slot();
        if (slot > 0)
                atomic_store_explicit(&handle_slots[slot].call, call, memory_order_relaxed);
        (void)pthread_mutex_unlock(&lock);
        return slot;
}

void handle_release(uint32_t slot)
{
        if (slot == 0)
                return;
        handle_void(slot);
        (void)pthread_mutex_lock(&lock);
        handle_slots[slot].next_free = first_free;
        first_free = slot;
        (void)pthread_mutex_unlock(&lock);
}

struct brick_call *handle_make(uint32_t slot, unsigned owner)
{
        struct handle_slot *s = &handle_slots[slot];
        uintptr_t name = s->generation++ << (HANDLE_SLOT_BITS + HANDLE_OWNER_BITS);

        name |= (uintptr_t)(owner & (HANDLE_OWNERS - 1)) << HANDLE_SLOT_BITS | slot;
        atomic_store_explicit(&s->name, name, memory_order_release);
        return (struct brick_call *)name;
}

void handle_void(uint32_t slot)
{
        atomic_store_explicit(&handle_slots[slot].name, 0, memory_order_relaxed);
}
