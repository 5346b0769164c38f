/* SPDX-License-Identifier: MIT */
#include "markdown.h"

#include <pthread.h>
#include <stdlib.h>

#include <cmark-gfm-core-extensions.h>
#include <cmark-gfm.h>

const char *const markdown_extensions[MARKDOWN_EXTENSIONS] = { "table", "strikethrough",
                                                               "autolink" };

/* Parsing with extensions changes tables of characters that cmark-gfm keeps for all parsers. */
static pthread_mutex_t parsing = PTHREAD_MUTEX_INITIALIZER;

void markdown_init(void)
{
        cmark_gfm_core_extensions_ensure_registered();
}

/* Whether a line has so many bars that it may be the head of a wide table. */
static bool is_wide(const char *text, size_t length)
{
        size_t bars = 0;

        for (size_t i = 0; i < length && bars <= MARKDOWN_COLUMNS_MAX; i++)
                if (text[i] == '\n' || text[i] == '\r')
                        bars = 0;
                else
                        bars += text[i] == '|';
        return bars > MARKDOWN_COLUMNS_MAX;
}

static unsigned affordable(const char *text, size_t length, unsigned extensions)
{
        if (length > MARKDOWN_AUTOLINK_MAX)
                extensions &= ~(1u << MARKDOWN_AUTOLINK);
        if (is_wide(text, length))
                extensions &= ~(1u << MARKDOWN_TABLE);
        return extensions;
}

static bool attach(cmark_parser *parser, unsigned extensions)
{
        for (unsigned i = 0; i < MARKDOWN_EXTENSIONS; i++) {
                cmark_syntax_extension *extension;

                if (!(extensions & 1u << i))
                        continue;
                extension = cmark_find_syntax_extension(markdown_extensions[i]);
                if (!extension || !cmark_parser_attach_syntax_extension(parser, extension))
                        return false;
        }
        return true;
}

char *markdown_convert(const char *text, size_t length, bool html, unsigned extensions)
{
        const int options = CMARK_OPT_VALIDATE_UTF8; /* safe unless CMARK_OPT_UNSAFE is set */
        cmark_parser *parser = cmark_parser_new(options);
        cmark_node *document = NULL;
        char *ret = NULL;

        (void)pthread_mutex_lock(&parsing);
        if (attach(parser, affordable(text, length, extensions))) {
                cmark_parser_feed(parser, text, length);
                document = cmark_parser_finish(parser);
        }
        (void)pthread_mutex_unlock(&parsing);
        if (document && html)
                ret = cmark_render_html(document, options,
                                        cmark_parser_get_syntax_extensions(parser));
        else if (document)
                ret = cmark_render_plaintext(document, options, 0);
        if (document)
                cmark_node_free(document);
        cmark_parser_free(parser);
        return ret;
}
