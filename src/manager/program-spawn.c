/* SPDX-License-Identifier: MIT */
#include "manager/program-spawn.h"

#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "manager/program-notify.h"
#include "manager/program.h"
#include "manager/spawn.h"
#include "util/clock.h"

#define OWN_ARGUMENTS 16 /* of brickd-exec, at most */
#define OWN_VARIABLES 5

const char *program_spawn_executable(void)
{
        const char *override = getenv("BRICKD_EXEC");

        return override && *override ? override : BRICKD_LIBEXEC_DIR "/brickd-exec";
}

static size_t count(char *const *list)
{
        size_t n = 0;

        while (list[n])
                n++;
        return n;
}

struct command { /* the arguments of brickd-exec, and the texts that they are made of */
        char **argv;
        size_t n;
        char parent[16];
        char memory[24];
        char processes[16];
        char files[16];
};

static void add(struct command *c, const char *option, char *value)
{
        c->argv[c->n++] = (char *)option;
        c->argv[c->n++] = value;
}

static int make_command(struct command *c, const struct process_spec *spec)
{
        c->argv = calloc(OWN_ARGUMENTS + count(spec->argv) + 1, sizeof *c->argv);
        if (!c->argv)
                return -ENOMEM;
        (void)snprintf(c->parent, sizeof c->parent, "%d", getpid());
        (void)snprintf(c->memory, sizeof c->memory, "%" PRId64, spec->memory);
        (void)snprintf(c->processes, sizeof c->processes, "%u", spec->processes);
        (void)snprintf(c->files, sizeof c->files, "%u", spec->files);
        c->argv[c->n++] = (char *)"brickd-exec";
        add(c, "--parent", c->parent);
        add(c, "--directory", spec->directory);
        if (spec->user)
                add(c, "--user", spec->user);
        if (spec->memory > 0)
                add(c, "--memory", c->memory);
        if (spec->processes > 0)
                add(c, "--processes", c->processes);
        if (spec->files > 0)
                add(c, "--files", c->files);
        c->argv[c->n++] = (char *)"--";
        memcpy(c->argv + c->n, spec->argv, count(spec->argv) * sizeof *c->argv);
        return 0;
}

struct variables {
        char **list;
        char socket[PROGRAM_SOCKET_MAX + 16];
        char notify[PROGRAM_SOCKET_MAX + 16];
        char grace[48];
        char watchdog[48];
};

static int make_variables(struct variables *v, const struct program *p)
{
        const struct process_spec *spec = p->settings.spec;
        size_t n = count(spec->environment);

        v->list = calloc(n + OWN_VARIABLES, sizeof *v->list);
        if (!v->list)
                return -ENOMEM;
        memcpy(v->list, spec->environment, n * sizeof *v->list);
        (void)snprintf(v->socket, sizeof v->socket, "BRICKD_SOCKET=%s", p->socket);
        (void)snprintf(v->notify, sizeof v->notify, "NOTIFY_SOCKET=%s", p->notify);
        (void)snprintf(v->grace, sizeof v->grace, "BRICKD_GRACE=%g",
                       (double)spec->grace / NSEC_PER_SEC);
        (void)snprintf(v->watchdog, sizeof v->watchdog, "WATCHDOG_USEC=%" PRIu64,
                       (uint64_t)spec->hang_timeout / NSEC_PER_USEC);
        v->list[n++] = v->socket;
        v->list[n++] = v->notify;
        v->list[n++] = v->grace;
        if (spec->hang_timeout > 0)
                v->list[n++] = v->watchdog;
        return 0;
}

static int execute(struct program *p, char **argv, char **variables, int out, int error)
{
        _cleanup_(posix_spawn_file_actions_destroy) posix_spawn_file_actions_t actions;
        _cleanup_(posix_spawnattr_destroy) posix_spawnattr_t attributes;
        int r;

        (void)posix_spawn_file_actions_init(&actions);
        (void)posix_spawnattr_init(&attributes);
        r = -posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = -posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        if (r == 0)
                r = -posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO);
        if (r == 0)
                r = -posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
        if (r == 0)
                r = spawn_set_attributes(&attributes);
        if (r == 0)
                r = -posix_spawn(&p->pid, program_spawn_executable(), &actions, &attributes, argv,
                                 variables);
        if (r < 0)
                p->pid = 0;
        return r;
}

int program_spawn(struct program *p)
{
        _cleanup_close_ int out = -EBADF, error = -EBADF;
        struct command command = {};
        struct variables variables = {};
        int r;

        (void)unlink(p->socket);
        r = program_listen(p);
        if (r == 0)
                r = capture_open(&p->capture, &out, &error);
        if (r == 0)
                r = make_command(&command, p->settings.spec);
        if (r == 0)
                r = make_variables(&variables, p);
        if (r == 0)
                r = execute(p, command.argv, variables.list, out, error);
        if (r == 0)
                capture_begin(&p->capture, p->pid);
        else
                program_listen_end(p);
        free(command.argv);
        free(variables.list);
        return r;
}
