/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>

#include "config.h"
#include "manager/spawn.h"
#include "shared/channel.h"
#include "shared/memfd.h"
#include "shared/stats.h"
#include "util/cleanup.h"

struct fds { /* ours, to be closed */
        int *fd;
        size_t n;
};

static void fds_done(struct fds *fds)
{
        for (size_t i = 0; i < fds->n; i++)
                (void)close_fd(fds->fd[i]);
        free(fds->fd);
}

const char *spawn_executable(void)
{
        const char *override = getenv("BRICKD_WORKER");

        return override && *override ? override : BRICKD_LIBEXEC_DIR "/brickd-worker";
}

/* A copy above every number that the worker expects, so that no copy below overwrites another. */
static int fds_lift(struct fds *fds, int fd, int lowest)
{
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, lowest);

        if (copy < 0)
                return -errno;
        fds->fd[fds->n++] = copy;
        return 0;
}

static int fds_collect(struct fds *fds, int channel, int config, int counters, int identities,
                       const struct spawn *spawn)
{
        int lowest = CHANNEL_FD_LISTEN + (int)spawn->n_sockets;
        int r;

        fds->fd = calloc((size_t)lowest, sizeof *fds->fd);
        if (!fds->fd)
                return -ENOMEM;
        r = fds_lift(fds, channel, lowest);
        if (r == 0)
                r = fds_lift(fds, config, lowest);
        if (r == 0)
                r = fds_lift(fds, counters, lowest);
        if (r == 0)
                r = fds_lift(fds, identities, lowest);
        if (r == 0)
                r = fds_lift(fds, spawn->quota, lowest);
        if (r == 0)
                r = fds_lift(fds, spawn->balance, lowest);
        for (size_t i = 0; r == 0 && i < spawn->n_sockets; i++)
                r = fds_lift(fds, spawn->sockets[i], lowest);
        return r;
}

static int place_fds(posix_spawn_file_actions_t *actions, const struct fds *fds)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < fds->n; i++)
                r = posix_spawn_file_actions_adddup2(actions, fds->fd[i],
                                                     CHANNEL_FD_CONTROL + (int)i);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(actions,
                                                             CHANNEL_FD_CONTROL + (int)fds->n);
        return -r;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
        sigset_t none, all;
        int r;

        (void)sigemptyset(&none);
        (void)sigfillset(&all);
        r = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                         POSIX_SPAWN_SETPGROUP);
        if (r == 0)
                r = posix_spawnattr_setsigmask(attributes, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setpgroup(attributes, 0);
        return -r;
}

static int execute(const struct spawn *spawn, const struct fds *fds, pid_t *ret_pid)
{
        _cleanup_(posix_spawn_file_actions_destroy) posix_spawn_file_actions_t actions;
        _cleanup_(posix_spawnattr_destroy) posix_spawnattr_t attributes;
        char channel[16], generation[16], worker[16];
        char *argv[] = {
                (char *)"brickd-worker",
                (char *)"--channel",
                channel,
                (char *)"--name",
                (char *)spawn->name,
                (char *)"--generation",
                generation,
                (char *)"--worker",
                worker,
                spawn->check ? (char *)"--check" : NULL,
                NULL,
        };
        int r;

        (void)snprintf(channel, sizeof channel, "%d", CHANNEL_VERSION);
        (void)snprintf(generation, sizeof generation, "%u", spawn->generation);
        (void)snprintf(worker, sizeof worker, "%u", spawn->worker);
        (void)posix_spawn_file_actions_init(&actions);
        (void)posix_spawnattr_init(&attributes);
        r = place_fds(&actions, fds);
        if (r == 0)
                r = set_attributes(&attributes);
        if (r == 0)
                r = -posix_spawn(ret_pid, spawn_executable(), &actions, &attributes, argv, environ);
        return r;
}

int spawn_worker(const struct spawn *spawn, pid_t *ret_pid, int *ret_channel,
                 struct stats **ret_stats)
{
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF, config = -EBADF, counters = -EBADF;
        _cleanup_close_ int identities = -EBADF;
        _cleanup_(stats_freep) struct stats *stats = NULL;
        _cleanup_(fds_done) struct fds fds = {};
        int pair[2];
        int r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        /* One per worker, not one for all: its file position is shared with whoever else has it. */
        config = memfd_new("brickd-config", spawn->bytes, spawn->length);
        if (config < 0)
                return config;
        counters = stats_create(spawn->n_bricks, spawn->n_sockets);
        if (counters < 0)
                return counters;
        r = stats_open(&stats, counters, spawn->n_bricks, spawn->n_sockets);
        if (r < 0)
                return r;
        identities = memfd_new("brickd-identities", spawn->identities, spawn->identities_length);
        if (identities < 0)
                return identities;
        r = fds_collect(&fds, theirs, config, counters, identities, spawn);
        if (r < 0)
                return r;
        r = execute(spawn, &fds, ret_pid);
        if (r < 0)
                return r;
        *ret_channel = TAKE_FD(ours);
        *ret_stats = TAKE_PTR(stats);
        return 0;
}
