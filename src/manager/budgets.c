/* SPDX-License-Identifier: MIT */
#include "manager/budgets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "conf/conf.h"
#include "manager/identities.h"
#include "manager/journal.h"
#include "manager/manager.h"
#include "util/clock.h"
#include "util/io.h"
#include "util/log.h"
#include "util/trust.h"

#define FILE_NAME "budgets"
#define NEW_NAME "budgets.new"
#define INTERVAL_USEC (NSEC_PER_SEC / NSEC_PER_USEC)

struct budgets {
        struct manager *manager;
        sd_event_source *timer;
        bool loaded;
        int failure; /* errno of the last attempt to write, which has been logged; 0: it was good */
        size_t length;
        char written[JOURNAL_MAX]; /* what the file says */
        char text[JOURNAL_MAX];
};

static struct quota *quota_of(const struct budgets *budgets)
{
        return processes_quota(budgets->manager->processes);
}

/* --- reading -----------------------------------------------------------------------------------
 */

/* Returns r, which must be negative. */
static int fail(int r, const char *path, const char *why, char **ret_why)
{
        return asprintf(ret_why, "%s: %s", path, why) < 0 ? -ENOMEM : r;
}

/* Neither a FIFO nor a link in place of the file holds us up or leads us elsewhere. */
static int open_file(const char *path, char **ret_why)
{
        const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW;
        _cleanup_close_ int fd = open(path, flags);
        struct stat st;
        int r;

        if (fd < 0 && errno == ENOENT)
                return -ENOENT;
        if (fd < 0 && errno == ELOOP)
                return fail(-EINVAL, path, "is a symbolic link", ret_why);
        if (fd < 0 || fstat(fd, &st) < 0)
                return fail(-errno, path, strerror(errno), ret_why);
        if (!S_ISREG(st.st_mode))
                return fail(-EINVAL, path, "is not a regular file", ret_why);
        if (st.st_size > (off_t)JOURNAL_MAX)
                return fail(-EINVAL, path, "is too large", ret_why);
        r = trust_file(&st, path, path, ret_why);
        return r < 0 ? r : TAKE_FD(fd);
}

static void restore(struct budgets *budgets, const struct journal *journal)
{
        for (size_t i = 0; i < journal->n; i++)
                quota_set_used(quota_of(budgets), quota_key(journal->entries[i].name),
                               journal->entries[i].used);
}

/* On an error *ret_why says what is wrong; NULL: memory is short, or there is no file. */
static int load(struct budgets *budgets, const char *path, char **ret_why)
{
        _cleanup_close_ int fd = open_file(path, ret_why);
        struct journal journal;
        unsigned line;
        const char *why;
        ssize_t length;
        int r;

        if (fd < 0)
                return fd;
        length = io_read(fd, budgets->text, sizeof budgets->text);
        if (length < 0)
                return fail((int)length, path, strerror((int)-length), ret_why);
        r = journal_parse(&journal, budgets->text, (size_t)length, &line, &why);
        if (r == -EINVAL)
                return asprintf(ret_why, "%s:%u: %s", path, line, why) < 0 ? -ENOMEM : r;
        if (r < 0)
                return r;
        restore(budgets, &journal);
        free(journal.entries);
        return 0;
}

void budgets_load(struct budgets *budgets, const struct generation *g)
{
        _cleanup_free_ char *path = NULL, *why = NULL;
        int r;

        if (budgets->loaded || !g->conf || !g->conf->state || !g->identities)
                return;
        budgets->loaded = true;
        if (asprintf(&path, "%s/" FILE_NAME, g->conf->state) < 0) {
                path = NULL;
                return;
        }
        r = load(budgets, path, &why);
        if (r < 0 && r != -ENOENT)
                log_warning("%s; the token budgets of identities start anew",
                            why ? why : strerror(-r));
}

/* --- writing -----------------------------------------------------------------------------------
 */

/* systemd makes the directory; without it, brickd does. */
static int open_directory(const char *path)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT && mkdir(path, 0750) == 0)
                fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int create(int directory)
{
        const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
        int fd = openat(directory, NEW_NAME, flags, 0600);

        if (fd < 0 && errno == EEXIST && unlinkat(directory, NEW_NAME, 0) == 0)
                fd = openat(directory, NEW_NAME, flags, 0600);
        return fd < 0 ? -errno : fd;
}

static int replace(const char *path, const char *bytes, size_t length, bool sync)
{
        _cleanup_close_ int directory = open_directory(path), fd = -EBADF;
        int r;

        if (directory < 0)
                return directory;
        fd = create(directory);
        if (fd < 0)
                return fd;
        r = io_write(fd, bytes, length);
        if (r < 0)
                return r;
        if ((sync && fsync(fd) < 0) || renameat(directory, NEW_NAME, directory, FILE_NAME) < 0 ||
            (sync && fsync(directory) < 0))
                return -errno;
        return 0;
}

/* What has been used in windows that have not ended. */
static int collect(const struct budgets *budgets, const struct identity_limits *list, size_t n,
                   struct journal *ret)
{
        int64_t now = time(NULL);
        uint64_t reserved;

        *ret = (struct journal){ .entries = calloc(n + 1, sizeof *ret->entries) };
        if (!ret->entries)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                struct journal_entry *entry = &ret->entries[ret->n];

                quota_get_used(quota_of(budgets), quota_key(list[i].name), now, entry->used,
                               &reserved);
                if (entry->used[WINDOW_MONTH].tokens == 0)
                        continue; /* nor in the shorter windows, which are parts of it */
                memcpy(entry->name, list[i].name, sizeof entry->name);
                ret->n++;
        }
        return 0;
}

static void tell(struct budgets *budgets, const char *directory, int r)
{
        if (r < 0 && r != budgets->failure)
                log_warning("Cannot write %s/" FILE_NAME ": %s; what identities have used of their "
                            "token budgets is forgotten when brickd ends",
                            directory, strerror(-r));
        budgets->failure = r;
}

static bool has_any(const struct identity_limits *list, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (list[i].has_budget)
                        return true;
        return false;
}

static void save(struct budgets *budgets, bool finally)
{
        const struct generation *g = budgets->manager->current;
        const struct identity_limits *list;
        struct journal journal;
        size_t n, length;
        int r;

        if (!g || !g->conf->state)
                return;
        list = identities_limits(g->identities, &n);
        if (!has_any(list, n) || collect(budgets, list, n, &journal) < 0)
                return;
        length = journal_print(&journal, budgets->text);
        free(journal.entries);
        if (!finally && length == budgets->length &&
            memcmp(budgets->text, budgets->written, length) == 0)
                return;
        r = replace(g->conf->state, budgets->text, length, finally);
        tell(budgets, g->conf->state, r);
        if (r < 0)
                return;
        memcpy(budgets->written, budgets->text, length);
        budgets->length = length;
}

void budgets_finish(struct budgets *budgets)
{
        save(budgets, true);
}

/* --- its life ----------------------------------------------------------------------------------
 */

static int on_timer(sd_event_source *timer, uint64_t usec, void *user)
{
        save(user, false);
        (void)sd_event_source_set_time_relative(timer, INTERVAL_USEC);
        return sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

/* Without identities nothing wakes the main process. */
void budgets_watch(struct budgets *budgets)
{
        /* The generation may have another directory, without a file or with an old one. */
        budgets->length = 0;
        budgets->failure = 0;
        if (!budgets->manager->current->identities)
                budgets->timer = sd_event_source_disable_unref(budgets->timer);
        else if (!budgets->timer)
                (void)sd_event_add_time_relative(budgets->manager->event, &budgets->timer,
                                                 CLOCK_MONOTONIC, 0, 0, on_timer, budgets);
}

int budgets_new(struct budgets **ret, struct manager *manager)
{
        struct budgets *budgets = calloc(1, sizeof *budgets);

        if (!budgets)
                return -ENOMEM;
        budgets->manager = manager;
        *ret = budgets;
        return 0;
}

struct budgets *budgets_free(struct budgets *budgets)
{
        if (!budgets)
                return NULL;
        sd_event_source_disable_unref(budgets->timer);
        free(budgets);
        return NULL;
}
