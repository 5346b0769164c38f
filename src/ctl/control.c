/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conf/conf.h"
#include "ctl/bus.h"
#include "ctl/control.h"
#include "ctl/file.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "util/clock.h"
#include "util/log.h"

/* The start_timeout of the configuration limits a reload. This limit is for a brickd that hangs.
 */
#define RELOAD_TIMEOUT (10 * 60 * NSEC_PER_SEC)

int control_ask(const struct ctl *ctl, const char *path, int64_t timeout, const char *method,
                json_t **ret)
{
        _cleanup_(bus_reply_done) struct bus_reply reply = {};
        json_t *status;
        int r;

        if (!path)
                return -ENOENT;
        r = bus_call(path, ctl_timeout(ctl, timeout), &reply, method, "");
        if (r < 0)
                return r;
        if (reply.error)
                return -EREMOTEIO;
        status = json_loads(reply.text, 0, NULL);
        if (!json_is_object(status)) {
                json_decref(status);
                return -EBADMSG;
        }
        *ret = status;

        return 0;
}

int control_no_answer(const char *path, int r)
{
        if (!path)
                return ctl_error(EX_CONFIG, "brickd has no control socket: the configuration says "
                                            "`control: null`");
        switch (r) {
        case -ENOENT:
        case -ECONNREFUSED:
                return ctl_error(CTL_UNREACHABLE, "brickd is not running: nothing listens on %s",
                                 path);
        case -EACCES:
        case -EPERM:
                return ctl_error(CTL_UNREACHABLE,
                                 "Permission denied to open %s; run brickctl as root or as the "
                                 "user of brickd",
                                 path);
        case -ETIMEDOUT:
                return ctl_error(CTL_UNREACHABLE, "brickd did not answer on %s in time", path);
        default:
                return ctl_error(CTL_UNREACHABLE, "No answer from brickd on %s: %s", path,
                                 strerror(-r));
        }
}

static json_t *bricks_of_conf(const struct conf *conf, const char *state)
{
        json_t *bricks = json_array();

        for (size_t i = 0; i < conf->n_bricks; i++) {
                const struct conf_brick *brick = &conf->bricks[i];

                (void)json_array_append_new(bricks,
                                            json_pack("{s:s, s:n, s:s, s:s, s:i, s:i, s:i, s:i}",
                                                      "name", brick->name, "type", "module",
                                                      brick->module, "state", state, "in_flight", 0,
                                                      "queued", 0, "calls", 0, "failures", 0));
        }
        return bricks;
}

/* Formats a JSON value as a cell of a table; the caller frees it. */
static char *cell_of(const json_t *json)
{
        char *cell = NULL;

        if (json_is_string(json))
                return strdup(json_string_value(json));
        if (json_is_integer(json) &&
            asprintf(&cell, "%" JSON_INTEGER_FORMAT, json_integer_value(json)) >= 0)
                return cell;
        return strdup("-");
}

void control_print_rows(const json_t *list, const struct table_column *columns, size_t n_columns)
{
        size_t n_rows = 1 + json_array_size(list);
        _cleanup_free_ const char **cells = calloc(n_rows * n_columns, sizeof *cells);
        size_t index;
        json_t *row;

        if (!cells)
                return;
        for (size_t i = 0; i < n_columns; i++)
                cells[i] = columns[i].head;
        json_array_foreach(list, index, row) for (size_t i = 0; i < n_columns; i++)
                cells[(index + 1) * n_columns + i] = cell_of(json_object_get(row, columns[i].key))
                                                             ?: "-";
        output_table(stdout, cells, n_columns, n_rows);
        for (size_t i = n_columns; i < n_rows * n_columns; i++)
                free((char *)cells[i]);
}

static void print_bricks(const json_t *bricks)
{
        static const struct table_column columns[] = {
                { "NAME", "name" },           { "TYPE", "type" },     { "MODULE", "module" },
                { "STATE", "state" },         { "CALLS", "calls" },   { "FAILED", "failures" },
                { "IN FLIGHT", "in_flight" }, { "QUEUED", "queued" },
        };

        control_print_rows(bricks, columns, ELEMENTSOF(columns));
}

static const char *string_of(const json_t *object, const char *key)
{
        return json_string_value(json_object_get(object, key)) ?: "-";
}

static void print_reasons(const json_t *bricks)
{
        const char *separator = "\n";
        size_t index;
        json_t *brick;

        json_array_foreach(bricks, index, brick)
        {
                const char *reason = json_string_value(json_object_get(brick, "unhealthy"));

                if (!reason)
                        continue;
                fputs(separator, stdout);
                output_text(stdout, string_of(brick, "name"));
                fputs(" is not healthy: ", stdout);
                output_text(stdout, reason);
                putchar('\n');
                separator = "";
        }
}

/* Lists the bricks of the file because brickd did not answer. */
static int list_from_file(const struct ctl *ctl, const struct file *file, int why_not, json_t **ret)
{
        bool stopped = why_not == -ENOENT || why_not == -ECONNREFUSED;
        struct file again;
        int r;

        if (!file->conf) {
                r = file_open(ctl, FILE_MUST_BE_RIGHT, &again);
                if (r != CTL_OK)
                        return r;
                file_done(&again);
                return control_no_answer(file->control, why_not);
        }
        if (!stopped)
                (void)control_no_answer(file->control, why_not);
        *ret = bricks_of_conf(file->conf, stopped ? "stopped" : "unknown");

        return CTL_OK;
}

static int list(const struct ctl *ctl, const struct file *file)
{
        _cleanup_(json_unrefp) json_t *status = NULL, *bricks = NULL;
        int r;

        r = control_ask(ctl, file->control, CONTROL_TIMEOUT, "Status", &status);
        if (r == 0)
                bricks = json_incref(json_object_get(status, "bricks"));
        else
                r = list_from_file(ctl, file, r, &bricks);
        if (r != CTL_OK)
                return r;

        if (ctl->json)
                output_json(stdout, bricks);
        else
                print_bricks(bricks);

        return CTL_OK;
}

int control_with_file(struct ctl *ctl, int (*run)(const struct ctl *ctl, const struct file *file))
{
        struct file file;
        int r;

        r = file_open(ctl, FILE_MAY_BE_WRONG, &file);
        if (r != CTL_OK)
                return r;
        r = run(ctl, &file);
        file_done(&file);

        return r;
}

int command_list(struct ctl *ctl)
{
        return control_with_file(ctl, list);
}

static void print_line(const char *head, const char *colour, const char *text)
{
        printf("%s%-14s%s%s", output_colour(COLOUR_BOLD), head, output_colour(COLOUR_NONE), colour);
        output_text(stdout, text);
        printf("%s\n", *colour ? output_colour(COLOUR_NONE) : "");
}

static void print_summary(const json_t *status)
{
        char uptime[64], line[256];

        output_duration((uint64_t)json_number_value(json_object_get(status, "uptime_seconds")),
                        uptime, sizeof uptime);
        (void)snprintf(line, sizeof line, "%s, %s, pid %" JSON_INTEGER_FORMAT ", up %s",
                       string_of(status, "version"), string_of(status, "state"),
                       json_integer_value(json_object_get(status, "pid")), uptime);
        print_line("brickd", "", line);
        (void)snprintf(line, sizeof line, "%s, generation %" JSON_INTEGER_FORMAT,
                       string_of(status, "config"),
                       json_integer_value(json_object_get(status, "generation")));
        print_line("configuration", "", line);
}

static void print_ports(const json_t *status)
{
        size_t index;
        json_t *port;

        json_array_foreach(json_object_get(status, "ports"), index, port)
        {
                const char *listen = string_of(port, "listen");
                const char *address = string_of(port, "address");
                char line[256];

                (void)snprintf(line, sizeof line, "%s%s%s%s", listen,
                               strcmp(listen, address) == 0 ? "" : ", bound to ",
                               strcmp(listen, address) == 0 ? "" : address,
                               strcmp(string_of(port, "protocol"), "http") == 0 ? ", HTTP" : "");
                print_line(index == 0 ? "ports" : "", "", line);
        }
}

/* Prints only the first line of the verdict. The log has all of it. */
static void print_last_reload(const json_t *status)
{
        const json_t *last = json_object_get(status, "last_reload");
        bool ok = json_is_true(json_object_get(last, "ok"));
        const char *text = string_of(last, "text");
        char ago[64], line[512];

        if (!json_is_object(last))
                return;
        output_duration((uint64_t)(time(NULL) - json_integer_value(json_object_get(last, "time"))),
                        ago, sizeof ago);
        (void)snprintf(line, sizeof line, "%s %s ago: %.*s", ok ? "done" : "failed", ago,
                       (int)strcspn(text, "\n"), text);
        print_line("last reload", output_colour(ok ? COLOUR_GOOD : COLOUR_BAD), line);
}

static void print_log_levels(const json_t *status)
{
        size_t index;
        json_t *set;

        json_array_foreach(json_object_get(status, "log_levels"), index, set)
        {
                const char *brick = json_string_value(json_object_get(set, "brick"));
                char line[256];

                (void)snprintf(line, sizeof line, "%s%s%s", string_of(set, "level"),
                               brick ? " for " : "", brick ?: "");
                print_line(index == 0 ? "log level" : "", "", line);
        }
}

/* A copy for a table. */
static json_t *with_uptime(const json_t *process)
{
        json_t *row = json_copy((json_t *)process);
        char uptime[64];

        output_duration((uint64_t)json_number_value(json_object_get(process, "uptime_seconds")),
                        uptime, sizeof uptime);
        (void)json_object_set_new(row, "uptime", json_string(uptime));
        return row;
}

/* Prints the processes of bricks, if there are any, and how those ended that do not serve. */
static void print_processes(const json_t *processes)
{
        static const struct table_column columns[] = {
                { "PROCESS OF", "brick" }, { "NUMBER", "index" }, { "PID", "pid" },
                { "STATE", "state" },      { "UP", "uptime" },    { "RESTARTS", "restarts" },
                { "STATUS", "status" },
        };
        _cleanup_(json_unrefp) json_t *rows = json_array();
        size_t index;
        json_t *process;

        if (json_array_size(processes) == 0)
                return;
        json_array_foreach(processes, index, process)(void)
                json_array_append_new(rows, with_uptime(process));
        putchar('\n');
        control_print_rows(rows, columns, ELEMENTSOF(columns));
        json_array_foreach(processes, index, process)
        {
                const char *end = json_string_value(json_object_get(process, "last_end"));

                if (!end || strcmp(string_of(process, "state"), "ready") == 0)
                        continue;
                fputs("a process of ", stdout);
                output_text(stdout, string_of(process, "brick"));
                putchar(' ');
                output_text(stdout, end);
                putchar('\n');
        }
}

/* Copies the workers, with the keys of their own status merged into each, for the table. */
static json_t *flatten_workers(const json_t *status)
{
        json_t *rows = json_array();
        size_t index;
        json_t *worker;

        json_array_foreach(json_object_get(status, "workers"), index, worker)
        {
                json_t *own = json_object_get(worker, "status");
                json_t *row = with_uptime(worker);

                (void)json_object_update_missing(row, own);
                (void)json_array_append_new(rows, row);
        }
        return rows;
}

/* The backends of all bricks, with the brick's name. */
static json_t *flatten_backends(const json_t *bricks)
{
        json_t *rows = json_array();
        size_t i, k;
        json_t *brick, *backend;

        json_array_foreach(bricks, i, brick)
                json_array_foreach(json_object_get(brick, "backends"), k, backend)
        {
                json_t *row = json_copy(backend);

                (void)json_object_set(row, "brick", json_object_get(brick, "name"));
                (void)json_array_append_new(rows, row);
        }
        return rows;
}

static void print_backends(const json_t *bricks)
{
        static const struct table_column columns[] = {
                { "BRICK", "brick" }, { "BACKEND", "name" },    { "STATE", "state" },
                { "CALLS", "calls" }, { "FAILED", "failures" }, { "IN FLIGHT", "in_flight" },
        };
        _cleanup_(json_unrefp) json_t *rows = flatten_backends(bricks);

        if (json_array_size(rows) == 0)
                return;
        putchar('\n');
        control_print_rows(rows, columns, ELEMENTSOF(columns));
}

static void print_status(const json_t *status)
{
        static const struct table_column columns[] = {
                { "WORKER", "pid" },          { "GENERATION", "generation" },
                { "STATE", "state" },         { "UP", "uptime" },
                { "RESTARTS", "restarts" },   { "CONNECTIONS", "connections" },
                { "IN FLIGHT", "in_flight" },
        };
        _cleanup_(json_unrefp) json_t *workers = flatten_workers(status);
        const json_t *bricks = json_object_get(status, "bricks");

        print_summary(status);
        print_ports(status);
        print_last_reload(status);
        print_log_levels(status);
        putchar('\n');
        control_print_rows(workers, columns, ELEMENTSOF(columns));
        putchar('\n');
        print_bricks(bricks);
        print_backends(bricks);
        print_reasons(bricks);
        print_processes(json_object_get(status, "processes"));
}

static int status_of(const struct ctl *ctl, const struct file *file)
{
        _cleanup_(json_unrefp) json_t *status = NULL;
        int r;

        r = control_ask(ctl, file->control, CONTROL_TIMEOUT, "Status", &status);
        if (r < 0)
                return control_no_answer(file->control, r);
        if (ctl->json)
                output_json(stdout, status);
        else
                print_status(status);

        return CTL_OK;
}

int command_status(struct ctl *ctl)
{
        return control_with_file(ctl, status_of);
}

/* Prints brickd's answer to a command and returns the exit status. */
static int print_answer(const struct ctl *ctl, const char *path, int r,
                        const struct bus_reply *reply)
{
        _cleanup_(json_unrefp) json_t *json = NULL;

        if (r < 0)
                return control_no_answer(path, r);
        if (ctl->quiet) {
                /* brickd has logged the answer. */
        } else if (ctl->json) {
                json = json_pack("{s:b, s:s}", "ok", !reply->error, "text", reply->text);
                output_json(stdout, json);
        } else if (*reply->text) {
                output_text(reply->error ? stderr : stdout, reply->text);
                fputc('\n', reply->error ? stderr : stdout);
        }
        if (!reply->error)
                return CTL_OK;
        return strcmp(reply->error, "org.brickd.Error.Config") == 0 ? EX_CONFIG : CTL_FAILED;
}

/*
 * systemd gives the main process of the unit to what ExecReload= runs. Another brickd may listen on
 * the control socket, if two units have the same one; -EEXIST: it does.
 */
static int check_unit(const char *control, int64_t timeout)
{
        const char *text = getenv("MAINPID");
        long long main_process = text ? strtoll(text, NULL, 10) : 0;
        pid_t listener;
        int r;

        if (main_process <= 0)
                return 0;
        r = bus_listener(control, timeout, &listener);
        if (r < 0 || listener == main_process)
                return r;
        (void)ctl_error(CTL_FAILED,
                        "%s is the control socket of process %d, and not of process %lld of this "
                        "unit: each brickd needs a control socket of its own, and its unit "
                        "Environment=BRICKD_CONFIG=FILE",
                        control, (int)listener, main_process);
        return -EEXIST;
}

static int reload(const struct ctl *ctl, const struct file *file)
{
        int64_t timeout = ctl_timeout(ctl, RELOAD_TIMEOUT);
        _cleanup_(bus_reply_done) struct bus_reply reply = {};
        int r = -ENOENT;

        if (file->control)
                r = check_unit(file->control, timeout);
        if (r == -EEXIST)
                return CTL_FAILED;
        if (r == 0)
                r = bus_call(file->control, timeout, &reply, "Reload", "b", (int)ctl->wait);
        return print_answer(ctl, file->control, r, &reply);
}

int command_reload(struct ctl *ctl)
{
        return control_with_file(ctl, reload);
}

static int restart(const struct ctl *ctl, const struct file *file)
{
        int64_t timeout = ctl_timeout(ctl, RELOAD_TIMEOUT);
        _cleanup_(bus_reply_done) struct bus_reply reply = {};
        int r = -ENOENT;

        if (file->control)
                r = bus_call(file->control, timeout, &reply, "Restart", "s", ctl->arguments[0]);
        return print_answer(ctl, file->control, r, &reply);
}

int command_restart(struct ctl *ctl)
{
        return control_with_file(ctl, restart);
}

static int stop(const struct ctl *ctl, const struct file *file)
{
        _cleanup_(bus_reply_done) struct bus_reply reply = {};
        int r = -ENOENT;

        if (file->control)
                r = bus_call(file->control, ctl_timeout(ctl, CONTROL_TIMEOUT), &reply, "Stop", "");
        return print_answer(ctl, file->control, r, &reply);
}

int command_stop(struct ctl *ctl)
{
        return control_with_file(ctl, stop);
}

static int log_level(const struct ctl *ctl, const struct file *file)
{
        _cleanup_(bus_reply_done) struct bus_reply reply = {};
        int r = -ENOENT;

        if (file->control)
                r = bus_call(file->control, ctl_timeout(ctl, CONTROL_TIMEOUT), &reply, "LogLevel",
                             "sss", ctl->arguments[0], ctl->brick ?: "", ctl->module ?: "");
        return print_answer(ctl, file->control, r, &reply);
}

int command_log_level(struct ctl *ctl)
{
        if (log_level_from_string(ctl->arguments[0]) < 0)
                return ctl_error(EX_USAGE,
                                 "Unknown log level '%s'; use error, warning, notice, info "
                                 "or debug",
                                 ctl->arguments[0]);
        if (ctl->brick && ctl->module)
                return ctl_error(EX_USAGE, "--brick and --module cannot be combined");
        return control_with_file(ctl, log_level);
}
