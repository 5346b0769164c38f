/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/unix.h"
#include "util/cleanup.h"

enum { N_RIVALS = 6, N_ROUNDS = 20, LIMIT_MS = 30000 };

static const struct unix_access private = { 0600, (uid_t)-1, (gid_t)-1 };

static char directory[] = "/tmp/test-unix-XXXXXX";
static char path[64];

static int try_to_listen(int *ret_fd, struct unix_file *ret_file)
{
        _cleanup_free_ char *holder = NULL;

        return unix_listen(ret_fd, ret_file, path, &private, &holder);
}

static struct sockaddr_un address(void)
{
        struct sockaddr_un un = { .sun_family = AF_UNIX };

        (void)snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
        return un;
}

/* As a program leaves it that was killed. */
static void leave_a_dead_socket(void)
{
        struct sockaddr_un un = address();
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert(fd >= 0);
        assert(bind(fd, (struct sockaddr *)&un, sizeof un) == 0);
        assert(close(fd) == 0);
}

static pid_t who_answers(void)
{
        struct sockaddr_un un = address();
        struct ucred peer = {};
        socklen_t length = sizeof peer;
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert(fd >= 0);
        if (connect(fd, (struct sockaddr *)&un, sizeof un) < 0)
                return 0;
        assert(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0);
        return peer.pid;
}

static int n_files(void)
{
        DIR *d = opendir(directory);
        int n = 0;

        assert(d);
        for (struct dirent *entry; (entry = readdir(d));)
                n += entry->d_name[0] != '.';
        assert(closedir(d) == 0);
        return n;
}

/* --- many programs want one path -------------------------------------------------------------- */

/* Starts when its end of `start` is closed, says in one byte whether it listens, and does so until
 * its end of `stop` is closed. */
static int rival(int start, int answers, int stop)
{
        struct unix_file file;
        int fd = -EBADF, r;
        char byte;

        (void)!read(start, &byte, 1);
        r = try_to_listen(&fd, &file);
        assert(r == 0 || r == UNIX_E_TAKEN);
        assert(write(answers, r == 0 ? "y" : "n", 1) == 1);
        (void)!read(stop, &byte, 1);
        if (r == 0)
                assert(unix_remove(path, &file) == 0);
        return 0;
}

static int collect(int answers, int n)
{
        struct pollfd ready = { .fd = answers, .events = POLLIN };
        int n_winners = 0;
        char byte;

        for (int i = 0; i < n; i++) {
                assert(poll(&ready, 1, LIMIT_MS) == 1);
                assert(read(answers, &byte, 1) == 1);
                n_winners += byte == 'y';
        }
        return n_winners;
}

/* previous: who had the path, and is about to remove its file; NULL: nobody. */
static void race(const struct unix_file *previous)
{
        int start[2], answers[2], stop[2], n_winners, status;
        pid_t rivals[N_RIVALS], winner;
        bool is_rival = false;

        assert(pipe(start) == 0 && pipe(answers) == 0 && pipe(stop) == 0);
        for (int i = 0; i < N_RIVALS; i++) {
                rivals[i] = fork();
                assert(rivals[i] >= 0);
                if (rivals[i] == 0) {
                        (void)close(start[1]);
                        (void)close(stop[1]);
                        _exit(rival(start[0], answers[1], stop[0]));
                }
        }
        (void)close(start[1]);
        if (previous)
                (void)unix_remove(path, previous);
        n_winners = collect(answers[0], N_RIVALS);
        winner = who_answers();
        for (int i = 0; i < N_RIVALS; i++)
                is_rival |= rivals[i] == winner;
        (void)close(stop[1]);
        for (int i = 0; i < N_RIVALS; i++) {
                assert(waitpid(rivals[i], &status, 0) == rivals[i]);
                assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        }
        assert(n_winners == 1);
        assert(is_rival);
        assert(n_files() == 0);
        (void)close(start[0]);
        (void)close(answers[0]);
        (void)close(answers[1]);
        (void)close(stop[0]);
}

static void test_one_of_many_gets_it(void)
{
        for (int i = 0; i < N_ROUNDS; i++) {
                race(NULL);
                leave_a_dead_socket();
                race(NULL);
        }
}

static void test_who_stops_removes_nobody_elses_file(void)
{
        for (int i = 0; i < N_ROUNDS; i++) {
                struct unix_file file;
                int fd;

                assert(try_to_listen(&fd, &file) == 0);
                assert(close(fd) == 0);
                race(&file);
        }
}

/* --- the lock --------------------------------------------------------------------------------- */

static void test_only_a_held_lock_counts(void)
{
        _cleanup_close_ int lock = -EBADF;
        struct unix_file file;
        char name[80];
        int fd;

        (void)snprintf(name, sizeof name, "%s.lock", path);
        lock = open(name, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
        assert(lock >= 0);
        assert(flock(lock, LOCK_EX | LOCK_NB) == 0);
        assert(try_to_listen(&fd, &file) == UNIX_E_TAKEN);
        assert(n_files() == 1);

        /* as somebody leaves it who is killed meanwhile */
        lock = close_fd(lock);
        assert(try_to_listen(&fd, &file) == 0);
        assert(n_files() == 1);
        assert(who_answers() == getpid());
        assert(unix_remove(path, &file) == 0);
        assert(close(fd) == 0);
        assert(n_files() == 0);
}

int main(void)
{
        assert(mkdtemp(directory));
        (void)snprintf(path, sizeof path, "%s/s", directory);
        test_only_a_held_lock_counts();
        test_one_of_many_gets_it();
        test_who_stops_removes_nobody_elses_file();
        assert(rmdir(directory) == 0);
        return 0;
}
