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

#include "util/log-format.h"
#include "util/utf8.h"

/* Two of them: callers fill one while the writer empties the other. */
#define QUEUE_SIZE (1024U * 1024)
/* For warnings and errors only, so that a flood of lesser lines does not drown them. */
#define QUEUE_RESERVE (QUEUE_SIZE / 8)
#define TEXT_MAX 8192U
#define FIELDS_MAX 32U
#define RECORD_MAX                                                                           \
        (sizeof(struct log_record) + (LOG_ITEM_FIELDS + FIELDS_MAX) * sizeof(struct iovec) + \
         TEXT_MAX + sizeof(max_align_t))
_Static_assert(TEXT_MAX * 6 + FIELDS_MAX * 8 + 256 < LOG_FORMATTED_MAX, "\\u00xx takes six bytes");

/* Lines that come within a millisecond of the first share one wake-up and one write. */
#define GATHER_NSEC 1000000
#define CLOSE_SECONDS 1

struct queue {
        size_t used;
        uint64_t dropped; /* lines that came when it was full */
        _Alignas(max_align_t) char records[QUEUE_SIZE];
};

enum state {
        STATE_CLOSED, /* callers write */
        STATE_OPEN,   /* the thread writes */
        STATE_CLOSING,
        STATE_STUCK, /* the thread did not end: nobody writes */
};

static struct queue queues[2];
static char output[2 * LOG_FORMATTED_MAX]; /* the thread's, or the lock holder's while closed */

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

static const char *const level_items[] = {
        [LOG_LEVEL_ERROR] = "PRIORITY=3",  [LOG_LEVEL_WARNING] = "PRIORITY=4",
        [LOG_LEVEL_NOTICE] = "PRIORITY=5", [LOG_LEVEL_INFO] = "PRIORITY=6",
        [LOG_LEVEL_DEBUG] = "PRIORITY=7",
};

/* Records */

static uint64_t now_usec(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void add_constant(struct log_record *record, const char *item)
{
        record->items[record->n_items++] = (struct iovec){ .iov_base = (void *)item,
                                                           .iov_len = strlen(item) };
}

/* Appends "NAME=value" at *text, or as much of the value as there is room for. */
static void add_item(struct log_record *record, const char *name, const char *value, size_t length,
                     char **text, const char *end)
{
        size_t n_name = strlen(name), room = (size_t)(end - *text);

        if (n_name + 1 >= room)
                return;
        room -= n_name + 1;
        length = utf8_prefix(value, length, room);
        record->items[record->n_items++] = (struct iovec){ .iov_base = *text,
                                                           .iov_len = n_name + 1 + length };
        *text = mempcpy(*text, name, n_name);
        *(*text)++ = '=';
        if (length > 0)
                *text = mempcpy(*text, value, length);
}

/* Makes a record in the RECORD_MAX bytes at `to`. */
static struct log_record *record_make(void *to, enum log_level level, const char *message,
                                      size_t length, const struct log_field *fields, size_t n)
{
        struct log_record *record = to;
        char *text, *end;

        if (n > FIELDS_MAX)
                n = FIELDS_MAX;
        *record = (struct log_record){ .time = now_usec(), .level = level };
        text = (char *)&record->items[LOG_ITEM_FIELDS + n];
        end = text + TEXT_MAX;
        add_item(record, "MESSAGE", message, length, &text, end);
        add_constant(record, level_items[level]);
        add_constant(record, "SYSLOG_IDENTIFIER=brickd");
        for (size_t i = 0; i < n; i++)
                add_item(record, fields[i].name, fields[i].value, fields[i].length, &text, end);
        record->size = (size_t)(text - (char *)record);
        record->size += -record->size % sizeof(max_align_t);
        return record;
}

/* Writing: by the thread, or under the lock while there is none */

/* The main process and its workers have one stderr. Unless it is a file, only what is no longer
 * than PIPE_BUF is sure not to be mixed with what another writes. */
static size_t write_at_once(const char *lines, size_t length)
{
        size_t n = PIPE_BUF;
        struct stat st;

        if (length <= PIPE_BUF || (fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode)))
                return length;
        while (n > 0 && lines[n - 1] != '\n')
                n--;
        if (n == 0) /* one line that is longer */
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
                        return; /* there is nobody left to tell */
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

/* Appends the record to the `used` bytes of output; gives how many there are then. */
static size_t write_record(const struct log_record *record, enum log_target target, size_t used)
{
        if (target == LOG_TARGET_JOURNAL &&
            sd_journal_sendv(record->items, (int)record->n_items) >= 0)
                return used;
        if (used > sizeof output - LOG_FORMATTED_MAX) {
                write_all(output, used);
                used = 0;
        }
        if (target == LOG_TARGET_JSON)
                return used + log_format_json(record, output + used);
        return used + log_format_text(record, output + used);
}

/* Writes what a queue holds, says what it could not hold, and leaves it empty. */
static void write_queue(struct queue *queue, enum log_target target)
{
        size_t used = 0;

        for (size_t i = 0; i < queue->used;) {
                const struct log_record *record = (void *)(queue->records + i);

                used = write_record(record, target, used);
                i += record->size;
        }
        if (queue->dropped > 0) {
                char message[64];
                int n = snprintf(message, sizeof message,
                                 "%llu lines dropped: the log was written too slowly",
                                 (unsigned long long)queue->dropped);

                used = write_record(
                        record_make(queue->records, LOG_LEVEL_WARNING, message, (size_t)n, NULL, 0),
                        target, used);
        }
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

/* Called and returns with the lock held. */
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
        (void)pthread_sigmask(SIG_BLOCK, &all, NULL); /* SIGPIPE, when stderr's reader has gone */

        pthread_mutex_lock(&logger.lock);
        for (;;) {
                enum log_target target = logger.target;
                struct queue *full;

                while (logger.queue->used == 0 && logger.state == STATE_OPEN)
                        pthread_cond_wait(&logger.filled, &logger.lock);
                if (logger.queue->used == 0)
                        break;
                if (logger.state == STATE_OPEN)
                        gather();
                full = swap_queues();
                pthread_mutex_unlock(&logger.lock);
                write_queue(full, target);
                pthread_mutex_lock(&logger.lock);
        }
        pthread_mutex_unlock(&logger.lock);
        return NULL;
}

/* Logging */

static void enqueue(enum log_level level, const char *message, size_t length,
                    const struct log_field *fields, size_t n)
{
        struct queue *queue = logger.queue;
        size_t reserve = RECORD_MAX + (level > LOG_LEVEL_WARNING ? QUEUE_RESERVE : 0);

        if (logger.state == STATE_STUCK || queue->used > sizeof queue->records - reserve) {
                queue->dropped++;
                total_dropped++;
                return;
        }
        if (queue->used == 0)
                pthread_cond_signal(&logger.filled);
        queue->used +=
                record_make(queue->records + queue->used, level, message, length, fields, n)->size;
}

void log_line(enum log_level level, const struct log_field *fields, size_t n, const char *message,
              size_t length)
{
        pthread_mutex_lock(&logger.lock);
        enqueue(level, message, utf8_prefix(message, length, LOG_MESSAGE_MAX), fields, n);
        if (logger.state == STATE_CLOSED)
                write_queue(logger.queue, resolve(logger.target));
        pthread_mutex_unlock(&logger.lock);
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

void log_close(void)
{
        struct timespec limit;
        bool stuck;

        if (logger.state != STATE_OPEN)
                return;
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
                write_queue(logger.queue, logger.target); /* what came after the thread's end */
        pthread_mutex_unlock(&logger.lock);
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

enum log_target log_get_target(void)
{
        enum log_target target;

        pthread_mutex_lock(&logger.lock);
        target = resolve(logger.target);
        pthread_mutex_unlock(&logger.lock);
        return target;
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
