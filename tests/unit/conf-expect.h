/* SPDX-License-Identifier: MIT */
#pragma once

/* Parses configurations in tests and compares their mistakes. */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "util/cleanup.h"

#define PORT "ports: [{ listen: \"127.0.0.1:0\" }]\n"

/* One line per mistake, "line:column: path: reason", without the quoted source. */
static inline char *mistakes(const struct diag *diag)
{
        char *text = NULL;
        size_t length;
        FILE *f;

        f = open_memstream(&text, &length);
        assert(f);
        for (size_t i = 0; diag_text(diag, i); i++) {
                const char *s = diag_text(diag, i);

                assert(strncmp(s, "t:", 2) == 0);
                fprintf(f, "%.*s\n", (int)strcspn(s, "\n") - 2, s + 2);
        }
        if (diag_count(diag) > DIAG_SHOWN_MAX)
                fprintf(f, "and %zu more\n", diag_count(diag) - DIAG_SHOWN_MAX);
        assert(fclose(f) == 0);
        return text;
}

static inline int parse(const char *text, size_t length, struct conf **ret, char **ret_mistakes)
{
        _cleanup_(diag_freep) struct diag *diag = NULL;
        int r;

        assert(diag_new(&diag, "t", text, length) == 0);
        r = conf_parse(ret, "t", text, length, diag);
        assert((r == 0) == (diag_count(diag) == 0));
        assert(r == 0 || r == -EINVAL);
        *ret_mistakes = mistakes(diag);
        return r;
}

static inline struct conf *parse_good(const char *text)
{
        _cleanup_free_ char *found = NULL;
        struct conf *conf = NULL;

        if (parse(text, strlen(text), &conf, &found) != 0)
                fprintf(stderr, "%s\n%s\n", text, found);
        assert(conf);
        return conf;
}

/* Of expect(); a test ends with an assertion that there are none. */
static unsigned failures;

/* Compares the mistakes of a text with the expected ones. */
static inline void expect(const char *text, size_t length, const char *expected)
{
        _cleanup_(conf_freep) struct conf *conf = NULL;
        _cleanup_free_ char *found = NULL;

        (void)parse(text, length, &conf, &found);
        if (strcmp(found, expected) == 0)
                return;
        fprintf(stderr, "--- of\n%.500s\n--- expected\n%s--- found\n%s", text, expected, found);
        failures++;
}
