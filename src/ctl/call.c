/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "ctl/ctl.h"
#include "ctl/explain.h"
#include "ctl/json.h"
#include "ctl/lines.h"
#include "ctl/output.h"
#include "ctl/target.h"
#include "util/clock.h"

/* A model may need minutes to answer. */
#define CALL_TIMEOUT (300 * NSEC_PER_SEC)

struct call {
        const struct ctl *ctl;
        struct target target;
        const struct method *method;
        const ProtobufCMethodDescriptor *types;
        const char *argument;      /* the request on the command line; NULL: none */
        ProtobufCMessage *request; /* the only request; NULL: requests are lines of stdin */

        /* the replies so far */
        size_t n_replies;
        bool brick_failed;
        bool open_line; /* the last output did not end its line */

        const char *explain_key; /* NULL: the call is not to be explained */
};

static void call_done(struct call *call)
{
        target_done(&call->target);
        message_free(call->request);
}

/* The fields that a plain text stands for. GetServiceInfo has none. */
static const char *request_field(const struct call *call)
{
        return call->method == &methods[0] ? NULL : call->target.service->request_text;
}

static const char *reply_field(const struct call *call)
{
        return call->method == &methods[0] ? NULL : call->target.service->reply_text;
}

/* The in-band error of a reply. Code 200 is success; other servers may leave the field out. NULL:
 * no error. */
static const json_t *reply_error(const json_t *reply)
{
        const json_t *error = json_object_get(reply, "error");

        return error && json_integer_value(json_object_get(error, "code")) != 200 ? error : NULL;
}

static void print_error(struct call *call, const json_t *error)
{
        const char *detail = json_string_value(json_object_get(error, "detail"));

        if (call->open_line)
                putchar('\n');
        call->open_line = false;
        fflush(stdout);
        fprintf(stderr, "brick error %" JSON_INTEGER_FORMAT ": ",
                json_integer_value(json_object_get(error, "code")));
        output_text(stderr, json_string_value(json_object_get(error, "message")));
        if (*detail) {
                fputs(" (", stderr);
                output_text(stderr, detail);
                fputc(')', stderr);
        }
        fputc('\n', stderr);
}

/* Prints a reply for people. The texts of a stream are parts of one text; an empty line separates
 * other messages. */
static void print_payload(struct call *call, json_t *reply)
{
        const char *field = reply_field(call);
        const char *text = field ? json_string_value(json_object_get(reply, field)) : NULL;

        if (text) {
                output_text(stdout, text);
                if (*text)
                        call->open_line = text[strlen(text) - 1] != '\n';
                return;
        }
        if (call->n_replies > 1)
                putchar('\n');
        (void)json_object_del(reply, "error");
        output_tree(stdout, reply);
}

static int print_reply(struct call *call, const ProtobufCMessage *message)
{
        _cleanup_(json_unrefp) json_t *reply = message_to_json(message);
        const json_t *error;

        if (!reply)
                return -EBADMSG;
        call->n_replies++;
        error = reply_error(reply);
        if (call->ctl->json)
                output_json(stdout, reply);
        else if (!error)
                print_payload(call, reply);
        if (error)
                print_error(call, error);
        call->brick_failed |= !!error;
        fflush(stdout);

        return 0;
}

/* A thread that sends the lines of stdin while the main thread receives. */
struct feeder {
        const struct call *call;
        struct rpc *rpc;
        pthread_t thread;
        int stop_fd; /* readable: the call is over */
        char *error; /* why the input is wrong; the thread has cancelled the call */
};

static int feed_line(struct feeder *feeder, size_t number, const char *line, size_t length)
{
        _cleanup_(message_freep) ProtobufCMessage *message = NULL;
        _cleanup_free_ char *error = NULL;
        int r;

        r = message_from_text(feeder->call->types->input, request_field(feeder->call), line, length,
                              &message, &error);
        if (r < 0) {
                if (asprintf(&feeder->error, "line %zu: %s", number, error ?: strerror(-r)) < 0)
                        feeder->error = NULL;
                return r;
        }
        return rpc_send(feeder->rpc, message);
}

static int feed_lines(struct feeder *feeder)
{
        _cleanup_(lines_freep) struct lines *lines = NULL;
        const char *line;
        size_t length;
        int r;

        r = lines_new(&lines, STDIN_FILENO, feeder->stop_fd);
        for (size_t number = 1; r >= 0; number++) {
                r = lines_next(lines, &line, &length);
                if (r == 0)
                        return rpc_send_end(feeder->rpc);
                if (r > 0 && length > 0)
                        r = feed_line(feeder, number, line, length);
        }

        return r;
}

static void *feed(void *arg)
{
        struct feeder *feeder = arg;
        int r;

        r = feed_lines(feeder);
        if (r < 0 && r != -EPIPE) {
                if (!feeder->error &&
                    asprintf(&feeder->error, "Failed to read the requests: %s", strerror(-r)) < 0)
                        feeder->error = NULL;
                rpc_cancel(feeder->rpc);
        }
        return NULL;
}

static int feeder_start(struct feeder *feeder)
{
        int r;

        feeder->stop_fd = eventfd(0, EFD_CLOEXEC);
        if (feeder->stop_fd < 0)
                return -errno;
        r = pthread_create(&feeder->thread, NULL, feed, feeder);
        if (r != 0)
                feeder->stop_fd = close_fd(feeder->stop_fd);

        return -r;
}

static void feeder_stop(struct feeder *feeder)
{
        (void)eventfd_write(feeder->stop_fd, 1);
        (void)pthread_join(feeder->thread, NULL);
        feeder->stop_fd = close_fd(feeder->stop_fd);
}

/* Reports how the call ended and returns the exit status. */
static int conclude(struct call *call, struct rpc *rpc, int received)
{
        const char *text;
        int status;

        if (received < 0)
                rpc_cancel(rpc);
        status = rpc_finish(rpc, &text);
        if (call->open_line)
                putchar('\n');
        fflush(stdout);
        if (call->explain_key && !explain_print(rpc, call->ctl->json) && status == 0)
                fprintf(stderr, "brickctl: The brick has not said what it did: it is of a module "
                                "that does not explain itself\n");
        if (received < 0)
                return ctl_error(CTL_UNREACHABLE, "The reply is not a valid %s",
                                 call->types->output->short_name);
        if (status != 0) {
                rpc_print_status(status, text);
                return CTL_UNREACHABLE;
        }
        if (call->n_replies == 0 && !call->method->reply_stream)
                return ctl_error(CTL_UNREACHABLE, "The server sent no reply");

        return call->brick_failed ? CTL_FAILED : CTL_OK;
}

static int receive_all(struct call *call, struct rpc *rpc)
{
        int r;

        for (;;) {
                _cleanup_(message_freep) ProtobufCMessage *message = NULL;

                r = rpc_receive(rpc, call->types->output, &message);
                if (r > 0)
                        r = print_reply(call, message);
                else
                        return r;
                if (r < 0)
                        return r;
        }
}

static int run_stream(struct call *call, struct rpc *rpc)
{
        struct feeder feeder = { .call = call, .rpc = rpc };
        _cleanup_free_ char *error = NULL;
        int received, r;

        r = feeder_start(&feeder);
        if (r < 0)
                return ctl_error(CTL_UNREACHABLE, "Failed to start a thread: %s", strerror(-r));
        received = receive_all(call, rpc);
        feeder_stop(&feeder);
        error = feeder.error;
        if (error)
                return ctl_error(EX_USAGE, "%s", error);

        return conclude(call, rpc, received);
}

static int run_single(struct call *call, struct rpc *rpc)
{
        /* If sending fails, the call is over, and its status says why. */
        if (rpc_send(rpc, call->request) == 0)
                (void)rpc_send_end(rpc);
        return conclude(call, rpc, receive_all(call, rpc));
}

static int run(struct call *call)
{
        const struct ctl *ctl = call->ctl;
        struct rpc_metadata metadata[CTL_METADATA_MAX + 4];
        size_t n = ctl->n_metadata;
        _cleanup_(rpc_freep) struct rpc *rpc = NULL;
        _cleanup_free_ char *path = NULL, *authorization = NULL;
        int r;

        r = ctl_authorization(ctl, &authorization);
        if (r != CTL_OK)
                return r;
        memcpy(metadata, ctl->metadata, n * sizeof *metadata);
        if (authorization)
                metadata[n++] = (struct rpc_metadata){ "authorization", authorization };
        if (call->target.brick)
                metadata[n++] = (struct rpc_metadata){ "x-brick", call->target.brick };
        /* Ask for errors in the reply, whatever `errors` the port is configured with: brickctl
         * prints replies. */
        metadata[n++] = (struct rpc_metadata){ "x-brick-status", "in-band" };
        if (call->explain_key)
                metadata[n++] = (struct rpc_metadata){ "x-brick-explain",
                                                       (char *)call->explain_key };
        if (asprintf(&path, "/%s/%s", call->target.service->descriptor->name, call->method->name) <
            0)
                return ctl_error(CTL_UNREACHABLE, "Out of memory");
        r = rpc_new(&rpc, call->target.address, &call->target.tls, path, metadata, n,
                    ctl_timeout(ctl, CALL_TIMEOUT));
        if (r < 0)
                return ctl_error(CTL_UNREACHABLE, "Failed to call %s: %s", call->target.address,
                                 strerror(-r));

        return call->request ? run_single(call, rpc) : run_stream(call, rpc);
}

/* Parses [METHOD] [REQUEST] after the name. A single word is a method if it names one. */
static int parse_arguments(struct call *call)
{
        const struct ctl *ctl = call->ctl;
        const char *name = ctl->n_arguments > 1 ? ctl->arguments[1] : NULL;

        call->method = name ? method_find(name) : NULL;
        if (ctl->n_arguments == 3)
                call->argument = ctl->arguments[2];
        else if (!call->method)
                call->argument = name;

        if (call->method && ctl->stream)
                return ctl_error(EX_USAGE, "--stream cannot be combined with a method");
        if (!call->method && ctl->n_arguments == 3)
                return ctl_error(EX_USAGE,
                                 "Unknown method '%s'; use GetServiceInfo, Unary, "
                                 "OutputStreaming, InputStreaming or BidiStreaming",
                                 name);
        if (!call->method)
                call->method = method_find(ctl->stream ? "OutputStreaming" : "Unary");

        return CTL_OK;
}

static int parse_text(struct call *call, const char *text, size_t length)
{
        _cleanup_free_ char *error = NULL;
        int r;

        r = message_from_text(call->types->input, request_field(call), text, length, &call->request,
                              &error);
        return r < 0 ? ctl_error(EX_USAGE, "Invalid request: %s", error ?: strerror(-r)) : CTL_OK;
}

static int parse_stdin(struct call *call)
{
        _cleanup_(lines_freep) struct lines *lines = NULL;
        const char *text;
        size_t length;
        int r;

        r = lines_new(&lines, STDIN_FILENO, -1);
        if (r >= 0)
                r = lines_rest(lines, &text, &length);
        if (r < 0)
                return ctl_error(EX_USAGE, "Failed to read the request: %s", strerror(-r));

        return parse_text(call, text, length);
}

static int parse_request(struct call *call)
{
        bool from_stdin = call->argument && strcmp(call->argument, "-") == 0;

        if (call->method->request_stream && (from_stdin || !call->argument))
                return CTL_OK;
        if (from_stdin)
                return parse_stdin(call);
        if (call->argument)
                return parse_text(call, call->argument, strlen(call->argument));
        if (call->types->input->n_fields == 0)
                return parse_text(call, "{}", 2);
        return ctl_error(EX_USAGE,
                         "The request is missing: a text, JSON, or '-' for standard input");
}

static int run_method(struct call *call)
{
        const struct service *service;
        int r;

        r = target_find(call->ctl, call->ctl->arguments[0], &call->target);
        if (r != CTL_OK)
                return r;
        service = call->target.service;
        call->types = service_method(service, call->method);
        if (!call->types)
                return ctl_error(EX_USAGE, "%s has no method %s", service->descriptor->short_name,
                                 call->method->name);
        r = parse_request(call);
        if (r != CTL_OK)
                return r;

        return run(call);
}

int call_explained(const struct ctl *ctl, const char *key)
{
        _cleanup_(call_done) struct call call = { .ctl = ctl, .explain_key = key };
        int r;

        r = parse_arguments(&call);
        if (r != CTL_OK)
                return r;
        return run_method(&call);
}

int command_call(struct ctl *ctl)
{
        return call_explained(ctl, NULL);
}

int command_info(struct ctl *ctl)
{
        _cleanup_(call_done) struct call call = { .ctl = ctl, .method = &methods[0] };

        return run_method(&call);
}
