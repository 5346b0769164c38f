/* SPDX-License-Identifier: MIT */
#include "metadata.h"

#include <time.h>

#include "index.h"

static json_t *time_print(int64_t nanoseconds)
{
        time_t seconds = nanoseconds / 1000000000;
        char s[sizeof "-2147483648-01-01T00:00:00Z"];
        struct tm tm;

        if (!gmtime_r(&seconds, &tm) || strftime(s, sizeof s, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                return NULL;
        return json_string(s);
}

char *metadata_print(const struct index_file *file, const char *language, json_t *own)
{
        json_auto_t *all = NULL;

        all = json_pack("{s:s, s:o*}", "path", file->path, "mtime", time_print(file->mtime));
        if (!all)
                return NULL;
        if (language[0] && json_object_set_new(all, "language", json_string(language)) < 0)
                return NULL;
        if (own && json_object_update(all, own) < 0)
                return NULL;
        return json_dumps(all, JSON_COMPACT);
}
