/* SPDX-License-Identifier: MIT */

/* In place of taiwan.c where there is no OpenCC. */

#include "taiwan.h"

#include <errno.h>
#include <stdio.h>

int taiwan_new(const char *config, void **ret, struct taiwan_error *error)
{
        (void)snprintf(error->text, sizeof error->text, "this brickd was built without OpenCC");
        return -ENOSYS;
}

void taiwan_free(void *taiwan)
{
}

int taiwan_words(void *taiwan, const char *text, size_t start, size_t end,
                 int (*changed)(void *user, size_t at, size_t length, const char *to,
                                size_t to_length),
                 void *user)
{
        return 0;
}
