/* SPDX-License-Identifier: MIT */
#pragma once

struct program;

/* $BRICKD_EXEC, or the installed brickd-exec. */
const char *program_spawn_executable(void);

/* Starts the process, by brickd-exec, with its pipes and its notify socket. Sets its pid. */
int program_spawn(struct program *program);
