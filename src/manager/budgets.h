/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Keeps what identities have used of their token budgets over restarts, in the file "budgets" of
 * the state directory. It is read once, and written again within a second of a change or a
 * reload, under another name which then replaces the file, so that it is always whole. It is
 * synchronized with the disk only when brickd ends: a slow disk must not hold up the main process.
 * A crash of brickd loses what was used in the last second; one of the machine may lose more.
 *
 * A file that is damaged or not trusted is a warning, and the budgets start anew.
 */

#include "util/cleanup.h"

struct budgets;
struct generation;
struct manager;

/* The manager must outlive it; its event loop is needed only for budgets_watch(). */
int budgets_new(struct budgets **ret, struct manager *manager);
struct budgets *budgets_free(struct budgets *budgets);
DEFINE_CLEANUP(struct budgets *, budgets_free);

/* A generation will start: reads the file if this is the first one with identities. */
void budgets_load(struct budgets *budgets, const struct generation *g);

/* A generation serves: from now on the file is written when it has to be. */
void budgets_watch(struct budgets *budgets);

/* brickd ends, and its last generation is still there: writes the file for the last time. */
void budgets_finish(struct budgets *budgets);
