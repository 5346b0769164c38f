/* SPDX-License-Identifier: MIT */

/* control-client SOCKET METHOD [true|false|TEXT]...: one call to the control socket, as brickctl
 * does.
 */

#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "util/cleanup.h"

#define TIMEOUT_USEC (60 * UINT64_C(1000000))

static int append_argument(sd_bus_message *call, const char *argument)
{
        if (strcmp(argument, "true") == 0 || strcmp(argument, "false") == 0)
                return sd_bus_message_append(call, "b", strcmp(argument, "true") == 0);
        return sd_bus_message_append(call, "s", argument);
}

static int call_method(sd_bus *bus, char **words, sd_bus_error *error, sd_bus_message **ret)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
        const char *method = *words++;
        int r;

        r = sd_bus_message_new_method_call(bus, &call, NULL, "/org/brickd", "org.brickd.Manager",
                                           method);
        if (r < 0)
                return r;
        for (; *words; words++) {
                r = append_argument(call, *words);
                if (r < 0)
                        return r;
        }
        return sd_bus_call(bus, call, TIMEOUT_USEC, error, ret);
}

int main(int argc, char **argv)
{
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        const char *text;
        char address[256];
        int r;

        if (argc < 3)
                return 64;
        (void)snprintf(address, sizeof address, "unix:path=%s", argv[1]);
        if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 || sd_bus_start(bus) < 0)
                return 2;
        r = call_method(bus, argv + 2, &error, &reply);
        if (r < 0) {
                (void)fprintf(stderr, "%s: %s\n", error.name ? error.name : "?",
                              error.message ? error.message : strerror(-r));
                return 1;
        }
        if (sd_bus_message_read(reply, "s", &text) > 0)
                (void)puts(text);
        return 0;
}
