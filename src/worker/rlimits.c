/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>

#include "util/cleanup.h"
#include "util/line-limit.h"
#include "util/log.h"
#include "worker/rlimits.h"

/* Those without which brickd cannot work. */
static struct {
        int resource;
        const char *name;
        struct rlimit noted;
} limits[] = {
        { RLIMIT_AS, "RLIMIT_AS", {} },
        { RLIMIT_DATA, "RLIMIT_DATA", {} },
        { RLIMIT_NOFILE, "RLIMIT_NOFILE", {} },
        { RLIMIT_NPROC, "RLIMIT_NPROC", {} },
};

void rlimits_note(void)
{
        for (size_t i = 0; i < ELEMENTSOF(limits); i++)
                (void)getrlimit(limits[i].resource, &limits[i].noted);
}

static void log_lowered(const char *name, rlim_t value, bool raised)
{
        static struct line_limit limit = LINE_LIMIT_INIT;
        const struct log_field field = { "MESSAGE_ID", LOG_ID_BRICK_MISUSE,
                                         strlen(LOG_ID_BRICK_MISUSE) };

        if (line_limit_take(&limit) >= 0)
                log_fields(LOG_LEVEL_ERROR, &field, 1,
                           "A brick has lowered %s of its worker to %" PRIuMAX
                           ": a fault of its module; %s",
                           name, (uintmax_t)value,
                           raised ? "brickd has raised it again" : "it cannot be raised again");
}

/* Only a privileged process may raise a hard limit; for others, the new one stays. */
static bool raise_again(int resource, struct rlimit *noted, const struct rlimit *now)
{
        if (setrlimit(resource, noted) == 0)
                return true;
        noted->rlim_max = now->rlim_max;
        if (noted->rlim_cur > noted->rlim_max)
                noted->rlim_cur = noted->rlim_max;
        return noted->rlim_cur > now->rlim_cur && setrlimit(resource, noted) == 0;
}

void rlimits_maintain(void)
{
        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                struct rlimit *noted = &limits[i].noted, now;

                if (getrlimit(limits[i].resource, &now) == 0 && now.rlim_cur < noted->rlim_cur)
                        log_lowered(limits[i].name, now.rlim_cur,
                                    raise_again(limits[i].resource, noted, &now));
        }
}
