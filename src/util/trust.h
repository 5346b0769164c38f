/* SPDX-License-Identifier: MIT */
#pragma once

/* Who may change a file that brickd trusts: root and the user brickd runs as, and nobody else. */

#include <sys/stat.h>

/*
 * Judges a file that is open: st is its fstat(), given the name by which it was opened, real what
 * realpath() makes of that. Judges the directories of both names, too, for who can write there can
 * replace it. 0; -EPERM or another negative errno: *ret_why is a line that begins with a path, for
 * free(); -ENOMEM.
 */
int trust_file(const struct stat *st, const char *given, const char *real, char **ret_why);
