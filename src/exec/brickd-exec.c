/* SPDX-License-Identifier: MIT */

/*
 * brickd-exec: becomes the program of a brick, after what posix_spawn() cannot do for it. The main
 * process runs it. What goes wrong here is told on stderr, which
 * is the log of the brick.
 */

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "util/standard.h"

#define EXIT_CANNOT_PREPARE 126 /* as env(1) and others have it */
#define EXIT_CANNOT_EXECUTE 127

static const char *arg_directory;
static const char *arg_user;
static pid_t arg_parent;

static int fail(const char *what)
{
        (void)fprintf(stderr, "Cannot start: %s: %s\n", what, strerror(errno));
        return EXIT_CANNOT_PREPARE;
}

static bool set_limit(int resource, const char *value)
{
        const rlim_t limit = strtoull(value, NULL, 10);

        return setrlimit(resource, &(struct rlimit){ limit, limit }) == 0;
}

static bool become_user(void)
{
        const struct passwd *entry = getpwnam(arg_user);

        if (!entry)
                return false;
        if (entry->pw_uid == geteuid())
                return true;
        return initgroups(arg_user, entry->pw_gid) == 0 && setgid(entry->pw_gid) == 0 &&
               setuid(entry->pw_uid) == 0;
}

/* Changing the user clears the signal, so this comes after it. The parent may have exited before.
 */
static void die_with_parent(void)
{
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != arg_parent)
                _exit(EXIT_CANNOT_PREPARE);
}

/* Gives NULL, or what was wrong. */
static const char *parse_argv(int argc, char **argv)
{
        static const struct option options[] = {
                { "parent", required_argument, NULL, 'p' },
                { "directory", required_argument, NULL, 'd' },
                { "user", required_argument, NULL, 'u' },
                { "memory", required_argument, NULL, 'm' },
                { "processes", required_argument, NULL, 'n' },
                { "files", required_argument, NULL, 'f' },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "+", options, NULL)) >= 0)
                switch (c) {
                case 'p':
                        arg_parent = (pid_t)strtol(optarg, NULL, 10);
                        break;
                case 'd':
                        arg_directory = optarg;
                        break;
                case 'u':
                        arg_user = optarg;
                        break;
                case 'm':
                        /* Not the address space: runtimes reserve much that they never use. */
                        if (!set_limit(RLIMIT_DATA, optarg))
                                return "limits.memory";
                        break;
                case 'n':
                        if (!set_limit(RLIMIT_NPROC, optarg))
                                return "limits.processes";
                        break;
                case 'f':
                        if (!set_limit(RLIMIT_NOFILE, optarg))
                                return "limits.files";
                        break;
                default:
                        errno = EINVAL;
                        return "an argument";
                }
        errno = EINVAL;
        return optind < argc ? NULL : "no program";
}

int main(int argc, char **argv)
{
        const char *wrong;

        standard_open();
        wrong = parse_argv(argc, argv);
        if (wrong)
                return fail(wrong);
        if (arg_user && !become_user())
                return fail(arg_user);
        die_with_parent();
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        /* The memory of the program is that of the users who call it. */
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){});
        if (arg_directory && chdir(arg_directory) < 0)
                return fail(arg_directory);
        (void)execv(argv[optind], argv + optind);
        (void)fail(argv[optind]);
        return EXIT_CANNOT_EXECUTE;
}
