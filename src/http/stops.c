/* SPDX-License-Identifier: MIT */
#include "http/stops.h"

#include <string.h>

/* Where the text ends with the beginning of the stop; `length`: nowhere. */
static size_t beginning(const char *text, size_t length, const char *stop, size_t stop_length)
{
        size_t from = length >= stop_length ? length - stop_length + 1 : 0;

        for (; from < length; from++)
                if (memcmp(text + from, stop, length - from) == 0)
                        break;
        return from;
}

size_t stops_scan(const char *text, size_t length, const char *const *stops, size_t n,
                  bool *ret_found)
{
        size_t given = length;

        *ret_found = false;
        for (size_t i = 0; i < n; i++) {
                size_t size = strlen(stops[i]);
                const char *found = length > 0 ? memmem(text, length, stops[i], size) : NULL;

                /* What comes first counts, also if another stop is only beginning there. */
                if (found && (size_t)(found - text) < given + (*ret_found ? 0 : 1)) {
                        *ret_found = true;
                        given = (size_t)(found - text);
                }
        }
        if (*ret_found)
                return given;
        for (size_t i = 0; i < n; i++) {
                size_t from = beginning(text, length, stops[i], strlen(stops[i]));

                given = from < given ? from : given;
        }
        return given;
}
