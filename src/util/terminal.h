/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdio.h>

/*
 * Prints text from an untrusted source. If the file is a terminal, control characters (see
 * utf8_is_control()) other than line breaks and tabs are printed in a visible form, and so are
 * bytes that are not UTF-8. Otherwise the text is printed as it is.
 */
void terminal_put(FILE *f, const char *text);

/* Writes what stdout still buffers. False: not all could be written, as on a full disk; stderr says
 * so. */
bool terminal_flush(void);
