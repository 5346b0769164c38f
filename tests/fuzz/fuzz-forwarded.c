/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "serve/forwarded.h"
#include "serve/peer.h"
#include "util/network.h"

/* Each line is a field: x-forwarded-for, or forwarded if it begins with 'F'. Whatever they say, the
 * client is an address, and what is written before them changes nothing. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct network network;
static const struct conf_proxies trusted = { .networks = &network, .n_networks = 1 };

struct lines {
        const char *bytes;
        size_t length;
};

static bool field(const void *request, size_t index, struct brick_str *ret_name,
                  struct brick_str *ret_value)
{
        const struct lines *lines = request;
        const char *line = lines->bytes, *end = lines->bytes + lines->length;

        for (; index > 0 && line < end; index--) {
                const char *next = memchr(line, '\n', (size_t)(end - line));

                line = next ? next + 1 : end;
        }
        if (line == end)
                return false;
        end = memchr(line, '\n', (size_t)(end - line)) ?: end;
        *ret_name = brick_str(line < end && *line == 'F' ? "forwarded" : "x-forwarded-for");
        *ret_value = (struct brick_str){ line, (size_t)(end - line) };
        return true;
}

static bool find(const void *bytes, size_t length, char ret[static FORWARDED_MAX])
{
        const struct lines lines = { bytes, length };

        return forwarded_client(&trusted, brick_str("ipv4:10.0.0.1:1"), field, &lines, ret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char forged[] = "1.1.1.1, 2.2.2.2\n";
        char client[FORWARDED_MAX] = "", again[FORWARDED_MAX] = "";
        unsigned char ip[IP_BYTES];
        char *copy = malloc(sizeof forged - 1 + size);

        if (!copy || network_parse(&network, "10.0.0.0/8"))
                abort();
        memcpy(copy, forged, sizeof forged - 1);
        if (size > 0)
                memcpy(copy + sizeof forged - 1, data, size);
        if (find(copy + sizeof forged - 1, size, client)) {
                if (!peer_ip(brick_str(client), ip))
                        abort();
                /* A client that is no proxy has been found from the end. */
                if (!network_has(&network, ip) && memchr(data, 'F', size) == NULL &&
                    (!find(copy, sizeof forged - 1 + size, again) || strcmp(client, again) != 0))
                        abort();
        }
        free(copy);
        return 0;
}
