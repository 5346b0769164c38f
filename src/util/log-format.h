/* SPDX-License-Identifier: MIT */
#pragma once

/* Formats a line of the log for stderr and for the journal. */

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/log.h"

/* A line with LOG_TEXT_MAX bytes of texts fits into LOG_FORMATTED_MAX bytes. */
#define LOG_TEXT_MAX 8192U
#define LOG_FORMATTED_MAX (64U * 1024)

/* Write a line with its newline to ret, which has LOG_FORMATTED_MAX bytes, and return its length.
 * time: microseconds since 1970. Control characters are escaped, so that no text can start a new
 * line or control a terminal. */
size_t log_format_text(uint64_t time, enum log_level level, const struct log_line *line, char *ret);
size_t log_format_json(uint64_t time, enum log_level level, const struct log_line *line, char *ret);

/* Makes the items "NAME=value" of a journal entry, with their texts in `texts`, which has
 * LOG_FORMATTED_MAX bytes. Returns the number of items. */
#define LOG_ITEMS_MAX (LOG_FIELDS_MAX + 3)
size_t log_format_items(enum log_level level, const struct log_line *line,
                        struct iovec items[static LOG_ITEMS_MAX], char *texts);
