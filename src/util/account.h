/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The account of the memory that calls hold in this process: large requests, and what bricks
 * allocate for calls. Any thread may use it.
 */

#include <stdbool.h>
#include <stddef.h>

/* The most bytes of the account. Until this is called there is no limit. */
void account_limit(size_t bytes);

/*
 * Takes bytes for one that holds so many already. False: they do not fit. One may hold four times
 * what is left then, so the largest are refused first and there is always something left for the
 * small. Where nothing is held yet, any number fits.
 */
bool account_take(size_t bytes, size_t held);

/* The same without a limit, for what cannot be refused. */
void account_add(size_t bytes);

void account_give(size_t bytes);

/* Bytes that are held. */
size_t account_held(void);
