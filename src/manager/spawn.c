/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>

#include "config.h"
#include "manager/sockets.h"
#include "manager/spawn.h"
#include "shared/channel.h"
#include "shared/memfd.h"
#include "shared/state.h"
#include "shared/stats.h"
#include "util/cleanup.h"

struct fds { /* copies of the descriptors to pass, closed with fds_done() */
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

/* Adds a copy of fd above all numbers that the worker gets, so that placing one of them does not
 * overwrite another. */
static int fds_lift(struct fds *fds, int fd, int lowest)
{
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, lowest);

        if (copy < 0)
                return -errno;
        fds->fd[fds->n++] = copy;
        return 0;
}

/* In the order of CHANNEL_FD_*. */
static int fds_collect(struct fds *fds, int channel, int config, int state, int stats,
                       const struct spawn *spawn)
{
        const int first[] = { channel,           config,       state,          stats,
                              spawn->identities, spawn->quota, spawn->balance, spawn->programs };
        int lowest = CHANNEL_FD_LISTEN + (int)spawn->sockets->n_ports;
        int r = 0;

        _Static_assert(ELEMENTSOF(first) == CHANNEL_FD_LISTEN - CHANNEL_FD_CONTROL,
                       "one for each number");
        fds->fd = calloc((size_t)lowest, sizeof *fds->fd);
        if (!fds->fd)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(first); i++)
                r = fds_lift(fds, first[i], lowest);
        for (size_t i = 0; r == 0 && i < spawn->sockets->n_ports; i++)
                r = fds_lift(fds, spawn->sockets->ports[i]->fd, lowest);
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

int spawn_set_attributes(posix_spawnattr_t *attributes)
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
                r = spawn_set_attributes(&attributes);
        if (r == 0)
                r = -posix_spawn(ret_pid, spawn_executable(), &actions, &attributes, argv, environ);
        return r;
}

static int share_state(const struct spawn *spawn, int *ret_fd, struct state **ret)
{
        _cleanup_close_ int fd = state_create(spawn->n_bricks);
        int r;

        if (fd < 0)
                return fd;
        r = state_open(ret, fd);
        if (r < 0)
                return r;
        state_set_quota_row(*ret, spawn->quota_row);
        state_set_explain_key(*ret, &spawn->explain_key);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int share_stats(const struct spawn *spawn, int *ret_fd, struct stats **ret)
{
        _cleanup_close_ int fd = stats_create(spawn->n_bricks, spawn->sockets->n_ports);
        int r;

        if (fd < 0)
                return fd;
        r = stats_open(ret, fd, spawn->n_bricks, spawn->sockets->n_ports);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int spawn_worker(const struct spawn *spawn, pid_t *ret_pid, int *ret_channel,
                 struct state **ret_state, struct stats **ret_stats)
{
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF, config = -EBADF;
        _cleanup_close_ int state_fd = -EBADF, stats_fd = -EBADF;
        _cleanup_(state_freep) struct state *state = NULL;
        _cleanup_(stats_freep) struct stats *stats = NULL;
        _cleanup_(fds_done) struct fds fds = {};
        int pair[2];
        int r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        /* A memfd of its own: processes with the same one would share its file position. */
        config = memfd_new("brickd-config", spawn->bytes, spawn->length);
        if (config < 0)
                return config;
        r = share_state(spawn, &state_fd, &state);
        if (r < 0)
                return r;
        r = share_stats(spawn, &stats_fd, &stats);
        if (r < 0)
                return r;
        r = fds_collect(&fds, theirs, config, state_fd, stats_fd, spawn);
        if (r < 0)
                return r;
        r = execute(spawn, &fds, ret_pid);
        if (r < 0)
                return r;
        *ret_channel = TAKE_FD(ours);
        *ret_state = TAKE_PTR(state);
        *ret_stats = TAKE_PTR(stats);
        return 0;
}
