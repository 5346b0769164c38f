/* SPDX-License-Identifier: MIT */

/* What a list may be: it is read, or there is a line and a reason. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char text[] = "我以經知道 teh house";
        char *bytes = calloc(1, size + 1);
        struct list_mistake mistake = { 0 };
        struct list *list;
        int r;

        if (!bytes)
                abort();
        memcpy(bytes, data, size);
        r = list_new(bytes, size, &list, &mistake);
        if (r < 0) {
                if (r != -EINVAL || mistake.line == 0 || !mistake.text[0])
                        abort();
                return 0;
        }
        for (size_t i = 0; i < sizeof text - 1; i++)
                (void)list_match(list, text, sizeof text - 1, i);
        list_free(list);
        return 0;
}
