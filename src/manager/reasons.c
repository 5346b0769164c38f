/* SPDX-License-Identifier: MIT */
#include "manager/reasons.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/diag.h"
#include "manager/process.h"
#include "util/utf8.h"

void reasons_add(struct reasons *reasons, const char *format, ...)
{
        char **grown, *text = NULL;
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(&text, format, args);
        va_end(args);
        if (n < 0)
                return;
        grown = reallocarray(reasons->texts, reasons->n + 1, sizeof *grown);
        if (!grown) {
                free(text);
                return;
        }
        utf8_clean(text, (size_t)n);
        reasons->texts = grown;
        grown[reasons->n++] = text;
}

void reasons_add_diag(struct reasons *reasons, const struct diag *diag)
{
        size_t shown = 0, count = diag_count(diag);
        const char *text;

        for (; (text = diag_text(diag, shown)); shown++)
                reasons_add(reasons, "%s", text);
        if (shown < count)
                reasons_add(reasons, "and %zu more", count - shown);
}

/* Puts the name of the file first, so that a worker cannot forge another kind of log line. */
static void add_diagnostic(struct reasons *reasons, const char *file, const char *diagnostic)
{
        size_t length = strlen(file);

        if (strncmp(diagnostic, file, length) == 0 && diagnostic[length] == ':')
                reasons_add(reasons, "%s", diagnostic);
        else
                reasons_add(reasons, "%s: %s", file, diagnostic);
}

void reasons_add_diagnostics(struct reasons *reasons, const char *file, const struct process *dead)
{
        char more[64];

        for (size_t i = 0; i < dead->n_diagnostics; i++)
                add_diagnostic(reasons, file, dead->diagnostics[i]);
        if (dead->n_left_out > 0) {
                (void)snprintf(more, sizeof more, "and %zu more", dead->n_left_out);
                add_diagnostic(reasons, file, more);
        }
}

int reasons_join(const struct reasons *reasons, char **ret)
{
        size_t size;
        FILE *f = open_memstream(ret, &size);

        if (!f)
                return -ENOMEM;
        for (size_t i = 0; i < reasons->n; i++)
                (void)fprintf(f, "%s%s", i > 0 ? "\n" : "", reasons->texts[i]);
        return fclose(f) == 0 ? 0 : -ENOMEM;
}

void reasons_done(struct reasons *reasons)
{
        for (size_t i = 0; i < reasons->n; i++)
                free(reasons->texts[i]);
        free(reasons->texts);
        *reasons = (struct reasons){};
}
