/* SPDX-License-Identifier: MIT */
#include "util/terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "util/utf8.h"

void terminal_put(FILE *f, const char *text)
{
        if (!isatty(fileno(f))) {
                (void)fputs(text, f);
                return;
        }
        for (size_t left = strlen(text), n; left > 0; text += n, left -= n) {
                uint32_t c;

                n = utf8_decode(text, left, &c);
                if (n == 0) {
                        (void)fprintf(f, "\\x%02x", (unsigned char)*text);
                        n = 1;
                } else if (utf8_is_control(c) && c != '\n' && c != '\t') {
                        (void)fprintf(f, c < 0x100 ? "\\x%02" PRIx32 : "\\u%04" PRIx32, c);
                } else {
                        (void)fwrite(text, 1, n, f);
                }
        }
}

bool terminal_flush(void)
{
        if (fflush(stdout) == 0 && !ferror(stdout))
                return true;
        (void)fprintf(stderr, "brickd: cannot write to standard output: %s\n", strerror(errno));
        return false;
}
