/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>

/*
 * Prints text that somebody else may have written. On a terminal, what it could obey (see
 * utf8_is_control()) becomes visible, except for line breaks and tabs, and so does what is not
 * UTF-8; elsewhere it is printed as it is.
 */
void terminal_put(FILE *f, const char *text);
