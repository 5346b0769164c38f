/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/terminal.h"

/* What arrives at the other end of a terminal. */
static void expect_shown(const char *text, const char *expected)
{
        _cleanup_close_ int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        struct termios settings;
        char shown[256] = "";
        size_t length = 0;
        FILE *f;
        int fd;

        assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
        fd = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert(fd >= 0 && tcgetattr(fd, &settings) == 0);
        settings.c_oflag &= ~(tcflag_t)OPOST;
        assert(tcsetattr(fd, TCSANOW, &settings) == 0);
        f = fdopen(fd, "w");
        assert(f);
        terminal_put(f, text);
        assert(fflush(f) == 0);
        while (length < strlen(expected) && length < sizeof shown - 1) {
                ssize_t n = read(master, shown + length, sizeof shown - 1 - length);

                assert(n > 0);
                length += (size_t)n;
        }
        assert(strcmp(shown, expected) == 0);
        assert(fclose(f) == 0);
}

static void test_terminal(void)
{
        expect_shown("na\xc3\xafve\ttext\n", "na\xc3\xafve\ttext\n");
        expect_shown("\x1b[31m\x7f\r", "\\x1b[31m\\x7f\\x0d");
        expect_shown("\xc2\x9b", "\\x9b"); /* C1, as a character and as a byte */
        expect_shown("\x9b"
                     "31m",
                     "\\x9b31m");
        expect_shown("\xe2\x80\xae\xe2\x81\xa9\xe2\x80\xa8\xd8\x9c",
                     "\\u202e\\u2069\\u2028\\u061c");
        expect_shown("\xd7\x90", "\xd7\x90"); /* letters may have a direction */
}

static void test_file(void)
{
        static const char text[] = "\x1b[31m\xff\xe2\x80\xae";
        char path[] = "/tmp/test-terminal-XXXXXX", read_back[sizeof text] = "";
        int fd = mkstemp(path);
        FILE *f = fdopen(fd, "w+");

        assert(f && unlink(path) == 0);
        terminal_put(f, text);
        assert(fflush(f) == 0);
        assert(pread(fd, read_back, sizeof read_back, 0) == (ssize_t)strlen(text));
        assert(strcmp(read_back, text) == 0);
        assert(fclose(f) == 0);
}

int main(void)
{
        test_terminal();
        test_file();
        return 0;
}
