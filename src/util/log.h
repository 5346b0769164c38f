/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The log: native journal entries under systemd, otherwise lines on stderr.
 *
 * A writer thread takes the lines from a bounded ring, so that logging never blocks. If the ring is
 * full, lines are dropped and counted, and the log says how many. The last part of the ring is
 * reserved for warnings and errors. All functions but log_open() and log_close() are thread-safe.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/out.h"

enum log_level { /* syslog's numbers */
                 LOG_LEVEL_ERROR = 3,
                 LOG_LEVEL_WARNING,
                 LOG_LEVEL_NOTICE,
                 LOG_LEVEL_INFO,
                 LOG_LEVEL_DEBUG,
};

enum log_target {
        LOG_TARGET_AUTO, /* the journal if stderr is connected to it ($JOURNAL_STREAM), otherwise
                            text */
        LOG_TARGET_JOURNAL,
        LOG_TARGET_TEXT, /* "<time> <level> <message> key=value ..." on stderr */
        LOG_TARGET_JSON, /* one JSON object per line on stderr */
};

/* A journal field. The name is upper case ("BRICK") and must stay valid for ever. */
struct log_field {
        const char *name;
        const char *value;
        size_t length;
};

/* Starts the writer thread; until then callers write their lines themselves. Block signals first:
 * the thread inherits the mask. 0 or a negative errno. */
int log_open(enum log_target target, enum log_level level);

/* Changes the target, also for the lines that are still in the ring. Never waits for the writer. */
void log_set_target(enum log_target target);

/* Writes the queued lines, stops the thread, and waits until journald has processed them: for at
 * most one second in all. */
void log_close(void);

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
bool log_enabled(enum log_level level);

/* A longer message is cut. So are a message and its fields that have more than 8 KiB together. */
#define LOG_MESSAGE_MAX 2048
void log_fields(enum log_level level, const struct log_field *fields, size_t n, const char *format,
                ...) __attribute__((format(printf, 4, 5)));
void log_fieldsv(enum log_level level, const struct log_field *fields, size_t n, const char *format,
                 va_list args) __attribute__((format(printf, 4, 0)));

/*
 * Logs a message of several lines, such as a mistake with the quoted line and a caret below it. The
 * target LOG_TARGET_TEXT prints its lines as they are, without time, level and fields; the others
 * treat it like any message. It is cut at LOG_BLOCK_MAX.
 */
#define LOG_BLOCK_MAX 4096
void log_block(enum log_level level, const struct log_field *fields, size_t n, const char *message);

/* Logs a complete message without comparing its level with that of the log: for callers that have a
 * level of their own. */
void log_line(enum log_level level, const struct log_field *fields, size_t n, const char *message,
              size_t length);

/*
 * Logs a line that the writer thread formats, so that the caller only copies its parts. `render`
 * gets the parts in one piece, aligned for any type. It must not log, nor follow a pointer that may
 * no longer be valid. The time of the line is clock_recent(). Does nothing if the parts have more
 * than LOG_LATER_MAX bytes together.
 */
#define LOG_LATER_MAX 2048
#define LOG_FIELDS_MAX 32
struct log_line {
        struct log_field fields[LOG_FIELDS_MAX];
        size_t n;
        const char *message;
        size_t length;
        bool block;     /* from log_block() */
        struct out out; /* writes to `text`, for a message and values that have no other memory */
        char text[768];
};
typedef void log_render(const void *parts, struct log_line *line);
void log_later(enum log_level level, log_render *render, const struct iovec *parts, size_t n);

#define log_error(...) log_fields(LOG_LEVEL_ERROR, NULL, 0, __VA_ARGS__)
#define log_warning(...) log_fields(LOG_LEVEL_WARNING, NULL, 0, __VA_ARGS__)
#define log_notice(...) log_fields(LOG_LEVEL_NOTICE, NULL, 0, __VA_ARGS__)
#define log_info(...) log_fields(LOG_LEVEL_INFO, NULL, 0, __VA_ARGS__)
#define log_debug(...) log_fields(LOG_LEVEL_DEBUG, NULL, 0, __VA_ARGS__)

/* For `return log_errno(r, "Failed to ...: %m")`: logs an error with errno set to -r, and returns
 * r. */
int log_errno(int r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The number of lines dropped since the start because the ring was full. */
uint64_t log_dropped(void);

/* Convert a level to and from its name in the configuration. -EINVAL: unknown name. */
int log_level_from_string(const char *s);
const char *log_level_to_string(enum log_level level);

/* MESSAGE_ID= of each kind of event: 32 hexadecimal digits. */
#define LOG_ID_READY "ebf3f9d46e60460288e9e59ca44f1962"
#define LOG_ID_CONFIG_ERROR "cb7876ef6a814685bb2cc740fd4b5f1b"
#define LOG_ID_RELOAD_DONE "ec1d8972c45d499993c7474d16ce9cf1"
#define LOG_ID_RELOAD_FAILED "a29299a97d5e4b25b633110ed8fc538b"
#define LOG_ID_WORKER_DIED "26463f8e000340e382f847d45958d0c8"
#define LOG_ID_STOPPING "42b0320194a54ebd88e85a7a4ccda45b"
#define LOG_ID_STOPPED "e11ecc9415d74eacbf58fec89ee9010e"
#define LOG_ID_ACCESS "97def942b4204e32abc325725bf7774c"
#define LOG_ID_CALL_SLOW "96309053999342299cf4f6f5ec3fecd1"
#define LOG_ID_BRICK_SLOW "cbe87d804991485c9870b256245add88"
#define LOG_ID_BRICK_STUCK "a5059bc2cf1e4cb796dc30870e5e64fc"
#define LOG_ID_BRICK_MISUSE "b793d96b9c7f43129f0c2cd6e3216dae"
#define LOG_ID_IDENTITIES "5f0c3b7a9d2e4c18b6a1e07d94f2c35b"
#define LOG_ID_BRICK_HEALTH "0c9d1f6be3a84d54a2a1f7c6d85be93f"
#define LOG_ID_PROCESS_READY "8be7ab9257f740b786d847777ac1f191"
#define LOG_ID_PROCESS_DIED "7d1c3f65562d46638c5b326e4e052fd6"
#define LOG_ID_CERTIFICATE "258563798cfc4ca5b34be302c9510766"
