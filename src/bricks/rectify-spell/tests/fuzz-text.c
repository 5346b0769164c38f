/* SPDX-License-Identifier: MIT */

/* Any text: what is found in it lies in it, in order; and pairs of a list are looked for. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "list.h"
#include "scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const struct list *list, const char *text, const struct token *token)
{
        size_t end = token->start + token->length;

        (void)list_find(list, text + token->start, token->length);
        for (size_t at = token->start; token->han && at < end; at++) {
                const struct pair *pair = list_match(list, text, end, at);

                if (pair && (strlen(pair->wrong) > end - at ||
                             memcmp(text + at, pair->wrong, strlen(pair->wrong)) != 0))
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct list *list;
        char *text = malloc(size + 1);
        struct list_mistake mistake;
        struct token token;
        struct scan scan;
        size_t end = 0;

        if (!list &&
            list_new(strdup("以經->已經 ! 以經濟 所以經 x\nteh->the\n"),
                     strlen("以經->已經 ! 以經濟 所以經 x\nteh->the\n"), &list, &mistake) < 0)
                abort();
        if (!text)
                abort();
        for (size_t i = 0; i < size; i++)
                text[i] = data[i] ? (char)data[i] : '.';
        text[size] = '\0';
        scan = scan_of(text, size);
        while (scan_next(&scan, &token)) {
                if (token.length == 0 || token.start < end || token.start + token.length > size)
                        abort();
                end = token.start + token.length;
                look(list, text, &token);
        }
        free(text);
        return 0;
}
