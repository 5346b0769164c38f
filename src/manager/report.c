/* SPDX-License-Identifier: MIT */
#include <ctype.h>
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
        log_block(LOG_LEVEL_ERROR, fields, n, text);
}

void report_mistakes(const char *name, char *const *texts, size_t n)
{
        for (size_t i = 0; i < n; i++)
                log_mistake(name, texts[i]);
}
