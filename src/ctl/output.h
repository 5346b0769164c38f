/* SPDX-License-Identifier: MIT */
#pragma once

/* What brickctl prints: JSON for programs; trees, tables and plain text for people. */

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

/* Whether colours suit the stream: a terminal, and neither NO_COLOR nor a dumb one. */
bool output_wants_colour(FILE *f);

/* For all that follows, on any stream. Off until this is called. */
void output_set_colour(bool on);

/* The escape sequence, or "" without colours. COLOUR_NONE ends a colour. */
const char *output_colour(enum colour colour);

/* One line without characters that a terminal could obey, and numbers in the shortest form that
 * reads back the same. */
void output_json(FILE *f, const json_t *json);

/* "key: value" lines, nested by indentation. */
void output_tree(FILE *f, const json_t *json);

/* Text from a peer, as terminal_put() prints it. */
void output_text(FILE *f, const char *text);

#define OUTPUT_COLUMNS_MAX 8

/* Rows of cells, the first of them the heads; columns whose cells are all numbers go right. */
void output_table(FILE *f, const char *const *cells, size_t columns, size_t rows);

/* "3 h 12 min", in the two largest units that matter. */
void output_duration(uint64_t seconds, char *buffer, size_t size);
