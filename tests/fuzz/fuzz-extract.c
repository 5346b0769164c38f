/* SPDX-License-Identifier: MIT */

/*
 * The text of files of every format that brickctl index reads itself: character sets, HTML, manual
 * pages, Markdown, and the archives DOCX, ODT and EPUB. The input is a file. Whatever it has, text
 * and title are UTF-8 without NUL, and not longer than is allowed.
 */

#undef NDEBUG
#include <assert.h>
#include <string.h>

#include "extract.h"
#include "util/utf8.h"

#define TEXT_MAX (64 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *name, const char *data, size_t n)
{
        _cleanup_(extract_done) struct extract e = {};
        int r = extract(name, data, n, TEXT_MAX, &e);

        assert(r == 0 || r == EXTRACT_E_SKIPPED || r == EXTRACT_E_AGAIN);
        assert(r == 0 || (e.note[0] && !e.text));
        if (r != 0)
                return;
        assert(utf8_valid(e.text, e.n) && !memchr(e.text, '\0', e.n));
        assert(utf8_valid(e.title, strlen(e.title)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char *const names[] = { "a.txt", "a.html", "a.md", "a.1" };
        const char *s = (const char *)data;

        if (size > TEXT_MAX ||
            (size >= 5 && memcmp(s, "%PDF-", 5) == 0)) /* another program reads it */
                return 0;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
                check(names[i], s, size);
        return 0;
}
