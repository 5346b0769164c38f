/* SPDX-License-Identifier: MIT */

/* Any bytes as Markdown: the HTML has no tag of the text, no link to a script, and is bounded. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "markdown.h"

#define INPUT_MAX 65536
#define GROWTH_MAX 400
#define ALL ((1u << MARKDOWN_EXTENSIONS) - 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(char *made, size_t size)
{
        static const char *const never[] = { "<script",    "<iframe",       "<style",
                                             "onerror=\"", "\"javascript:", "\"vbscript:" };

        if (!made || strlen(made) > (size + 16) * GROWTH_MAX)
                abort();
        for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
                if (strcasestr(made, never[i]))
                        abort();
        free(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static bool ready;
        const char *text = (const char *)data;
        char *plain;

        if (!ready)
                markdown_init();
        ready = true;
        if (size > INPUT_MAX)
                return 0;
        check(markdown_convert(text, size, true, 0), size);
        check(markdown_convert(text, size, true, ALL), size);
        plain = markdown_convert(text, size, false, ALL);
        if (!plain)
                abort();
        free(plain);
        return 0;
}
