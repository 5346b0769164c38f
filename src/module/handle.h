/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a brick holds of a call: `struct brick_call *` is no address but a name, made anew each
 * time that a call is given to a brick, and void once the brick has finished it. The memory of a
 * call is soon used for another; with a name, a brick that finishes a call twice, however late,
 * meets nobody else's call. A name comes again after 2^32 calls in the same memory.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "brick.h"

struct call;

/* A name: generation, owner, slot. The owner is the number of the brick, for messages. */
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

/* A slot for the memory of a call, which keeps it until handle_release(). 0: there is none left.
 * [any] */
uint32_t handle_claim(struct call *call);
void handle_release(uint32_t slot);

/* The call gets a new name. Its slot's owner at a time. */
struct brick_call *handle_make(uint32_t slot, unsigned owner);

/* The name means nothing any more. */
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

/* The number of the brick that a name was made for. */
static inline unsigned handle_owner(const struct brick_call *handle)
{
        return (unsigned)((uintptr_t)handle >> HANDLE_SLOT_BITS) & (HANDLE_OWNERS - 1);
}
