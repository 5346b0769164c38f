/* SPDX-License-Identifier: MIT */
#pragma once

/* Notices changes of the files that a program is made of, by their size and time. */

#include <stdint.h>

/* A number for the file; 0: there is no such file. */
uint64_t source_of_file(const char *path);

/*
 * A number for all files whose names end with `suffix` in the folder and in the folders below it,
 * except hidden ones and links to folders. Only the first SOURCE_FILES_MAX entries count.
 */
#define SOURCE_FILES_MAX 20000
uint64_t source_of_folder(const char *path, const char *suffix);
