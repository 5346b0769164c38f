/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * `brickd --check`: one worker builds everything that the file asks for, and exits. Prints the
 * result to stdout, or the mistakes to stderr; gives the exit status.
 */
int check_file(const char *name);
