/* SPDX-License-Identifier: MIT */

/*
 * Stands in for brickd-worker, for the tests of the main process: speaks the channel and serves
 * nothing. Lines "# fake: WORD [NUMBER]" of the configuration say how it misbehaves; "# once:"
 * instead of "# fake:" says that only the first process of a generation does. To a client of the
 * i-th port it says "GENERATION WORKER i PID" and hangs up.
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

#include "shared/channel.h"
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
        char levels[128]; /* all that it has been told, "debug,info chat" */
        uint64_t exit_at;
        uint64_t crash_at;
} self = { .accepting = true, .exit_at = FOR_EVER, .crash_at = FOR_EVER };

static void say(enum channel_kind kind, const char *text)
{
        if (channel_send(CHANNEL_FD_CONTROL, kind, text, strlen(text)) < 0)
                exit(3);
}

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
        say(CHANNEL_DIAGNOSTIC, text);
        (void)snprintf(text, sizeof text, "%s:9:3: bricks[1].options: unknown key 'sped'",
                       self.name);
        say(CHANNEL_DIAGNOSTIC, text);
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

static void build(void)
{
        long number;

        say(CHANNEL_CREATING, "first");
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
        if (told("fail", NULL)) {
                say(CHANNEL_FAILED, "brick 'first': the model is not there");
                exit(1);
        }
        say(CHANNEL_CREATING, "");
        say(CHANNEL_READY, "1 brick on 1 port");
        if (self.check)
                exit(0);
        if (told("crash-after", &number))
                self.crash_at = after(number);
        if (told("exit-after", &number))
                self.exit_at = after(number);
}

/* As of a worker with very many bricks. */
static void answer_at_length(size_t length)
{
        _cleanup_free_ char *text = NULL;

        if (asprintf(&text, "{\"padding\":\"%0*d\"}", (int)length, 0) < 0)
                exit(4);
        say(CHANNEL_STATUS, text);
}

static void answer(void)
{
        char text[sizeof self.levels + 64];
        long number;

        if (told("silent\n", NULL) ||
            (told("silent-first", NULL) && strcmp(self.worker, "0") == 0)) {
                say(CHANNEL_STUCK, "hog");
                return;
        }
        if (told("long-status", &number)) {
                answer_at_length((size_t)number);
                return;
        }
        (void)snprintf(text, sizeof text, "{\"calls\":0,\"levels\":\"%s\"}", self.levels);
        say(CHANNEL_STATUS, text);
}

static void hold(void)
{
        say(CHANNEL_HELD, "brick 'first' still holds 3 calls");
        self.accepting = false;
}

static void leave(void)
{
        say(CHANNEL_DRAINED, "");
        exit(0);
}

static void on_message(const struct channel_message *message)
{
        long number = 0;
        size_t n;

        switch (message->kind) {
        case CHANNEL_QUERY:
                answer();
                break;
        case CHANNEL_LOG_LEVEL:
                n = strlen(self.levels);
                (void)snprintf(self.levels + n, sizeof self.levels - n, "%s%s", n > 0 ? "," : "",
                               message->text);
                break;
        case CHANNEL_RETIRE:
                self.accepting = false;
                if (!told("slow-retire", &number))
                        leave();
                self.exit_at = after(number);
                break;
        case CHANNEL_STOP:
                if (!told("held", NULL))
                        leave();
                hold();
                break;
        case CHANNEL_CANCEL:
                if (!told("held-for-ever", NULL))
                        leave();
                break;
        }
}

static void greet(int i)
{
        _cleanup_close_ int fd = accept(self.sockets[i], NULL, NULL);
        char text[128];
        int n;

        if (fd < 0)
                return;
        n = snprintf(text, sizeof text, "%s %s %d %d\n", self.generation, self.worker, i, getpid());
        (void)!write(fd, text, (size_t)n);
}

static void serve_once(void)
{
        struct pollfd fds[1 + SOCKETS_MAX] = { { .fd = CHANNEL_FD_CONTROL, .events = POLLIN } };
        _cleanup_(channel_message_done) struct channel_message message = {};

        for (int i = 0; i < self.n_sockets; i++)
                fds[1 + i] = (struct pollfd){ .fd = self.accepting ? self.sockets[i] : -1,
                                              .events = POLLIN };
        (void)poll(fds, 1 + (nfds_t)self.n_sockets, 10);
        if (clock_now() >= self.crash_at) {
                say(CHANNEL_CRASHED, "flaky");
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
        on_message(&message);
}

int main(int argc, char **argv)
{
        (void)alarm(LIFETIME);
        parse_arguments(argc, argv);
        self.config = read_config();
        apply_once();
        find_sockets();
        build();
        for (;;)
                serve_once();
}
