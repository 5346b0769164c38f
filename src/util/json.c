/* SPDX-License-Identifier: MIT */
#include "util/json.h"

#include "util/out.h"
#include "util/utf8.h"

#define PIECE 256

void json_put_string(FILE *f, const char *s, size_t length)
{
        char buffer[6 * PIECE + 2];
        size_t n;

        (void)fputc('"', f);
        for (; length > 0; s += n, length -= n) {
                struct out out = { buffer, buffer + sizeof buffer };

                n = utf8_prefix(s, length, PIECE);
                if (n == 0) /* not UTF-8: PIECE continuation bytes in a row */
                        n = PIECE;
                out_json(&out, s, n);
                (void)fwrite(buffer + 1, 1, (size_t)(out.next - buffer) - 2, f);
        }
        (void)fputc('"', f);
}
