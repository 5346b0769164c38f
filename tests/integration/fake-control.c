/* SPDX-License-Identifier: MIT */

/*
 * fake-control SOCKET DIR: a control socket that says what a test wants. The answer to a method M
 * is the file DIR/M; or DIR/M.error: the name of the error on the first line, its text after it;
 * with neither, there is none. The arguments of the last call are put into DIR/M.arguments.
 */

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "util/cleanup.h"

#define ANSWER_MAX 65536

static const char *directory;

/* The file's text; false: there is no such file. */
static bool read_answer(const char *method, const char *suffix, char text[static ANSWER_MAX])
{
        _cleanup_fclose_ FILE *f = NULL;
        char path[PATH_MAX];

        (void)snprintf(path, sizeof path, "%s/%s%s", directory, method, suffix);
        f = fopen(path, "r");
        if (!f)
                return false;
        text[fread(text, 1, ANSWER_MAX - 1, f)] = '\0';
        return true;
}

static void note_arguments(sd_bus_message *message, const char *method)
{
        _cleanup_fclose_ FILE *f = NULL;
        char path[PATH_MAX];
        const char *s;
        char type;
        int b;

        (void)snprintf(path, sizeof path, "%s/%s.arguments", directory, method);
        f = fopen(path, "w");
        if (!f)
                return;
        if (sd_bus_message_has_signature(message, "b") && sd_bus_message_read(message, "b", &b) > 0)
                (void)fputs(b ? "true" : "false", f);
        while (sd_bus_message_peek_type(message, &type, NULL) > 0 && type == 's' &&
               sd_bus_message_read(message, "s", &s) > 0)
                (void)fprintf(f, "%s%s", ftell(f) > 0 ? "," : "", s);
}

static int on_call(sd_bus_message *message, void *user, sd_bus_error *error)
{
        const char *method = sd_bus_message_get_member(message);
        static char text[ANSWER_MAX];
        char *end;

        if (!sd_bus_message_is_method_call(message, "org.brickd.Manager", NULL))
                return 0;
        note_arguments(message, method);
        if (read_answer(method, ".error", text)) {
                end = strchr(text, '\n');
                *end = '\0';
                return sd_bus_error_set(error, text, end + 1);
        }
        if (!read_answer(method, "", text))
                return 1;
        return *text ? sd_bus_reply_method_return(message, "s", text)
                     : sd_bus_reply_method_return(message, NULL);
}

static int on_connect(sd_event_source *source, int listener, uint32_t events, void *event)
{
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        sd_bus *bus = NULL;
        sd_id128_t id;

        if (fd < 0 || sd_id128_randomize(&id) < 0 || sd_bus_new(&bus) < 0 ||
            sd_bus_set_fd(bus, fd, fd) < 0 || sd_bus_set_server(bus, 1, id) < 0 ||
            sd_bus_start(bus) < 0 || sd_bus_attach_event(bus, event, 0) < 0)
                return -EIO;
        return sd_bus_add_object(bus, NULL, "/org/brickd", on_call, NULL);
}

int main(int argc, char **argv)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        sd_event *event = NULL;
        int fd;

        if (argc != 3 || strlen(argv[1]) >= sizeof address.sun_path)
                return 64;
        directory = argv[2];
        (void)strcpy(address.sun_path, argv[1]);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
            listen(fd, 8) < 0)
                return 1;
        if (sd_event_default(&event) < 0 ||
            sd_event_add_io(event, NULL, fd, EPOLLIN, on_connect, event) < 0)
                return 1;
        (void)puts("listening");
        (void)fflush(stdout);
        return sd_event_loop(event) < 0;
}
