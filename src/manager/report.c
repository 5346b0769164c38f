/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "manager/report.h"
#include "util/log.h"

static void log_mistake(const char *name, const char *text)
{
        struct log_field fields[] = {
                { "MESSAGE_ID", LOG_ID_CONFIG_ERROR, strlen(LOG_ID_CONFIG_ERROR) },
                { "CONFIG_FILE", name, strlen(name) },
                { "CONFIG_LINE", NULL, 0 },
        };
        size_t n = 2, length = strlen(name);

        if (strncmp(text, name, length) == 0 && text[length] == ':' &&
            isdigit((unsigned char)text[length + 1])) {
                fields[n].value = text + length + 1;
                fields[n].length = strspn(text + length + 1, "0123456789");
                n++;
        }
        log_fields(LOG_LEVEL_ERROR, fields, n, "%s", text);
}

void report_mistakes(const char *name, char *const *texts, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (log_get_target() == LOG_TARGET_TEXT)
                        (void)fprintf(stderr, "%s\n", texts[i]);
                else
                        log_mistake(name, texts[i]);
}
