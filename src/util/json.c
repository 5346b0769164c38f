/* SPDX-License-Identifier: MIT */
#include "util/json.h"

#include "util/utf8.h"

static void put_character(FILE *f, uint32_t c, const char *bytes, size_t length)
{
        if (c == '"' || c == '\\')
                (void)fprintf(f, "\\%c", (char)c);
        else if (utf8_is_control(c))
                (void)fprintf(f, "\\u%04x", c);
        else
                (void)fwrite(bytes, 1, length, f);
}

void json_put_string(FILE *f, const char *s, size_t length)
{
        (void)fputc('"', f);
        while (length > 0) {
                uint32_t c = 0xfffd; /* what is no UTF-8 */
                size_t n = utf8_decode(s, length, &c);

                if (n > 0)
                        put_character(f, c, s, n);
                else
                        put_character(f, c, "\xef\xbf\xbd", 3);
                s += n > 0 ? n : 1;
                length -= n > 0 ? n : 1;
        }
        (void)fputc('"', f);
}
