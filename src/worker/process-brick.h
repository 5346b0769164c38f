/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The built-in modules `process` and `python`: bricks that run in processes of their own, which the
 * main process starts and watches. Their calls are relayed to the process with the fewest calls.
 */

#include "brick.h"

struct conf;
struct programs;

/* Says which processes there are. Before the bricks are created; both must outlive them. [main] */
void process_bricks_attach(const struct conf *conf, const struct programs *programs);

/* Reads how the processes are: only those that serve get calls. After client_start(), and whenever
 * the main process has woken this one. [main] */
void process_bricks_update(void);

const struct brick_module *process_brick_module_v1(void);
const struct brick_module *python_brick_module_v1(void);
