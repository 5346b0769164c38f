/* SPDX-License-Identifier: MIT */
#pragma once

/* Checks that only root and the user of brickd can change a file. */

#include <sys/stat.h>

/*
 * Checks an open file. st: its fstat(); given: the name it was opened by; real: the realpath() of
 * that name. Also checks the directories of both names, where a user with write access could
 * replace the file. 0; -ENOMEM; -EPERM or another negative errno: *ret_why is a message that starts
 * with a path, for free().
 */
int trust_file(const struct stat *st, const char *given, const char *real, char **ret_why);
