/* SPDX-License-Identifier: MIT */

/* SOURCE|TARGET|TEXT, all of it from a client: the tags are read, the text is looked at, cut into
 * pieces and converted. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "convert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Without NUL, as texts of requests are. */
static char *copy(const uint8_t *data, size_t size)
{
        char *text = malloc(size + 1);

        if (!text)
                abort();
        for (size_t i = 0; i < size; i++)
                text[i] = data[i] ? (char)data[i] : '.';
        text[size] = '\0';
        return text;
}

static char *field(char **rest)
{
        char *start = strsep(rest, "|");

        return start && *rest ? start : NULL;
}

static void convert_all(const struct conversion *conversion, const char *text)
{
        size_t length = strlen(text), n;
        struct convert_error error;
        char *made;
        int r;

        if (conversion_prepare(conversion, &error) < 0)
                abort();
        for (; length > 0; text += n, length -= n) {
                n = convert_piece(text, length, 0);
                if (n == 0 || n > length || n > CONVERT_PIECE)
                        abort();
                r = conversion_run(conversion, text, n, &made);
                if (r == -ENOMEM)
                        abort();
                if (r == 0)
                        free(made);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct converter *converter;
        struct conversion conversion = { 0 };
        enum variety source, target, found;
        char *bytes = copy(data, size), *rest = bytes;
        const char *from = field(&rest), *into = from ? field(&rest) : NULL;
        struct convert_error error;

        if (!converter && converter_new(NULL, &converter, &error) < 0)
                abort();
        conversion.converter = converter;
        if (into && converter_detect(converter, rest, strlen(rest), &found) &&
            (found == VARIETY_UNKNOWN || found >= VARIETIES))
                abort();
        if (into && variety_read(from, &source) && variety_read(into, &target) &&
            source != VARIETY_UNKNOWN && target != VARIETY_UNKNOWN) {
                conversion.n = model_route(source, target, true, conversion.route);
                convert_all(&conversion, rest);
        }
        free(bytes);
        return 0;
}
