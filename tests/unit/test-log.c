/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/log-format.h"
#include "util/log.h"

#define THREADS 8
#define LINES 300 /* of each: fewer bytes than the queue holds, so that none may be dropped */
#define ROUNDS 20

/* What a reader makes of stderr while a test runs. */
struct capture {
        int saved_stderr;
        int read_fd;
        pthread_t reader;
        char *text;
        size_t length;
};

static void *capture_read(void *user)
{
        struct capture *capture = user;
        size_t size = 0;
        ssize_t n;

        do {
                if (size - capture->length < 65536) {
                        size = size * 2 + 65537;
                        capture->text = realloc(capture->text, size);
                        assert(capture->text);
                }
                n = read(capture->read_fd, capture->text + capture->length,
                         size - capture->length - 1);
                assert(n >= 0);
                capture->length += (size_t)n;
        } while (n > 0);
        capture->text[capture->length] = '\0';
        return NULL;
}

static void capture_redirect(struct capture *capture)
{
        int fds[2];

        *capture = (struct capture){ .saved_stderr = dup(STDERR_FILENO) };
        assert(capture->saved_stderr >= 0);
        assert(pipe2(fds, O_CLOEXEC) == 0);
        assert(dup2(fds[1], STDERR_FILENO) == STDERR_FILENO);
        assert(close(fds[1]) == 0);
        capture->read_fd = fds[0];
}

static void capture_start_reader(struct capture *capture)
{
        assert(pthread_create(&capture->reader, NULL, capture_read, capture) == 0);
}

static void capture_start(struct capture *capture)
{
        capture_redirect(capture);
        capture_start_reader(capture);
}

/* Gives stderr back; capture->text then has all that was written. */
static void capture_end(struct capture *capture)
{
        assert(dup2(capture->saved_stderr, STDERR_FILENO) == STDERR_FILENO);
        assert(close(capture->saved_stderr) == 0);
        assert(pthread_join(capture->reader, NULL) == 0);
        assert(close(capture->read_fd) == 0);
}

static struct log_field field(const char *name, const char *value)
{
        return (struct log_field){ name, value, strlen(value) };
}

/* The part of a text line after its time, whose form is checked here. */
static const char *after_time(const char *line)
{
        static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ ";

        for (const char *f = form; *f; f++, line++)
                assert(*f == 'd' ? *line >= '0' && *line <= '9' : *line == *f);
        return line;
}

static void assert_text(const char *text, const char *expected)
{
        const char *line = after_time(text);

        if (strcmp(line, expected) != 0) {
                printf("expected: %s\ngot:      %s\n", expected, line);
                abort();
        }
}

static void test_levels(void)
{
        assert(log_level_from_string("error") == LOG_LEVEL_ERROR);
        assert(log_level_from_string("debug") == LOG_LEVEL_DEBUG);
        assert(log_level_from_string("loud") < 0);
        assert(log_level_from_string("") < 0);
        for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++)
                assert(log_level_from_string(log_level_to_string(level)) == level);

        assert(log_get_level() == LOG_LEVEL_INFO);
        assert(log_enabled(LOG_LEVEL_INFO) && !log_enabled(LOG_LEVEL_DEBUG));
        log_set_level(LOG_LEVEL_ERROR);
        assert(log_enabled(LOG_LEVEL_ERROR) && !log_enabled(LOG_LEVEL_WARNING));
        log_set_level(LOG_LEVEL_INFO);
}

/* Before log_open() the caller itself writes, at once. */
static void test_closed(void)
{
        struct capture capture;

        capture_start(&capture);
        errno = ENOENT;
        log_info("hello %d", 7);
        assert(errno == ENOENT);
        log_debug("not shown");
        capture_end(&capture);
        assert_text(capture.text, "info hello 7\n");
        free(capture.text);
}

static void test_errno(void)
{
        struct capture capture;

        capture_start(&capture);
        errno = 0;
        assert(log_errno(-EACCES, "Failed to open %s: %m", "x") == -EACCES);
        assert(errno == 0);
        capture_end(&capture);
        assert_text(capture.text, "error Failed to open x: Permission denied\n");
        free(capture.text);
}

static void log_one(enum log_target target, const struct log_field *fields, size_t n,
                    const char *message, struct capture *capture)
{
        capture_start(capture);
        assert(log_open(target, LOG_LEVEL_INFO) == 0);
        log_fields(LOG_LEVEL_NOTICE, fields, n, "%s", message);
        log_close();
        capture_end(capture);
}

static void test_text(void)
{
        struct log_field fields[] = {
                field("BRICK", "shield"),
                field("MESSAGE_ID", LOG_ID_ACCESS),
                field("CLIENT_ID", ""),
                field("PEER", "a \"b\" \\c"),
                field("DETAIL", "x\nerror forged"),
                field("BYTES", "\xff\xc3\xa9"),
        };
        struct capture capture;

        log_one(LOG_TARGET_TEXT, fields, ELEMENTSOF(fields),
                "na\xc3\xafve\r\n\x1b[31m\xc2\x9b \xed\xa0\x80", &capture);
        assert_text(capture.text, "notice na\xc3\xafve\\x0d\\n\\x1b[31m\\xc2\\x9b \\xed\\xa0\\x80"
                                  " brick=shield client_id=\"\" peer=\"a \\\"b\\\" \\\\c\""
                                  " detail=\"x\\nerror forged\" bytes=\\xff\xc3\xa9\n");
        free(capture.text);
}

static void test_json(void)
{
        struct log_field fields[] = {
                field("MESSAGE_ID", LOG_ID_ACCESS),
                field("BRICK", "say \"hi\"\\"),
        };
        struct capture capture;
        const char *rest;

        log_one(LOG_TARGET_JSON, fields, ELEMENTSOF(fields), "\xe4\xbd\xa0\xe5\xa5\xbd\t\x01\xff!",
                &capture);
        assert(strncmp(capture.text, "{\"time\":\"", 9) == 0);
        rest = strstr(capture.text, "\",\"level\"");
        assert(rest);
        assert(strcmp(rest, "\",\"level\":\"notice\""
                            ",\"message\":\"\xe4\xbd\xa0\xe5\xa5\xbd\\u0009\\u0001\\ufffd!\""
                            ",\"message_id\":\"" LOG_ID_ACCESS "\""
                            ",\"brick\":\"say \\\"hi\\\"\\\\\"}\n") == 0);
        free(capture.text);
}

/* Lines and fields are cut, between characters, and every expansion of every byte still fits. */
static void test_limits(void)
{
        static char message[4096], value[20000];
        struct log_field fields[100];
        struct capture capture;

        memset(message, 'm', sizeof message - 1);
        memset(value, '\x01', sizeof value);
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                fields[i] = (struct log_field){ "F", value, i == 0 ? 0 : sizeof value / 3 };

        for (enum log_target target = LOG_TARGET_TEXT; target <= LOG_TARGET_JSON; target++) {
                log_one(target, fields, ELEMENTSOF(fields), message, &capture);
                assert(capture.text[capture.length - 1] == '\n');
                assert(memchr(capture.text, '\n', capture.length) ==
                       capture.text + capture.length - 1);
                assert(capture.length > 20000);
                free(capture.text);
        }

        for (size_t i = 0; i + 2 < sizeof value; i += 3)
                memcpy(value + i, "\xe4\xbd\xa0", 3);
        fields[0] = (struct log_field){ "F", value, sizeof value };
        log_one(LOG_TARGET_TEXT, fields, 1, "x", &capture);
        assert(!strchr(capture.text, '\\'));
        assert(capture.length > 8000 && capture.length < 8400);
        free(capture.text);
}

struct sum {
        double a, b;
        pthread_t caller;
};

static void render_sum(const void *parts, struct log_line *line)
{
        const struct sum *sum = parts;
        const char *name = (const char *)(sum + 1), *value = line->out.next;

        assert((uintptr_t)parts % _Alignof(max_align_t) == 0);
        assert((pthread_equal(sum->caller, pthread_self()) != 0) == (name[0] == 'c'));
        out_number(&line->out, (uint64_t)(sum->a + sum->b));
        line->fields[line->n++] = (struct log_field){ "SUM", value,
                                                      (size_t)(line->out.next - value) };
        line->fields[line->n++] = field("OF", name);
        line->message = name;
        line->length = strlen(name);
}

static void log_sum(double a, double b, const char *name)
{
        struct sum sum = { a, b, pthread_self() };
        const struct iovec parts[] = {
                { &sum, sizeof sum },
                { (void *)name, 3 },
                { (void *)(name + 3), strlen(name + 3) + 1 },
        };

        log_later(LOG_LEVEL_INFO, render_sum, parts, ELEMENTSOF(parts));
}

/* The parts are copied at once, the line is made by the thread, or by the caller while there is
 * none. */
static void test_later(void)
{
        static char large[LOG_LATER_MAX];
        char name[] = "thread";
        struct capture capture;

        capture_start(&capture);
        log_sum(1, 2, "caller");
        memset(large, 'c', sizeof large - 1);
        log_sum(0, 0, large); /* too much */
        capture_end(&capture);
        assert_text(capture.text, "info caller sum=3 of=caller\n");
        free(capture.text);

        capture_start(&capture);
        assert(log_open(LOG_TARGET_TEXT, LOG_LEVEL_INFO) == 0);
        log_sum(40, 2, name);
        memset(name, 'x', sizeof name - 1);
        log_close();
        capture_end(&capture);
        assert_text(capture.text, "info thread sum=42 of=thread\n");
        free(capture.text);
}

static void *log_lines(void *user)
{
        const char *name = user;
        struct log_field fields[] = { field("BRICK", name) };

        for (int i = 0; i < LINES; i++)
                log_fields(LOG_LEVEL_INFO, fields, 1, "line %s %d", name, i);
        return NULL;
}

/* Every line of every thread arrives once, each thread's in its order. */
static void test_threads(void)
{
        static char names[THREADS][16];
        int next[THREADS] = { 0 };
        pthread_t threads[THREADS];
        struct capture capture;
        size_t lines = 0;

        capture_start(&capture);
        assert(log_open(LOG_TARGET_TEXT, LOG_LEVEL_INFO) == 0);
        assert(log_open(LOG_TARGET_TEXT, LOG_LEVEL_INFO) == -EBUSY);
        for (int i = 0; i < THREADS; i++) {
                snprintf(names[i], sizeof names[i], "%d", i);
                assert(pthread_create(&threads[i], NULL, log_lines, names[i]) == 0);
        }
        for (int i = 0; i < THREADS; i++)
                assert(pthread_join(threads[i], NULL) == 0);
        log_close();
        capture_end(&capture);

        for (char *line = capture.text, *end; *line; line = end + 1) {
                int thread, number, brick;

                end = strchr(line, '\n');
                assert(end);
                assert(sscanf(after_time(line), "info line %d %d brick=%d", &thread, &number,
                              &brick) == 3);
                assert(thread == brick && thread < THREADS);
                assert(number == next[thread]++);
                lines++;
        }
        assert(log_dropped() == 0);
        assert(lines == (size_t)THREADS * LINES);
        free(capture.text);
}

/* Nobody reads: callers go on, what does not fit is counted, and the count is told when it can be.
 */
static void test_dropped(void)
{
        struct capture capture;
        unsigned long long told = 0, sum = 0;
        size_t lines = 0, errors = 0, total = 40000;

        capture_redirect(&capture);
        assert(log_open(LOG_TARGET_TEXT, LOG_LEVEL_INFO) == 0);
        for (size_t i = 0; i < total; i++)
                log_info("%zu", i);
        assert(log_dropped() > 0);
        log_error("not drowned");

        capture_start_reader(&capture);
        log_close();
        capture_end(&capture);

        for (char *line = capture.text, *end; *line; line = end + 1) {
                end = strchr(line, '\n');
                assert(end);
                if (sscanf(after_time(line), "warning %llu lines dropped", &told) == 1)
                        sum += told;
                else if (strncmp(after_time(line), "error not drowned", 17) == 0)
                        errors++;
                else
                        lines++;
        }
        assert(sum == log_dropped());
        assert(lines + sum == total);
        assert(errors == 1);
        free(capture.text);
}

/* Runs last: nobody ever reads, and log_close() still comes back. */
static void test_stuck(void)
{
        struct timespec before, after;
        struct capture capture;
        uint64_t dropped;

        capture_redirect(&capture);
        assert(log_open(LOG_TARGET_TEXT, LOG_LEVEL_INFO) == 0);
        for (int i = 0; i < 20000; i++)
                log_info("%d", i);
        assert(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
        log_close();
        assert(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
        assert(after.tv_sec - before.tv_sec <= 2);
        dropped = log_dropped();
        log_info("to nobody");
        assert(log_dropped() == dropped + 1);
        assert(log_open(LOG_TARGET_TEXT, LOG_LEVEL_INFO) == -EBUSY);
}

/* Texts for the journal are UTF-8, too. */
static void test_journal(void)
{
        static char texts[LOG_FORMATTED_MAX];
        const struct log_line line = {
                .message = "a\xff", .length = 2, .n = 1, .fields = { { "BRICK", "\xc3", 1 } }
        };
        struct iovec items[LOG_ITEMS_MAX];
        size_t n = log_format_items(LOG_LEVEL_ERROR, &line, items, texts);

        assert(n == 4);
        assert(items[0].iov_len == 12 &&
               memcmp(items[0].iov_base, "MESSAGE=a\xef\xbf\xbd", 12) == 0);
        assert(items[3].iov_len == 9 && memcmp(items[3].iov_base, "BRICK=\xef\xbf\xbd", 9) == 0);
}

int main(void)
{
        test_journal();
        test_levels();
        test_closed();
        test_errno();
        test_text();
        test_json();
        test_limits();
        test_later();
        for (int i = 0; i < ROUNDS; i++)
                test_threads();
        test_dropped();
        test_stuck();
        return 0;
}
