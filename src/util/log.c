/* SPDX-License-Identifier: MIT */
#include "util/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <time.h>

#include "util/clock.h"
#include "util/journald.h"
#include "util/log-format.h"
#include "util/utf8.h"

/* There are two queues: callers fill one while the writer empties the other. */
#define QUEUE_SIZE (1024U * 1024)
/* The part of a queue that only warnings and errors can use, so that a flood of other lines does
 * not displace them. */
#define QUEUE_RESERVE (QUEUE_SIZE / 8)

/* How long the writer waits after the first line for more, to write them with it in one call. */
#define GATHER_NSEC 1000000
#define CLOSE_SECONDS 1

#define CACHE_LINE 64

struct queue {
        size_t used;
        uint64_t dropped; /* lines dropped because the queue was full */
        _Alignas(max_align_t) char records[QUEUE_SIZE];
};

enum state {
        STATE_CLOSED, /* there is no thread: callers write */
        STATE_OPEN,   /* the thread writes */
        STATE_CLOSING,
        STATE_STUCK, /* the thread did not end in time: nothing is written */
};

static struct queue queues[2];

/* Used by the thread; while there is none, by the holder of the lock. */
static char output[2 * LOG_FORMATTED_MAX];
static struct log_line rendered;
static uint64_t epoch; /* ns since 1970 when clock_now() was 0 */

static struct {
        pthread_mutex_t lock;
        pthread_cond_t filled;
        pthread_t thread;
        enum state state;
        enum log_target target;
        struct queue *queue; /* the one that callers fill */
} logger = {
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .filled = PTHREAD_COND_INITIALIZER,
        .queue = &queues[0],
};

static atomic_int current_level = LOG_LEVEL_INFO;
static atomic_uint_least64_t total_dropped;

static const char *const level_names[] = {
        [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_NOTICE] = "notice",
        [LOG_LEVEL_INFO] = "info",   [LOG_LEVEL_DEBUG] = "debug",
};

/* Records */

/* A line in the queue. */
struct record {
        uint64_t time; /* of clock_now() */
        size_t size;
        enum log_level level;
        log_render *render;
        _Alignas(max_align_t) char parts[];
};

static void record_make(struct record *record, uint64_t time, enum log_level level,
                        log_render *render, const struct iovec *parts, size_t n)
{
        char *end = record->parts;

        record->time = time;
        record->level = level;
        record->render = render;
        for (size_t i = 0; i < n; i++)
                end = mempcpy(end, parts[i].iov_base, parts[i].iov_len);
        record->size = (size_t)(end - (char *)record);
        record->size += -record->size % sizeof(max_align_t);
}

/* The parts of a line whose message and values are complete. The texts follow the last field that
 * is used. */
struct complete {
        size_t length;
        bool block;
        size_t n;
        struct {
                const char *name;
                size_t length;
        } fields[LOG_FIELDS_MAX];
};

#define RECORD_MAX \
        (sizeof(struct record) + sizeof(struct complete) + LOG_TEXT_MAX + sizeof(max_align_t))
_Static_assert(LOG_TEXT_MAX * 6 + LOG_FIELDS_MAX * 8 + 256 < LOG_FORMATTED_MAX,
               "\\u00xx takes six bytes");
_Static_assert(LOG_LATER_MAX < LOG_TEXT_MAX, "or RECORD_MAX is too little");

static void render_complete(const void *parts, struct log_line *line)
{
        const struct complete *complete = parts;
        const char *next = (const char *)&complete->fields[complete->n];

        line->message = next;
        line->length = complete->length;
        line->block = complete->block;
        next += complete->length;
        for (; line->n < complete->n; line->n++) {
                line->fields[line->n] = (struct log_field){
                        complete->fields[line->n].name,
                        next,
                        complete->fields[line->n].length,
                };
                next += complete->fields[line->n].length;
        }
}

#define COMPLETE_PARTS (2 + LOG_FIELDS_MAX)

/* Fills `parts` with a complete line: `complete`, then the texts. Cuts the message and fields at
 * LOG_TEXT_MAX bytes together. Returns the number of parts. */
static size_t complete_parts(struct complete *complete, struct iovec parts[static COMPLETE_PARTS],
                             const char *message, size_t length, const struct log_field *fields,
                             size_t n)
{
        size_t room = LOG_TEXT_MAX - length;

        complete->length = length;
        complete->n = 0;
        parts[1] = (struct iovec){ (void *)message, length };
        for (size_t i = 0; i < n && complete->n < LOG_FIELDS_MAX; i++) {
                size_t name = strlen(fields[i].name) + 1, cut;

                if (name >= room)
                        break;
                room -= name;
                cut = utf8_prefix(fields[i].value, fields[i].length, room);
                room -= cut;
                complete->fields[complete->n].name = fields[i].name;
                complete->fields[complete->n].length = cut;
                parts[2 + complete->n++] = (struct iovec){ (void *)fields[i].value, cut };
        }
        parts[0].iov_base = complete;
        parts[0].iov_len = (size_t)((char *)&complete->fields[complete->n] - (char *)complete);
        return 2 + complete->n;
}

/* Writing: by the thread, or with the lock held while there is none */

/* The main process and its workers share stderr. Unless it is a regular file, only writes of up to
 * PIPE_BUF bytes are atomic. Returns how many bytes to write at once: whole lines. */
static size_t write_at_once(const char *lines, size_t length)
{
        size_t n = PIPE_BUF;
        struct stat st;

        if (length <= PIPE_BUF || (fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode)))
                return length;
        while (n > 0 && lines[n - 1] != '\n')
                n--;
        if (n == 0) /* a single line is longer */
                while (n < length && lines[n++] != '\n')
                        ;
        return n;
}

static void write_all(const char *bytes, size_t length)
{
        size_t done = 0;

        while (done < length) {
                const char *rest = &bytes[done];
                ssize_t n = write(STDERR_FILENO, rest, write_at_once(rest, length - done));

                if (n >= 0) {
                        done += (size_t)n;
                } else if (errno == EAGAIN) {
                        struct pollfd pollfd = { .fd = STDERR_FILENO, .events = POLLOUT };

                        (void)poll(&pollfd, 1, -1);
                } else if (errno != EINTR)
                        return; /* there is nowhere to report it */
        }
}

static bool stderr_is_journal(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static enum log_target resolve(enum log_target target)
{
        if (target != LOG_TARGET_AUTO)
                return target;
        return stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_TEXT;
}

static bool write_to_journal(enum log_level level)
{
        struct iovec items[LOG_ITEMS_MAX];
        size_t n = log_format_items(level, &rendered, items, output);

        return sd_journal_sendv(items, (int)n) >= 0;
}

static void set_epoch(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        epoch = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec - clock_now();
}

static void clear_rendered(void)
{
        rendered.n = rendered.length = 0;
        rendered.block = false;
        rendered.out = (struct out){ rendered.text, rendered.text + sizeof rendered.text };
}

/* Appends the rendered line to output, which holds `used` bytes; returns the new number of bytes.
 */
static size_t write_rendered(uint64_t time, enum log_level level, enum log_target target,
                             size_t used)
{
        uint64_t usec = (epoch + time) / NSEC_PER_USEC;

        if (used > sizeof output - LOG_FORMATTED_MAX ||
            (used > 0 && target == LOG_TARGET_JOURNAL)) {
                write_all(output, used);
                used = 0;
        }
        if (target == LOG_TARGET_JOURNAL && write_to_journal(level))
                return 0;
        if (target == LOG_TARGET_JSON)
                return used + log_format_json(usec, level, &rendered, output + used);
        return used + log_format_text(usec, level, &rendered, output + used);
}

static size_t write_record(const struct record *record, enum log_target target, size_t used)
{
        clear_rendered();
        record->render(record->parts, &rendered);
        return write_rendered(record->time, record->level, target, used);
}

static size_t write_dropped(uint64_t dropped, enum log_target target, size_t used)
{
        clear_rendered();
        rendered.message = rendered.text;
        out_number(&rendered.out, dropped);
        out_string(&rendered.out, " lines dropped: the log could not be written fast enough");
        rendered.length = (size_t)(rendered.out.next - rendered.text);
        return write_rendered(clock_now(), LOG_LEVEL_WARNING, target, used);
}

/* Writes the lines of a queue and the number of dropped lines, and empties the queue. */
static void write_queue(struct queue *queue, enum log_target target)
{
        size_t used = 0;

        set_epoch();
        for (size_t i = 0; i < queue->used;) {
                const struct record *record = (void *)(queue->records + i);

                used = write_record(record, target, used);
                i += record->size;
        }
        if (queue->dropped > 0)
                used = write_dropped(queue->dropped, target, used);
        write_all(output, used);
        queue->used = 0;
        queue->dropped = 0;
}

static struct queue *swap_queues(void)
{
        struct queue *full = logger.queue;

        logger.queue = full == &queues[0] ? &queues[1] : &queues[0];
        return full;
}

/* Waits for more lines. Called with the lock held, which it releases meanwhile. */
static void gather(void)
{
        struct timespec nap = { .tv_nsec = GATHER_NSEC };

        pthread_mutex_unlock(&logger.lock);
        (void)nanosleep(&nap, NULL);
        pthread_mutex_lock(&logger.lock);
}

static void *writer(void *unused)
{
        sigset_t all;

        sigfillset(&all);
        (void)pthread_sigmask(SIG_BLOCK, &all,
                              NULL); /* also SIGPIPE, if the reader of stderr has exited */

        pthread_mutex_lock(&logger.lock);
        for (;;) {
                enum log_target target;
                struct queue *full;

                while (logger.queue->used == 0 && logger.state == STATE_OPEN)
                        pthread_cond_wait(&logger.filled, &logger.lock);
                if (logger.queue->used == 0)
                        break;
                if (logger.state == STATE_OPEN)
                        gather();
                full = swap_queues();
                target = logger.target;
                pthread_mutex_unlock(&logger.lock);
                write_queue(full, target);
                pthread_mutex_lock(&logger.lock);
        }
        pthread_mutex_unlock(&logger.lock);
        return NULL;
}

/* Logging */

/* Lock held. Room for a record of up to RECORD_MAX bytes; NULL: it is dropped. */
static struct record *queue_room(enum log_level level)
{
        struct queue *queue = logger.queue;
        size_t reserve = RECORD_MAX + (level > LOG_LEVEL_WARNING ? QUEUE_RESERVE : 0);

        if (logger.state == STATE_STUCK || queue->used > sizeof queue->records - reserve) {
                queue->dropped++;
                total_dropped++;
                return NULL;
        }
        if (queue->used == 0)
                pthread_cond_signal(&logger.filled);
        return (void *)(queue->records + queue->used);
}

/*
 * Lock held. The cache lines of the next record belong to the processor of the writer, which has
 * read them. Unlocking would wait for stores to them, so prefetch them now for the next line.
 */
#ifdef __x86_64__
__attribute__((target("prfchw")))
#endif
static void
queue_add(const struct record *record)
{
        const char *next = (const char *)record + record->size;

        for (size_t i = 0; i < record->size + CACHE_LINE; i += CACHE_LINE)
                __builtin_prefetch(next + i, 1);
        logger.queue->used += record->size;
        if (logger.state == STATE_CLOSED)
                write_queue(logger.queue, resolve(logger.target));
}

static void enqueue(uint64_t time, enum log_level level, log_render *render,
                    const struct iovec *parts, size_t n)
{
        struct record *record;

        pthread_mutex_lock(&logger.lock);
        record = queue_room(level);
        if (record) {
                record_make(record, time, level, render, parts, n);
                queue_add(record);
        }
        pthread_mutex_unlock(&logger.lock);
}

void log_line(enum log_level level, const struct log_field *fields, size_t n, const char *message,
              size_t length)
{
        struct iovec parts[COMPLETE_PARTS];
        struct complete complete = { .block = false };

        length = utf8_prefix(message, length, LOG_MESSAGE_MAX);
        n = complete_parts(&complete, parts, message, length, fields, n);
        enqueue(clock_now(), level, render_complete, parts, n);
}

void log_block(enum log_level level, const struct log_field *fields, size_t n, const char *message)
{
        size_t length = utf8_prefix(message, strlen(message), LOG_BLOCK_MAX);
        struct iovec parts[COMPLETE_PARTS];
        struct complete complete = { .block = true };

        if (!log_enabled(level))
                return;
        n = complete_parts(&complete, parts, message, length, fields, n);
        enqueue(clock_now(), level, render_complete, parts, n);
}

static size_t size_of(const struct iovec *parts, size_t n)
{
        size_t size = 0;

        for (size_t i = 0; i < n; i++)
                size += parts[i].iov_len;
        return size;
}

void log_later(enum log_level level, log_render *render, const struct iovec *parts, size_t n)
{
        if (size_of(parts, n) <= LOG_LATER_MAX)
                enqueue(clock_recent(), level, render, parts, n);
}

void log_fieldsv(enum log_level level, const struct log_field *fields, size_t n, const char *format,
                 va_list args)
{
        char message[LOG_MESSAGE_MAX + 1];
        int saved_errno = errno;
        size_t length;
        int r;

        if (!log_enabled(level))
                return;
        r = vsnprintf(message, sizeof message, format, args);
        length = r < 0 ? 0 : (size_t)r < sizeof message ? (size_t)r : sizeof message - 1;
        log_line(level, fields, n, message, length);
        errno = saved_errno;
}

void log_fields(enum log_level level, const struct log_field *fields, size_t n, const char *format,
                ...)
{
        va_list args;

        va_start(args, format);
        log_fieldsv(level, fields, n, format, args);
        va_end(args);
}

int log_errno(int r, const char *format, ...)
{
        int saved_errno = errno;
        va_list args;

        errno = -r;
        va_start(args, format);
        log_fieldsv(LOG_LEVEL_ERROR, NULL, 0, format, args);
        va_end(args);
        errno = saved_errno;
        return r;
}

uint64_t log_dropped(void)
{
        return total_dropped;
}

/* Opening and closing */

int log_open(enum log_target target, enum log_level level)
{
        int r;

        log_set_level(level);
        pthread_mutex_lock(&logger.lock);
        if (logger.state != STATE_CLOSED)
                r = EBUSY;
        else {
                logger.target = resolve(target);
                r = pthread_create(&logger.thread, NULL, writer, NULL);
        }
        if (r == 0)
                logger.state = STATE_OPEN;
        pthread_mutex_unlock(&logger.lock);
        return -r;
}

void log_set_target(enum log_target target)
{
        pthread_mutex_lock(&logger.lock);
        logger.target = resolve(target);
        pthread_mutex_unlock(&logger.lock);
}

static void close_writer(void)
{
        struct timespec limit;
        bool stuck;

        pthread_mutex_lock(&logger.lock);
        logger.state = STATE_CLOSING;
        pthread_cond_signal(&logger.filled);
        pthread_mutex_unlock(&logger.lock);

        (void)clock_gettime(CLOCK_REALTIME, &limit);
        limit.tv_sec += CLOSE_SECONDS;
        stuck = pthread_timedjoin_np(logger.thread, NULL, &limit) != 0;
        if (stuck)
                (void)pthread_detach(logger.thread);

        pthread_mutex_lock(&logger.lock);
        logger.state = stuck ? STATE_STUCK : STATE_CLOSED;
        if (!stuck)
                write_queue(logger.queue,
                            logger.target); /* lines logged after the thread has ended */
        pthread_mutex_unlock(&logger.lock);
}

void log_close(void)
{
        uint64_t deadline = clock_now() + CLOSE_SECONDS * NSEC_PER_SEC;

        if (logger.state == STATE_OPEN)
                close_writer();
        if (logger.state == STATE_CLOSED && resolve(logger.target) == LOG_TARGET_JOURNAL)
                journald_wait(deadline);
}

/* Levels */

void log_set_level(enum log_level level)
{
        atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
        return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
        return level <= log_get_level();
}

int log_level_from_string(const char *s)
{
        for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++)
                if (strcmp(s, level_names[level]) == 0)
                        return level;
        return -EINVAL;
}

const char *log_level_to_string(enum log_level level)
{
        return level_names[level];
}
