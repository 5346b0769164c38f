/* SPDX-License-Identifier: MIT */
#pragma once

/* How one line of the log looks on stderr, and as an entry of the journal. */

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/log.h"

/* The most bytes that a formatted line takes whose texts have LOG_TEXT_MAX bytes together. */
#define LOG_TEXT_MAX 8192U
#define LOG_FORMATTED_MAX (64U * 1024)

/* Both write one whole line, with its newline, to LOG_FORMATTED_MAX bytes, and return its length.
 * time: microseconds since 1970. Nothing in it can end the line early or reach a terminal as a
 * control sequence. */
size_t log_format_text(uint64_t time, enum log_level level, const struct log_line *line, char *ret);
size_t log_format_json(uint64_t time, enum log_level level, const struct log_line *line, char *ret);

/* As journald takes it: "NAME=value" each, with their texts in LOG_FORMATTED_MAX bytes. Returns how
 * many there are. */
#define LOG_ITEMS_MAX (LOG_FIELDS_MAX + 3)
size_t log_format_items(enum log_level level, const struct log_line *line,
                        struct iovec items[static LOG_ITEMS_MAX], char *texts);
