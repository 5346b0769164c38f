/* SPDX-License-Identifier: MIT */
#include "manager/capture.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/plural.h"
#include "util/utf8.h"

#define PIPE_SIZE (256 << 10) /* bytes: fewer waits for a process that writes much */
#define READ_SIZE (64 << 10)
#define READS_AT_END 64

/* --- lines ------------------------------------------------------------------------------------ */

static void log_text(const struct capture *c, enum log_level level, const char *text, size_t length)
{
        char pid[16];
        const struct log_field fields[] = {
                { "BRICK", c->brick, strlen(c->brick) },
                { "BRICK_PID", pid, (size_t)snprintf(pid, sizeof pid, "%d", c->pid) },
        };

        if ((int)level <= (*c->level ? *c->level : (int)log_get_level()))
                log_line(level, fields, ELEMENTSOF(fields), text, length);
}

static void mention_dropped(struct capture *c)
{
        char text[64];
        int n;

        if (c->dropped == 0)
                return;
        n = snprintf(text, sizeof text, "%" PRIu64 " more line%s were not logged", c->dropped,
                     plural(c->dropped));
        c->dropped = 0;
        log_text(c, LOG_LEVEL_WARNING, text, (size_t)n);
}

static int on_mention(sd_event_source *source, uint64_t usec, void *user)
{
        mention_dropped(user);
        return 0;
}

/* Whether the next line may be logged. Otherwise it is counted. */
static bool within_limit(struct capture *c)
{
        uint64_t second = clock_recent() / NSEC_PER_SEC;

        if (second != c->second) {
                c->second = second;
                c->lines = 0;
        }
        if (c->lines++ < CAPTURE_LINES_PER_SECOND)
                return true;
        if (c->dropped++ == 0) {
                (void)sd_event_source_set_time_relative(c->mention, NSEC_PER_SEC / NSEC_PER_USEC);
                (void)sd_event_source_set_enabled(c->mention, SD_EVENT_ONESHOT);
        }
        c->total++;
        return false;
}

/* Takes "<N>" away from the text. */
static enum log_level level_of(const char **text, size_t *length)
{
        const char *s = *text;
        int level;

        if (*length < 3 || s[0] != '<' || s[1] < '0' || s[1] > '7' || s[2] != '>')
                return LOG_LEVEL_INFO;
        level = s[1] - '0';
        *text += 3;
        *length -= 3;
        return level < LOG_LEVEL_ERROR ? LOG_LEVEL_ERROR : (enum log_level)level;
}

static void keep_last(struct capture_pipe *p, const char *text, size_t length)
{
        length = utf8_prefix(text, length, CAPTURE_LAST_MAX);
        memcpy(p->last, text, length);
        p->last[length] = '\0';
}

static void clean(char *line, size_t length)
{
        for (size_t i = 0; i < length; i++)
                if (line[i] == '\t')
                        line[i] = ' ';
        utf8_clean(line, length);
}

/* Takes the line that has come. */
static void take_line(struct capture_pipe *p)
{
        struct capture *c = p->capture;
        size_t length = p->length;
        char *line = p->line;
        const char *text = line;
        enum log_level level;

        if (length > 0 && line[length - 1] == '\r')
                length--;
        p->length = 0;
        if (length == 0)
                return;
        level = level_of(&text, &length);
        if (level <= LOG_LEVEL_WARNING || text == line)
                keep_last(p, text, length);
        if (!within_limit(c))
                return;
        clean(line + (text - line), length);
        for (size_t n; length > 0; text += n, length -= n) {
                n = utf8_prefix(text, length, LOG_MESSAGE_MAX);
                log_text(c, level, text, n);
        }
}

/* --- pipes ------------------------------------------------------------------------------------ */

/* Adds bytes to the line that has begun; a line that is full is taken. */
static void add_to_line(struct capture_pipe *p, const char *bytes, size_t n)
{
        while (n > 0) {
                size_t room = CAPTURE_LINE_MAX - p->length, part = n < room ? n : room;

                memcpy(p->line + p->length, bytes, part);
                p->length += part;
                bytes += part;
                n -= part;
                if (p->length < CAPTURE_LINE_MAX)
                        return;
                take_line(p);
        }
}

static void take_bytes(struct capture_pipe *p, const char *bytes, size_t n)
{
        while (n > 0) {
                const char *end = memchr(bytes, '\n', n);
                size_t length = end ? (size_t)(end - bytes) : n;

                add_to_line(p, bytes, length);
                if (!end)
                        return;
                take_line(p);
                bytes += length + 1;
                n -= length + 1;
        }
}

/* Reads once; false: there is nothing to read now. */
static bool read_pipe(struct capture_pipe *p)
{
        static char bytes[READ_SIZE]; /* main thread only */
        ssize_t n = read(p->fd, bytes, sizeof bytes);

        if (n > 0) {
                (void)clock_now();
                take_bytes(p, bytes, (size_t)n);
                return true;
        }
        /* At the end the process has closed it, and whoever has it as well. */
        if (n == 0)
                p->io = sd_event_source_disable_unref(p->io);
        return false;
}

static int on_pipe(sd_event_source *source, int fd, uint32_t events, void *user)
{
        (void)read_pipe(user);
        return 0;
}

static int open_pipe(struct capture_pipe *p, int *ret)
{
        _cleanup_close_ int theirs = -EBADF;
        int pair[2];
        int r;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return -errno;
        p->fd = pair[0];
        theirs = pair[1];
        (void)fcntl(p->fd, F_SETFL, O_NONBLOCK);
        (void)fcntl(p->fd, F_SETPIPE_SZ, PIPE_SIZE); /* there may be too many large pipes */
        r = sd_event_add_io(p->capture->event, &p->io, p->fd, EPOLLIN, on_pipe, p);
        if (r < 0)
                return r;
        /* A process that writes without pause must not delay what the main process has to do. */
        r = sd_event_source_set_priority(p->io, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                return r;
        *ret = TAKE_FD(theirs);
        return 0;
}

static void close_pipe(struct capture_pipe *p)
{
        p->io = sd_event_source_disable_unref(p->io);
        p->fd = close_fd(p->fd);
        take_line(p);
        clean(p->last, strlen(p->last));
}

int capture_init(struct capture *capture, sd_event *event, const char *brick, const int *level)
{
        int r;

        capture->event = event;
        capture->brick = brick;
        capture->level = level;
        for (size_t i = 0; i < ELEMENTSOF(capture->pipes); i++) {
                capture->pipes[i].capture = capture;
                capture->pipes[i].fd = -EBADF;
        }
        r = sd_event_add_time(event, &capture->mention, CLOCK_MONOTONIC, 0, 0, on_mention, capture);
        return r < 0 ? r : sd_event_source_set_enabled(capture->mention, SD_EVENT_OFF);
}

void capture_done(struct capture *capture)
{
        capture_end(capture);
        sd_event_source_disable_unref(capture->mention);
}

int capture_open(struct capture *capture, int *ret_out, int *ret_error)
{
        int r;

        r = open_pipe(&capture->pipes[0], ret_out);
        return r < 0 ? r : open_pipe(&capture->pipes[1], ret_error);
}

void capture_begin(struct capture *capture, int pid)
{
        capture->pid = pid;
        capture->pipes[0].last[0] = capture->pipes[1].last[0] = '\0';
}

const char *capture_last_words(const struct capture *capture)
{
        const char *error = capture->pipes[1].last;

        return *error ? error : capture->pipes[0].last;
}

void capture_end(struct capture *capture)
{
        for (size_t i = 0; i < ELEMENTSOF(capture->pipes); i++) {
                struct capture_pipe *p = &capture->pipes[i];

                for (int n = 0; p->io && n < READS_AT_END && read_pipe(p); n++)
                        ;
                close_pipe(p);
        }
        mention_dropped(capture);
        (void)sd_event_source_set_enabled(capture->mention, SD_EVENT_OFF);
}
