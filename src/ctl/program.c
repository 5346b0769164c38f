/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "config.h"
#include "ctl/ctl.h"
#include "ctl/program.h"

/* --describe loads the module, and its code may hang. */
#define DESCRIBE_SECONDS 5

/* A build tree sets a variable to the directory of its own programs. */
static char *program_path(const char *variable, const char *directory, const char *name)
{
        const char *other = getenv(variable);
        char *path;

        return asprintf(&path, "%s/%s", other && *other ? other : directory, name) < 0 ? NULL
                                                                                       : path;
}

static char *brickd_path(void)
{
        return program_path("BRICKD_BIN", BRICKD_BIN_DIR, "brickd");
}

static int become(const char *path, char **argv)
{
        if (!path)
                return ctl_error(EX_OSERR, "Out of memory");
        argv[0] = (char *)path;
        execv(path, argv);

        return ctl_error(EX_UNAVAILABLE, "Failed to run %s: %s", path, strerror(errno));
}

int command_check(struct ctl *ctl)
{
        char *file = ctl->n_arguments > 0 ? ctl->arguments[0] : (char *)ctl->config;
        char *argv[] = { NULL, (char *)"--check", file, NULL };
        _cleanup_free_ char *path = brickd_path();

        return become(path, argv);
}

/* Runs a program of its own for a command, with the command's arguments. */
static int become_command(const struct ctl *ctl, const char *program)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_free_ char **argv = NULL;

        path = program_path("BRICKD_LIBEXEC", BRICKD_LIBEXEC_DIR, program);
        argv = calloc(ctl->n_arguments + 2, sizeof *argv);
        if (!argv)
                return ctl_error(EX_OSERR, "Out of memory");
        memcpy(argv + 1, ctl->arguments, ctl->n_arguments * sizeof *argv);

        return become(path, argv);
}

int command_index(struct ctl *ctl)
{
        return become_command(ctl, "brickctl-index");
}

int command_train(struct ctl *ctl)
{
        return become_command(ctl, "brickctl-train");
}

/* In the child: runs `brickd --describe` with its output to fd and its errors discarded. */
_Noreturn static void describe(const char *path, const char *module_dir, const char *module, int fd)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        (void)dup2(null, STDIN_FILENO);
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        (void)setenv("BRICKD_MODULES", module_dir, 1);
        (void)alarm(DESCRIBE_SECONDS);
        execl(path, path, "--describe", module, (char *)NULL);
        _exit(EX_UNAVAILABLE);
}

/* Finds the line "type: NAME". */
static const struct service *read_type(FILE *f)
{
        char line[256];

        while (fgets(line, sizeof line, f)) {
                line[strcspn(line, "\n")] = '\0';
                if (strncmp(line, "type: ", 6) == 0)
                        return service_find(line + 6);
        }
        return NULL;
}

const struct service *program_module_type(const char *module_dir, const char *module)
{
        _cleanup_free_ char *path = brickd_path();
        _cleanup_fclose_ FILE *f = NULL;
        const struct service *service;
        int fds[2];
        pid_t pid;

        if (!path || pipe2(fds, O_CLOEXEC) < 0)
                return NULL;
        pid = fork();
        if (pid == 0)
                describe(path, module_dir, module, fds[1]);
        (void)close_fd(fds[1]);
        f = fdopen(fds[0], "r");
        if (!f)
                (void)close_fd(fds[0]);
        if (pid < 0 || !f)
                return NULL;
        service = read_type(f);
        (void)waitpid(pid, NULL, 0);

        return service;
}
