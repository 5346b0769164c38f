/* SPDX-License-Identifier: MIT */
#pragma once

/* How one line of the log looks on stderr. */

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/log.h"

enum { /* places in log_record.items; the caller's fields follow */
       LOG_ITEM_MESSAGE,
       LOG_ITEM_PRIORITY,
       LOG_ITEM_IDENTIFIER,
       LOG_ITEM_FIELDS,
};

/* A line as journald takes it: every item is "NAME=value". */
struct log_record {
        uint64_t time; /* microseconds since 1970 */
        size_t size;   /* of the record and the text its items point to */
        enum log_level level;
        size_t n_items;
        struct iovec items[];
};

/* The most bytes one formatted record takes. */
#define LOG_FORMATTED_MAX (64U * 1024)

/* Both write one whole line, with its newline, to LOG_FORMATTED_MAX bytes, and return its length.
 * Nothing in a record can end the line early or reach a terminal as a control sequence. */
size_t log_format_text(const struct log_record *record, char *ret);
size_t log_format_json(const struct log_record *record, char *ret);
