/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/proxy-header.h"

/* A PROXY header in pieces: it goes on until it is whole or bad, and then no byte more is looked
 * at. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum proxy_header parse(const uint8_t *data, size_t size, size_t *ret_length)
{
        struct sockaddr_storage client = {};
        uint8_t *copy = malloc(size + 1);
        enum proxy_header r;

        if (!copy)
                abort();
        if (size > 0)
                memcpy(copy, data, size);
        r = proxy_header_parse(copy, size, ret_length, &client);
        if ((r == PROXY_HEADER_NAMED) != (client.ss_family != AF_UNSPEC))
                abort();
        free(copy);
        return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t most = size < PROXY_HEADER_MAX + 8 ? size : PROXY_HEADER_MAX + 8, length = 0,
               again = 0;
        enum proxy_header first = PROXY_HEADER_MORE;

        for (size_t n = 0; first == PROXY_HEADER_MORE && n <= most; n++)
                first = parse(data, n, &length);
        if (first == PROXY_HEADER_MORE && most > PROXY_HEADER_MAX)
                abort(); /* it is longer than any */
        if (first == PROXY_HEADER_NAMED || first == PROXY_HEADER_OWN)
                if (length > most || parse(data, size, &again) != first || again != length)
                        abort();
        return 0;
}
