/* SPDX-License-Identifier: MIT */
#pragma once

/* Prints JSON for programs, and trees, tables and text for people. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum colour {
        COLOUR_NONE,
        COLOUR_BOLD,
        COLOUR_DIM,
        COLOUR_GOOD,
        COLOUR_BAD,
};

/* True: the stream is a terminal that is not dumb, and $NO_COLOR is not set. */
bool output_wants_colour(FILE *f);

/* Turns colours on or off for all streams. They start off. */
void output_set_colour(bool on);

/* The escape sequence of a colour; "" if colours are off. COLOUR_NONE ends a colour. */
const char *output_colour(enum colour colour);

/* One line without characters that a terminal could obey, and numbers in the shortest form that
 * reads back the same. */
void output_json(FILE *f, const json_t *json);

/* Prints lines of "key: value", with nested values indented. */
void output_tree(FILE *f, const json_t *json);

/* Text from a peer, as terminal_put() prints it. */
void output_text(FILE *f, const char *text);

#define OUTPUT_COLUMNS_MAX 9

/* Prints a table whose first row has the headings. Columns of numbers are right-aligned. */
void output_table(FILE *f, const char *const *cells, size_t columns, size_t rows);

/* Writes "3 h 12 min": the two largest units. */
void output_duration(uint64_t seconds, char *buffer, size_t size);
