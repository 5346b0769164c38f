/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Prints a line of --version to stdout: the version of a library that this process runs with, and
 * that of the one it was built with. running: NULL if the library does not tell it.
 */
void version_put_library(const char *name, const char *running, const char *built);

/* Any other line of it. */
void version_put(const char *name, const char *value);
