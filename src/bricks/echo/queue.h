/* SPDX-License-Identifier: MIT */
#pragma once

/* A priority queue by time: a binary heap whose entries know their index, so that any entry can be
 * removed. Not thread-safe. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue_entry {
        uint64_t due; /* CLOCK_MONOTONIC ns */
        size_t index;
};

struct queue {
        struct queue_entry **heap;
        size_t n, capacity;
};

int queue_add(struct queue *queue, struct queue_entry *entry);
void queue_remove(struct queue *queue, struct queue_entry *entry);

/* The entry that is due first; NULL: the queue is empty. */
struct queue_entry *queue_first(const struct queue *queue);
void queue_done(struct queue *queue);
