/* SPDX-License-Identifier: MIT */
#include "queue.h"

#include <errno.h>
#include <stdlib.h>

static void place(struct queue *queue, size_t index, struct queue_entry *entry)
{
        queue->heap[index] = entry;
        entry->index = index;
}

static void sift_up(struct queue *queue, size_t index, struct queue_entry *entry)
{
        for (size_t parent; index > 0; index = parent) {
                parent = (index - 1) / 2;
                if (queue->heap[parent]->due <= entry->due)
                        break;
                place(queue, index, queue->heap[parent]);
        }
        place(queue, index, entry);
}

static void sift_down(struct queue *queue, size_t index, struct queue_entry *entry)
{
        for (size_t child; (child = 2 * index + 1) < queue->n; index = child) {
                if (child + 1 < queue->n && queue->heap[child + 1]->due < queue->heap[child]->due)
                        child++;
                if (entry->due <= queue->heap[child]->due)
                        break;
                place(queue, index, queue->heap[child]);
        }
        place(queue, index, entry);
}

int queue_add(struct queue *queue, struct queue_entry *entry)
{
        size_t capacity = queue->capacity > 0 ? 2 * queue->capacity : 64;
        struct queue_entry **heap;

        if (queue->n == queue->capacity) {
                heap = reallocarray(queue->heap, capacity, sizeof *heap);
                if (!heap)
                        return -ENOMEM;
                queue->heap = heap;
                queue->capacity = capacity;
        }
        sift_up(queue, queue->n++, entry);
        return 0;
}

void queue_remove(struct queue *queue, struct queue_entry *entry)
{
        struct queue_entry *last = queue->heap[--queue->n];

        if (last == entry)
                return;
        if (last->due < entry->due)
                sift_up(queue, entry->index, last);
        else
                sift_down(queue, entry->index, last);
}

struct queue_entry *queue_first(const struct queue *queue)
{
        return queue->n > 0 ? queue->heap[0] : NULL;
}

void queue_done(struct queue *queue)
{
        free(queue->heap);
}
