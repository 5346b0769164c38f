/* SPDX-License-Identifier: MIT */
#include "util/json.h"

void json_put_string(FILE *f, const char *s, size_t length)
{
        (void)fputc('"', f);
        for (size_t i = 0; i < length; i++) {
                unsigned char c = (unsigned char)s[i];

                if (c == '"' || c == '\\')
                        (void)fprintf(f, "\\%c", c);
                else if (c < 0x20)
                        (void)fprintf(f, "\\u%04x", c);
                else
                        (void)fputc(c, f);
        }
        (void)fputc('"', f);
}
