/* SPDX-License-Identifier: MIT */
#pragma once

struct program;

/* Starts the process, by brickd-exec, with its pipes and its notify socket. Sets its pid. */
int program_spawn(struct program *program);
