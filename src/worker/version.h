/* SPDX-License-Identifier: MIT */
#pragma once

/* brickd-worker --version: prints the rest of `brickd --version`. Gives the exit status. */
int worker_version(void);
