/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/capture.h"
#include "util/cleanup.h"
#include "util/log.h"

/* What a process writes, and the lines that the log then has. */

static const int level;
static FILE *sink;

struct fixture {
        sd_event *event;
        struct capture capture;
        int out, error;
};

static struct fixture *begin(void)
{
        struct fixture *f = calloc(1, sizeof *f);

        assert(f);
        assert(sd_event_new(&f->event) >= 0);
        assert(capture_init(&f->capture, f->event, "pii", &level) == 0);
        assert(capture_open(&f->capture, &f->out, &f->error) == 0);
        capture_begin(&f->capture, 42);
        assert(ftruncate(fileno(sink), 0) == 0);
        assert(lseek(fileno(sink), 0, SEEK_SET) == 0);
        return f;
}

static void say(int fd, const char *text)
{
        assert(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void run(struct fixture *f)
{
        while (sd_event_run(f->event, 0) > 0)
                ;
}

/* Ends the capture; what the log got, for free(). */
static char *end(struct fixture *f)
{
        char *text;
        ssize_t n;

        capture_end(&f->capture);
        text = calloc(1, 1 << 20);
        assert(text);
        n = pread(fileno(sink), text, (1 << 20) - 1, 0);
        assert(n >= 0);
        (void)close(f->out);
        (void)close(f->error);
        return text;
}

static void finish(struct fixture *f)
{
        capture_done(&f->capture);
        sd_event_unref(f->event);
        free(f);
}

static unsigned count(const char *text, const char *what)
{
        unsigned n = 0;

        while ((text = strstr(text, what))) {
                text++;
                n++;
        }
        return n;
}

static void test_lines(void)
{
        struct fixture *f = begin();
        _cleanup_free_ char *log = NULL;

        say(f->out, "one\ntw");
        run(f);
        say(f->out, "o\n\n<3>an error\n<9>no level\ttab\xff\n");
        say(f->error, "last words\nwithout an end");
        log = end(f);
        assert(strstr(log, " info one brick=pii brick_pid=42\n"));
        assert(strstr(log, " info two brick"));
        assert(strstr(log, " error an error brick"));
        assert(strstr(log, " info <9>no level tab? brick"));
        assert(strstr(log, " info without an end brick"));
        assert(count(log, "\n") == 6);
        assert(strcmp(capture_last_words(&f->capture), "without an end") == 0);
        finish(f);
}

/* What a program says of its errors comes before the rest of what it says. */
static void test_last_words_have_a_level(void)
{
        struct fixture *f = begin();
        _cleanup_free_ char *log = NULL;

        say(f->out, "before\n");
        say(f->error, "<3>it broke\n<5>a notice\n<7>details\n");
        log = end(f);
        assert(count(log, "\n") == 3);
        assert(strcmp(capture_last_words(&f->capture), "it broke") == 0);
        finish(f);
}

/* A long line becomes pieces: the log has lines of 2 KiB, the capture of 4 KiB. */
static void test_long_line(void)
{
        struct fixture *f = begin();
        _cleanup_free_ char *log = NULL, *line = malloc(10000);

        assert(line);
        memset(line, 'x', 9999);
        line[9999] = '\0';
        say(f->out, line);
        log = end(f);
        assert(count(log, " info xxx") == 5);
        assert(count(log, "x") == 9999);
        assert(strlen(capture_last_words(&f->capture)) == CAPTURE_LAST_MAX);
        finish(f);
}

/* More than the limit is counted, and what writes never waits. */
static void test_flood(void)
{
        enum { LINES = 100000 };
        struct fixture *f = begin();
        _cleanup_free_ char *log = NULL;
        char line[32];
        unsigned dropped;

        (void)fcntl(f->out, F_SETFL, O_NONBLOCK);
        for (unsigned i = 0; i < LINES; i++) {
                int n = snprintf(line, sizeof line, "line %u\n", i);

                if (i % 1000 == 0)
                        run(f);
                assert(write(f->out, line, (size_t)n) == n);
        }
        log = end(f);
        dropped = (unsigned)f->capture.total;
        assert(dropped > LINES / 2);
        assert(count(log, " info line ") == LINES - dropped);
        assert(strstr(log, "more lines were not logged brick=pii"));
        assert(strcmp(capture_last_words(&f->capture), "line 99999") == 0);
        finish(f);
}

/* A child that lives on with the pipe does not keep the end waiting. */
static void test_pipe_stays_open(void)
{
        struct fixture *f = begin();
        _cleanup_free_ char *log = NULL;
        int copy = dup(f->out);

        assert(copy >= 0);
        say(f->out, "before\n");
        log = end(f);
        assert(strstr(log, " info before "));
        (void)close(copy);
        finish(f);
}

int main(void)
{
        sink = tmpfile();
        assert(sink);
        /* Without log_open() the caller itself writes each line to stderr. */
        assert(dup2(fileno(sink), STDERR_FILENO) == STDERR_FILENO);
        test_lines();
        test_last_words_have_a_level();
        test_long_line();
        test_flood();
        test_pipe_stays_open();
        return 0;
}
