/* SPDX-License-Identifier: MIT */

/* The text of PDF, from poppler's pdftotext: a child without a shell, whose time, memory and output
 * are bounded. It prints HTML, which has the title. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "charset.h"
#include "extract.h"

#define TIME_MAX_S 60
#define MEMORY_MAX (1 << 30)

/* Escapes and tags come with the text. */
#define OUTPUT_PER_TEXT 2

#define EXIT_NOT_INSTALLED 127

enum { OUTPUT_OK, OUTPUT_TOO_LARGE, OUTPUT_TOO_LATE };

static void closep(int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

static void limit(int resource, rlim_t value)
{
        (void)setrlimit(resource, &(struct rlimit){ value, value });
}

/* Only calls that are allowed after fork(). */
__attribute__((noreturn)) static void child(int input, int output)
{
        static char *const argv[] = {
                (char *)"pdftotext", (char *)"-q",        (char *)"-enc",
                (char *)"UTF-8",     (char *)"-htmlmeta", (char *)"-nopgbrk",
                (char *)"-",         (char *)"-",         NULL,
        };
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        limit(RLIMIT_CPU, TIME_MAX_S);
        limit(RLIMIT_AS, MEMORY_MAX);
        limit(RLIMIT_CORE, 0);
        if (null < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
            dup2(null, STDERR_FILENO) < 0)
                _exit(1);
        (void)execvp(argv[0], argv);
        _exit(EXIT_NOT_INSTALLED);
}

/* A file in memory with the data, from its beginning. */
static int input_make(const char *data, size_t n)
{
        int fd = memfd_create("pdf", MFD_CLOEXEC);
        ssize_t written;

        if (fd < 0)
                return -errno;
        for (size_t at = 0; at < n; at += (size_t)written) {
                written = write(fd, data + at, n - at);
                if (written <= 0) {
                        close(fd);
                        return -EIO;
                }
        }
        (void)lseek(fd, 0, SEEK_SET);
        return fd;
}

static int64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Reads up to the end of the output. Returns OUTPUT_*, or a negative errno. */
static int output_read(int fd, size_t max, char **ret, size_t *ret_n)
{
        int64_t end = now_ms() + TIME_MAX_S * 1000, left;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        size_t size = 64 << 10, used = 0;
        ssize_t n = 1;
        char *larger;

        for (*ret = NULL; n > 0; used += (size_t)n) {
                left = end - now_ms();
                if (left <= 0 || poll(&p, 1, (int)left) == 0)
                        return OUTPUT_TOO_LATE;
                if (used > max)
                        return OUTPUT_TOO_LARGE;
                if (!*ret || used == size) {
                        size = *ret ? size * 2 : size;
                        larger = realloc(*ret, size);
                        if (!larger)
                                return -ENOMEM;
                        *ret = larger;
                }
                n = read(fd, *ret + used, size - used);
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n < 0)
                        n = 0;
        }
        *ret_n = used;
        return OUTPUT_OK;
}

/* Ends a word that is divided between two lines in the first: "informa-\ntion". */
static void join_lines(struct extract *e)
{
        size_t n = 0;

        for (size_t i = 0; i < e->n; i++) {
                bool divided = e->text[i] == '\n' && i > 1 && i + 1 < e->n &&
                               e->text[i - 1] == '-' && e->text[i - 2] >= 'a' &&
                               e->text[i - 2] <= 'z' && e->text[i + 1] >= 'a' &&
                               e->text[i + 1] <= 'z';

                if (!divided)
                        e->text[n++] = e->text[i];
        }
        e->n = n;
}

static int read_html(const char *html, size_t n, struct extract *e)
{
        _cleanup_(charset_text_done) struct charset_text t = {};
        struct extract_out out = {};
        int r;

        r = charset_decode(html, n, &t);
        if (r < 0)
                return r;
        out.size = 2 * t.n;
        out.text = malloc(out.size + 1);
        if (!out.text)
                return -ENOMEM;
        if (r == 0)
                html_extract(t.text, t.n, e, &out);
        e->text = out.text;
        e->n = out.n;
        join_lines(e);
        return 0;
}

static int judge(int status, int output, struct extract *e)
{
        if (output < 0)
                return output;
        if (output == OUTPUT_TOO_LATE)
                return extract_skipped(e, EXTRACT_E_AGAIN,
                                       "PDF that pdftotext needs more than %d s for", TIME_MAX_S);
        if (output == OUTPUT_TOO_LARGE)
                return extract_skipped(e, EXTRACT_E_AGAIN, "PDF with more text than --max-size");
        if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NOT_INSTALLED)
                return extract_skipped(e, EXTRACT_E_AGAIN,
                                       "PDF, for which pdftotext (poppler-utils) is not installed");
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return extract_skipped(e, EXTRACT_E_SKIPPED,
                                       "PDF that pdftotext cannot read: damaged or encrypted");
        return 0;
}

static bool is_blank(const struct extract *e)
{
        for (size_t i = 0; i < e->n; i++)
                if (!strchr(" \n\t\f\r", e->text[i]))
                        return false;
        return true;
}

/* The output of pdftotext; for free() in all cases. Returns the same as extract(). */
static int run(int input, size_t max, char **ret, size_t *ret_n, struct extract *e)
{
        __attribute__((cleanup(closep))) int reader = -1;
        int fds[2], status = 0, output;
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        reader = fds[0];
        pid = fork();
        if (pid == 0)
                child(input, fds[1]);
        close(fds[1]);
        if (pid < 0)
                return -errno;
        output = output_read(reader, OUTPUT_PER_TEXT * max, ret, ret_n);
        if (output != OUTPUT_OK)
                (void)kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        return judge(status, output, e);
}

int pdf_extract(const char *data, size_t n, size_t max, struct extract *e)
{
        __attribute__((cleanup(closep))) int input = input_make(data, n);
        _cleanup_free_ char *html = NULL;
        size_t html_n = 0;
        int r;

        if (input < 0)
                return input;
        r = run(input, max, &html, &html_n, e);
        if (r == 0)
                r = read_html(html, html_n, e);
        if (r == 0 && e->n > max)
                return extract_skipped(e, EXTRACT_E_AGAIN, "PDF with more text than --max-size");
        if (r == 0 && is_blank(e))
                (void)extract_skipped(e, EXTRACT_E_SKIPPED,
                                      "PDF without text, as of scanned pages");
        return r;
}
