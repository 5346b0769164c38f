/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The names of calls. A `struct brick_call *` is not an address. It is a name, which is made when a
 * call is given to a brick and becomes void when the brick has finished the call. The memory of a
 * call is soon used for another one; because of the name, a brick that finishes a call twice never
 * finishes another call, however late it is. A name repeats after 2^32 calls in the same memory.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "brick.h"

struct call;

/* The bits of a name are generation, owner and slot. The owner is the number of the brick, which is
 * in the name so that the log can tell whose it was. */
#define HANDLE_SLOT_BITS (sizeof(uintptr_t) == 8 ? 20 : 16)
#define HANDLE_OWNER_BITS (sizeof(uintptr_t) == 8 ? 12 : 0)
#define HANDLE_SLOTS ((uintptr_t)1 << HANDLE_SLOT_BITS)
#define HANDLE_OWNERS (1u << HANDLE_OWNER_BITS)

struct handle_slot {
        _Atomic uintptr_t name; /* 0: void */
        _Atomic(struct call *) call;
        uintptr_t generation;
        uint32_t next_free;
};

/* Private to the inline function below. */
extern struct handle_slot *handle_slots;

/* Claims a slot for the memory of a call, until handle_release(). 0: there is none left. [any] */
uint32_t handle_claim(struct call *call);
void handle_release(uint32_t slot);

/* Makes a new name for the call of a slot. One thread at a time for a slot. */
struct brick_call *handle_make(uint32_t slot, unsigned owner);

/* Makes the name of the call void. */
void handle_void(uint32_t slot);

/* The call of that name; NULL: the brick has finished it. [any] */
static inline struct call *handle_find(const struct brick_call *handle)
{
        uintptr_t name = (uintptr_t)handle;
        struct handle_slot *slot = &handle_slots[name & (HANDLE_SLOTS - 1)];

        if (atomic_load_explicit(&slot->name, memory_order_acquire) != name)
                return NULL;
        return atomic_load_explicit(&slot->call, memory_order_relaxed);
}

/* The number of the brick for which a name was made. */
static inline unsigned handle_owner(const struct brick_call *handle)
{
        return (unsigned)((uintptr_t)handle >> HANDLE_SLOT_BITS) & (HANDLE_OWNERS - 1);
}
