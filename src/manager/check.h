/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * `brickd --check`: a worker builds everything that the file asks for, and goes. Says the result on
 * stdout or stderr; gives the exit status.
 */
int check_file(const char *name);
