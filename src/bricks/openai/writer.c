/* SPDX-License-Identifier: MIT */

#include "writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void writer_add(struct writer *writer, const char *json, size_t n)
{
        if (writer->failed)
                return;
        if (n > writer->size - writer->n) {
                size_t size = (writer->n + n) * 2 + 256;
                char *grown = realloc(writer->p, size);

                writer->failed = !grown;
                if (!grown)
                        return;
                writer->p = grown;
                writer->size = size;
        }
        memcpy(writer->p + writer->n, json, n);
        writer->n += n;
}

void writer_puts(struct writer *writer, const char *json)
{
        writer_add(writer, json, strlen(json));
}

static void escape(struct writer *writer, char c)
{
        static const char letters[] = "\b\f\n\r\t\"\\", escapes[] = "bfnrt\"\\";
        const char *letter = strchr(letters, c);
        char text[8];

        if (letter)
                (void)snprintf(text, sizeof text, "\\%c", escapes[letter - letters]);
        else
                (void)snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
        writer_puts(writer, text);
}

void writer_string(struct writer *writer, const char *text)
{
        const char *p = text;

        writer_puts(writer, "\"");
        for (; *p; p++) {
                if ((unsigned char)*p >= 0x20 && *p != '"' && *p != '\\')
                        continue;
                writer_add(writer, text, (size_t)(p - text));
                escape(writer, *p);
                text = p + 1;
        }
        writer_add(writer, text, (size_t)(p - text));
        writer_puts(writer, "\"");
}

void writer_int(struct writer *writer, int64_t number)
{
        char text[24];

        (void)snprintf(text, sizeof text, "%" PRId64, number);
        writer_puts(writer, text);
}

void writer_number(struct writer *writer, double number)
{
        char text[32];

        for (int digits = 6; digits <= 17; digits++) {
                (void)snprintf(text, sizeof text, "%.*g", digits, number);
                if (strtod(text, NULL) == number)
                        break;
        }
        writer_puts(writer, text);
}
