/* SPDX-License-Identifier: MIT */
#include "util/version.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 14 /* of the longest name, and a space */

static void put_name(const char *name)
{
        (void)printf("%s:%*s", name, WIDTH - (int)strlen(name), "");
}

void version_put(const char *name, const char *value)
{
        put_name(name);
        (void)printf("%s\n", value);
}

void version_put_library(const char *name, const char *running, const char *built)
{
        put_name(name);
        if (running)
                (void)printf("%s, built with %s\n", running, built);
        else
                (void)printf("built with %s\n", built);
}
