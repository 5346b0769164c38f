/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "shared/memfd.h"
#include "shared/state.h"

/* A brick is stored as its index plus 1: the memory begins as zeros, and 0 is none. */
struct memory {
        /* written by the worker */
        _Atomic uint32_t bricks[STATE_BRICKS];
        _Atomic uint64_t held; /* high 32 bits: the brick; low 32 bits: its calls */
        _Atomic uint32_t ready;
        _Atomic uint32_t answer;
        _Atomic uint32_t connections;
        _Atomic uint32_t in_flight;

        /* written by the main process */
        _Atomic uint64_t grace;
        _Atomic uint32_t orders;
        _Atomic uint32_t question;
        _Atomic uint32_t quota_row;
        _Atomic uint64_t explain_key[2];
        _Atomic uint8_t log_levels[]; /* first of the log as a whole, then of each brick */
};

struct state {
        struct memory *memory;
        size_t size;
        size_t n_bricks;
};

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2 &&
                       ATOMIC_CHAR_LOCK_FREE == 2,
               "processes and signal handlers share these atomics");

int state_create(size_t n_bricks)
{
        return memfd_share("brickd-state", offsetof(struct memory, log_levels) + 1 + n_bricks);
}

int state_open(struct state **ret, int fd)
{
        _cleanup_free_ struct state *state = calloc(1, sizeof *state);
        struct stat st;
        void *p;
        int r;

        if (!state)
                return -ENOMEM;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size <= (off_t)offsetof(struct memory, log_levels))
                return -EINVAL;
        state->size = (size_t)st.st_size;
        state->n_bricks = state->size - offsetof(struct memory, log_levels) - 1;
        r = memfd_map(&p, fd, state->size);
        if (r < 0)
                return r;
        state->memory = p;
        *ret = TAKE_PTR(state);
        return 0;
}

struct state *state_free(struct state *state)
{
        if (!state)
                return NULL;
        (void)munmap(state->memory, state->size);
        free(state);
        return NULL;
}

static ssize_t checked(const struct state *state, uint32_t brick)
{
        return brick <= state->n_bricks ? (ssize_t)brick - 1 : -1;
}

/* --- what the worker reports -------------------------------------------------------------------
 */

void state_set_brick(struct state *state, enum state_brick what, ssize_t brick)
{
        atomic_store(&state->memory->bricks[what], (uint32_t)(brick + 1));
}

void state_set_held(struct state *state, ssize_t brick, unsigned calls)
{
        atomic_store(&state->memory->held, (uint64_t)(uint32_t)(brick + 1) << 32 | calls);
}

void state_set_ready(struct state *state)
{
        atomic_store(&state->memory->ready, 1);
}

void state_answer(struct state *state, uint32_t question, unsigned connections, unsigned in_flight)
{
        atomic_store(&state->memory->connections, connections);
        atomic_store(&state->memory->in_flight, in_flight);
        atomic_store(&state->memory->answer, question);
}

ssize_t state_get_brick(const struct state *state, enum state_brick what)
{
        return checked(state, atomic_load(&state->memory->bricks[what]));
}

ssize_t state_get_held(const struct state *state, unsigned *ret_calls)
{
        uint64_t held = atomic_load(&state->memory->held);

        *ret_calls = (unsigned)(held & UINT32_MAX);
        return checked(state, (uint32_t)(held >> 32));
}

bool state_is_ready(const struct state *state)
{
        return atomic_load(&state->memory->ready) == 1;
}

uint32_t state_get_answer(const struct state *state, unsigned *ret_connections,
                          unsigned *ret_in_flight)
{
        uint32_t answer = atomic_load(&state->memory->answer);

        *ret_connections = atomic_load(&state->memory->connections);
        *ret_in_flight = atomic_load(&state->memory->in_flight);
        return answer;
}

/* --- what the main process orders --------------------------------------------------------------
 */

void state_order(struct state *state, enum state_order order, uint64_t grace)
{
        if (order == STATE_STOP)
                atomic_store(&state->memory->grace, grace);
        (void)atomic_fetch_or(&state->memory->orders, (uint32_t)order);
}

void state_ask(struct state *state, uint32_t question)
{
        atomic_store(&state->memory->question, question);
}

void state_set_log_level(struct state *state, ssize_t brick, enum log_level level)
{
        if (brick < (ssize_t)state->n_bricks)
                atomic_store(&state->memory->log_levels[brick + 1], (uint8_t)level);
}

void state_set_quota_row(struct state *state, uint32_t row)
{
        atomic_store(&state->memory->quota_row, row);
}

void state_set_explain_key(struct state *state, const struct explain_key *key)
{
        atomic_store(&state->memory->explain_key[0], key->words[0]);
        atomic_store(&state->memory->explain_key[1], key->words[1]);
}

unsigned state_get_orders(const struct state *state)
{
        return atomic_load(&state->memory->orders);
}

uint64_t state_get_grace(const struct state *state)
{
        return atomic_load(&state->memory->grace);
}

uint32_t state_get_question(const struct state *state)
{
        return atomic_load(&state->memory->question);
}

int state_get_log_level(const struct state *state, ssize_t brick)
{
        int level = brick < (ssize_t)state->n_bricks
                            ? atomic_load(&state->memory->log_levels[brick + 1])
                            : 0;

        return level >= LOG_LEVEL_ERROR && level <= LOG_LEVEL_DEBUG ? level : 0;
}

uint32_t state_get_quota_row(const struct state *state)
{
        return atomic_load(&state->memory->quota_row);
}

struct explain_key state_get_explain_key(const struct state *state)
{
        return (struct explain_key){ { atomic_load(&state->memory->explain_key[0]),
                                       atomic_load(&state->memory->explain_key[1]) } };
}

void explain_key_print(const struct explain_key *key, char text[EXPLAIN_KEY_LENGTH + 1])
{
        (void)snprintf(text, EXPLAIN_KEY_LENGTH + 1, "%016" PRIx64 "%016" PRIx64, key->words[0],
                       key->words[1]);
}
