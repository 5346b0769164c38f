/* SPDX-License-Identifier: MIT */

/*
 * Stands in for brickd-worker, for the tests of the main process: speaks the channel and serves
 * nothing. Lines "# fake: WORD [NUMBER]" of the configuration say how it misbehaves; "# once:"
 * instead of "# fake:" says that only the first process of a generation does. To a client of the
 * i-th port it says "GENERATION WORKER i PID LEVEL LEVEL", the levels of the log and of the first
 * brick, and hangs up.
 */

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lies.h"
#include "shared/channel.h"
#include "shared/state.h"
#include "util/cleanup.h"
#include "util/clock.h"

#define SOCKETS_MAX 16
#define FOR_EVER UINT64_MAX
#define LIFETIME 120 /* seconds: longer than any test, and no longer */

static struct {
        const char *name;
        const char *generation;
        const char *worker;
        bool check;
        char *config;
        int sockets[SOCKETS_MAX];
        int n_sockets;
        bool accepting;
        struct state *state;
        unsigned orders; /* that have been obeyed */
        uint64_t deaf_until;
        uint64_t exit_at;
        uint64_t crash_at;
} self = { .accepting = true, .exit_at = FOR_EVER, .crash_at = FOR_EVER };

static char *read_config(void)
{
        struct stat st;
        char *bytes;

        if (fstat(CHANNEL_FD_CONFIG, &st) < 0)
                exit(4);
        bytes = calloc(1, (size_t)st.st_size + 1);
        if (!bytes || read(CHANNEL_FD_CONFIG, bytes, (size_t)st.st_size) != st.st_size)
                exit(4);
        return bytes;
}

/* "is", its number or -1 in ret_number, when the configuration says so; applies "once" by a file.
 */
static bool told(const char *word, long *ret_number)
{
        char line[64];
        const char *at;

        (void)snprintf(line, sizeof line, "# fake: %s", word);
        at = strstr(self.config, line);
        if (!at)
                return false;
        if (ret_number)
                *ret_number = strtol(at + strlen(line), NULL, 10);
        return true;
}

/* Takes the words of "# once: " away, or makes them "# fake: ", with a file as the memory. */
static void apply_once(void)
{
        const char *directory = getenv("FAKE_STATE");
        char path[256];
        char *at;
        bool first;

        if (!directory)
                return;
        (void)snprintf(path, sizeof path, "%s/once-%s-%s", directory, self.generation, self.worker);
        first = access(path, F_OK) < 0;
        if (first)
                fclosep(&(FILE *){ fopen(path, "w") });
        while (first && (at = strstr(self.config, "# once: ")))
                (void)memcpy(at, "# fake: ", 8);
}

/* How many workers have been in this place before, of all generations. */
static unsigned count_lives(void)
{
        _cleanup_fclose_ FILE *f = NULL;
        char path[256];

        (void)snprintf(path, sizeof path, "%s/lives-%s", getenv("FAKE_STATE"), self.worker);
        f = fopen(path, "a");
        if (!f)
                exit(4);
        (void)fputc('.', f);
        return fflush(f) == 0 ? (unsigned)ftell(f) : 0;
}

static void parse_arguments(int argc, char **argv)
{
        for (int i = 1; i < argc; i++)
                if (strcmp(argv[i], "--channel") == 0)
                        i++;
                else if (strcmp(argv[i], "--name") == 0)
                        self.name = argv[++i];
                else if (strcmp(argv[i], "--generation") == 0)
                        self.generation = argv[++i];
                else if (strcmp(argv[i], "--worker") == 0)
                        self.worker = argv[++i];
                else if (strcmp(argv[i], "--check") == 0)
                        self.check = true;
                else
                        exit(64);
        if (!self.name || !self.generation || !self.worker)
                exit(64);
}

static void find_sockets(void)
{
        int on;
        socklen_t length = sizeof on;

        while (self.n_sockets < SOCKETS_MAX &&
               getsockopt(CHANNEL_FD_LISTEN + self.n_sockets, SOL_SOCKET, SO_ACCEPTCONN, &on,
                          &length) == 0 &&
               on) {
                self.sockets[self.n_sockets] = CHANNEL_FD_LISTEN + self.n_sockets;
                self.n_sockets++;
        }
}

static void crash(void)
{
        (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer may have it */
        (void)raise(SIGSEGV);
}

static uint64_t after(long milliseconds)
{
        return clock_now() + (uint64_t)milliseconds * NSEC_PER_MSEC;
}

static void complain(void)
{
        char text[256];

        (void)snprintf(text, sizeof text, "%s:7:3: bricks[0].options.speed: expected a number",
                       self.name);
        channel_say(CHANNEL_DIAGNOSTIC, text);
        (void)snprintf(text, sizeof text, "%s:9:3: bricks[1].options: unknown key 'sped'",
                       self.name);
        channel_say(CHANNEL_DIAGNOSTIC, text);
        exit(78);
}

/* A process whose parent goes before it does. */
static void leave_orphan(void)
{
        pid_t pid = fork();

        if (pid == 0) {
                if (fork() == 0)
                        (void)usleep(200000);
                _exit(0);
        }
        (void)waitpid(pid, NULL, 0);
}

/* All but the first worker of a generation. */
static void lie_if_told(const char *word)
{
        unsigned worker = (unsigned)atoi(self.worker);
        long seed;

        if (worker > 0 && told(word, &seed))
                lie((unsigned)seed << 24 ^ worker << 16 ^ count_lives());
}

static void be_ready(void)
{
        state_set_brick(self.state, STATE_CREATING, -1);
        state_set_ready(self.state);
        channel_wake(CHANNEL_FD_CONTROL);
}

static void build(void)
{
        long number;

        state_set_brick(self.state, STATE_CREATING, 0);
        if (told("slow-start", &number))
                (void)usleep((unsigned)number * 1000);
        if (told("orphan", NULL))
                leave_orphan();
        if (told("never-ready-but-first", NULL) && strcmp(self.worker, "0") != 0)
                (void)pause();
        if (told("never-ready\n", NULL))
                (void)pause();
        if (told("crash-in-create", NULL))
                crash();
        if (told("mistakes", NULL))
                complain();
        if (told("long-mistakes", NULL))
                complain_at_length();
        if (told("strange-mistake", NULL))
                complain_strangely(self.name);
        if (told("fail", NULL)) {
                channel_say(CHANNEL_FAILED, "brick 'first': the model is not there");
                exit(1);
        }
        lie_if_told("lie-at-once");
        if (told("wake", &number))
                while (number-- > 0)
                        channel_wake(CHANNEL_FD_CONTROL);
        be_ready();
        if (self.check)
                exit(0);
        if (told("crash-after", &number))
                self.crash_at = after(number);
        if (told("exit-after", &number))
                self.exit_at = after(number);
        if (told("deaf", &number))
                self.deaf_until = after(number);
        if (told("send-descriptors", NULL))
                send_descriptors();
}

static void answer(void)
{
        if (told("silent\n", NULL) ||
            (told("silent-first", NULL) && strcmp(self.worker, "0") == 0)) {
                state_set_brick(self.state, STATE_STUCK, 0);
                return;
        }
        state_answer(self.state, state_get_question(self.state), 7, 3);
        channel_wake(CHANNEL_FD_CONTROL);
        lie_if_told("lie-when-asked");
}

static void obey(void)
{
        unsigned orders = state_get_orders(self.state), given = orders & ~self.orders;
        long number = 0;

        self.orders = orders;
        if (given & STATE_RETIRE) {
                self.accepting = false;
                if (!told("slow-retire", &number))
                        exit(0);
                self.exit_at = after(number);
        }
        if (given & STATE_STOP) {
                if (!told("held", NULL))
                        exit(0);
                state_set_held(self.state, 0, 3);
                self.accepting = false;
        }
        if (given & STATE_CANCEL && !told("held-for-ever", NULL))
                exit(0);
        answer();
}

static const char *level_of(ssize_t brick)
{
        int level = state_get_log_level(self.state, brick);

        return level ? log_level_to_string((enum log_level)level) : "-";
}

static void greet(int i)
{
        _cleanup_close_ int fd = accept(self.sockets[i], NULL, NULL);
        char text[128];
        int n;

        if (fd < 0)
                return;
        n = snprintf(text, sizeof text, "%s %s %d %d %s %s\n", self.generation, self.worker, i,
                     getpid(), level_of(-1), level_of(0));
        (void)!write(fd, text, (size_t)n);
}

static void serve_once(void)
{
        struct pollfd fds[1 + SOCKETS_MAX] = { { .fd = CHANNEL_FD_CONTROL, .events = POLLIN } };
        struct channel_message message;

        fds[0].fd = clock_now() < self.deaf_until ? -1 : CHANNEL_FD_CONTROL;
        for (int i = 0; i < self.n_sockets; i++)
                fds[1 + i] = (struct pollfd){ .fd = self.accepting ? self.sockets[i] : -1,
                                              .events = POLLIN };
        (void)poll(fds, 1 + (nfds_t)self.n_sockets, 10);
        if (clock_now() >= self.crash_at) {
                state_set_brick(self.state, STATE_CRASHED, 0);
                crash();
        }
        if (clock_now() >= self.exit_at)
                exit(0);
        for (int i = 0; i < self.n_sockets; i++)
                if (fds[1 + i].revents)
                        greet(i);
        if (!fds[0].revents)
                return;
        if (channel_receive(CHANNEL_FD_CONTROL, &message) <= 0)
                exit(0);
        obey();
}

int main(int argc, char **argv)
{
        (void)alarm(LIFETIME);
        parse_arguments(argc, argv);
        self.config = read_config();
        if (state_open(&self.state, CHANNEL_FD_STATE) < 0)
                exit(4);
        apply_once();
        find_sockets();
        build();
        for (;;)
                serve_once();
}
