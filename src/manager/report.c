/* SPDX-License-Identifier: MIT */
#include "manager/report.h"

#include <ctype.h>
#include <string.h>

void report_event(enum log_level level, const char *id, const char *brick, const char *format, ...)
{
        const struct log_field fields[] = {
                { "MESSAGE_ID", id, strlen(id) },
                { "BRICK", brick, brick ? strlen(brick) : 0 },
        };
        va_list args;

        va_start(args, format);
        log_fieldsv(level, fields, brick ? 2 : 1, format, args);
        va_end(args);
}

void report_mistake(const char *name, const char *text)
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
