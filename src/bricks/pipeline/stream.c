/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include "ask.h"
#include "explain.h"
#include "watch.h"

enum source {
        SOURCE_OPEN,
        SOURCE_ENDED, /* the brick has sent all */
        SOURCE_CUT,   /* by the guard: nothing more is taken */
};

struct stream {
        struct run *run;
        const struct step *step;
        struct ask *ask;
        enum source source;
        bool to_client;
        bool asked;   /* for a reply that has not come */
        bool sent;    /* the client has something: no other brick can take over */
        bool flushed; /* the end has gone through the guard and the restorer */

        struct watch *watch;   /* NULL: no guard */
        struct buffer watched; /* what has come out of it */
        struct restorer restorer;
        struct buffer out; /* for the client, or the pipeline's text */
};

/* Whether the step's text is the stream of replies. */
static bool goes_to_client(const struct run *run, const struct step *step)
{
        return step->last && run->streams && run->plan->map->makes == FLOW_TEXT;
}

bool stream_is_needed(const struct run *run, const struct step *step)
{
        if (step->map->makes != FLOW_TEXT)
                return false;
        if (step->watch.target || (step->restore && run->mask.n > 0))
                return true;
        return goes_to_client(run, step) && step->map->streams && step->map != run->plan->map;
}

/* ---- the end -------------------------------------------------------------------------------- */

static const char *final_text(struct stream *stream)
{
        if (buffer_add(&stream->out, "", 0) < 0)
                return NULL;
        stream->out.ptr[stream->out.len] = '\0';
        return stream->out.ptr;
}

/* The text becomes the pipeline's, and that of the step's value. */
static void become_text(struct stream *stream)
{
        const struct step *step = stream->step;
        struct run *run = stream->run;
        ProtobufCMessage *value = brick_new(run->call, step->map->reply);
        const char *made = final_text(stream);
        char *text = value && made ? brick_strndup(run->call, made, stream->out.len) : NULL;

        if (!text) {
                run_fail_errno(run, -ENOMEM);
                return;
        }
        stream_close(stream);
        explain_output(run, step, text, stream->out.len);
        field_set_pointer(value, step->map->output, text);
        run_set_value(run, step, value);
        branch_of(run, step)->text = text;
        step_done(run, step);
}

static void refuse(struct stream *stream)
{
        struct run *run = stream->run;

        explain_verdict(run, stream->step, watch_hit(stream->watch));
        run_fail(run, BRICK_E_FORBIDDEN, "The reply was refused by a guard.", stream->step,
                 watch_hit(stream->watch));
}

/* ---- to the client -------------------------------------------------------------------------- */

/* 0, or the error of a send. */
static int send_text(struct stream *stream, bool final)
{
        const struct type_map *map = stream->run->plan->map;
        struct brick_call *call = stream->run->call;
        size_t mark = brick_mark(call);
        ProtobufCMessage *reply = brick_new(call, map->reply);
        const ProtobufCFieldDescriptor *is_final = field_named(map->reply, "is_final");
        const char *text = final_text(stream);
        int r = -ENOMEM;

        if (reply && text) {
                field_set_pointer(reply, map->output, text);
                *(protobuf_c_boolean *)field_place(reply, is_final) = final;
                r = brick_send(call, reply);
        }
        brick_rewind(call, mark);
        if (r == 0) {
                explain_output(stream->run, stream->step, stream->out.ptr, stream->out.len);
                stream->out.len = 0;
                stream->sent = true;
        }
        return r;
}

static void ask_more(struct stream *stream)
{
        if (stream->asked || stream->source != SOURCE_OPEN)
                return;
        stream->asked = true;
        ask_next(stream->ask);
}

static void finish(struct stream *stream)
{
        struct run *run = stream->run;

        if (stream->watch && watch_hit(stream->watch) &&
            stream->step->watch.on_hit == WATCH_ERROR) {
                refuse(stream);
                return;
        }
        if (!stream->to_client) {
                become_text(stream);
                return;
        }
        run_over(run);
        brick_finish(run->call);
}

/* Sends what there is. False: it waits for room, or the call is over. */
static bool flush(struct stream *stream)
{
        bool refused = stream->watch && watch_hit(stream->watch) &&
                       stream->step->watch.on_hit == WATCH_ERROR;
        bool final = stream->flushed && !refused;
        int r;

        if (!stream->to_client || (stream->out.len == 0 && !final))
                return true;
        r = send_text(stream, final);
        if (r == 0)
                return true;
        if (r == -EAGAIN)
                stream->run->waiting = stream->step;
        else if (r == -ECANCELED)
                run_cancelled(stream->run);
        else
                run_fail_errno(stream->run, r);
        return false;
}

/* ---- what comes ----------------------------------------------------------------------------- */

static int restore(struct stream *stream, const char *text, size_t length, bool last)
{
        if (!stream->step->restore)
                return buffer_add(&stream->out, text, length);
        return restorer_push(&stream->restorer, text, length, last, &stream->out);
}

/* What has come out of the guard goes on; after its end, or a hit, also what was held for it. */
static int pass_watched(struct stream *stream)
{
        const char *hit = stream->watch ? watch_hit(stream->watch) : NULL;
        const char *message = stream->step->watch.message;
        bool end = !stream->flushed && (hit || (stream->source == SOURCE_ENDED &&
                                                !(stream->watch && watch_busy(stream->watch))));
        int r;

        r = restore(stream, stream->watched.ptr ? stream->watched.ptr : "", stream->watched.len,
                    end);
        stream->watched.len = 0;
        if (r < 0 || !end)
                return r;
        stream->flushed = true;
        if (!hit)
                return 0;
        if (stream->source == SOURCE_OPEN) {
                stream->source = SOURCE_CUT;
                ask_cancel(stream->ask);
        }
        explain_verdict(stream->run, stream->step, hit);
        return stream->step->watch.on_hit == WATCH_CUT
                       ? buffer_add(&stream->out, message, strlen(message))
                       : 0;
}

/* Passes on what can be, and asks for more or ends. */
static void advance(struct stream *stream)
{
        int r;

        if (stream->run->over)
                return;
        r = pass_watched(stream);
        if (r < 0) {
                run_fail_errno(stream->run, r);
                return;
        }
        if (!flush(stream))
                return;
        if (stream->flushed)
                finish(stream);
        else if (!stream->watch || !watch_busy(stream->watch))
                ask_more(stream);
}

static void push(struct stream *stream, const char *text, size_t length, bool last)
{
        if (stream->watch) {
                watch_push(stream->watch, text, length, last);
                return;
        }
        if (buffer_add(&stream->watched, text, length) < 0)
                run_fail_errno(stream->run, -ENOMEM);
}

static void unreadable(struct stream *stream)
{
        ask_cancel(stream->ask);
        if (stream->sent) {
                run_fail_errno(stream->run, -EBADMSG);
                return;
        }
        stream_close(stream);
        step_failed_reply(stream->run, stream->step);
}

static void on_text(struct ask *ask, struct brick_bytes message)
{
        struct stream *stream = ask->user;
        ProtobufCMessage *reply = brick_unpack_heap(stream->step->map->reply, message);
        const char *text;

        stream->asked = false;
        if (!reply) {
                unreadable(stream);
                return;
        }
        text = field_pointer(reply, stream->step->map->output);
        push(stream, text, strlen(text), false);
        brick_unpacked_free(reply);
        advance(stream);
}

/* A failure after the client has had a part of the reply is one of the call. */
static void fail(struct stream *stream, const struct brick_outcome *outcome)
{
        struct run *run = stream->run;

        if (!stream->sent) {
                stream_close(stream);
                step_failed(run, stream->step, outcome);
                return;
        }
        run_over(run);
        (void)brick_fail_as(run->call, outcome);
}

static void on_end(struct ask *ask, const struct brick_outcome *outcome)
{
        struct stream *stream = ask->user;

        stream->asked = true; /* there is nothing more to ask for */
        if (outcome->status != 0 || outcome->code != 200) {
                fail(stream, outcome);
                return;
        }
        stream->source = SOURCE_ENDED;
        push(stream, "", 0, true);
        advance(stream);
}

static void on_progress(void *user)
{
        advance(user);
}

static void on_guard_failed(void *user, const struct brick_outcome *outcome, int r)
{
        struct stream *stream = user;
        struct run *run = stream->run;

        if (run->over)
                return;
        if (!outcome) {
                run_fail_errno(run, r);
                return;
        }
        run_over(run);
        (void)brick_fail_as(run->call, outcome);
}

static const struct watch_ops watch_ops = {
        .progress = on_progress,
        .failed = on_guard_failed,
};

void stream_writable(struct stream *stream)
{
        advance(stream);
}

int stream_begin(struct run *run, const struct step *step, const ProtobufCMessage *request)
{
        struct brick_target *target = step->targets[state_of(run, step)->attempt];
        bool to_client = goes_to_client(run, step);
        bool whole = !to_client ||
                     !(brick_host->target_methods(target) & 1u << BRICK_METHOD_OUTPUT_STREAMING);
        struct stream *stream = calloc(1, sizeof *stream);
        const struct ask what = {
                .run = run, .step = step, .message = on_text, .done = on_end, .user = stream
        };
        int r = 0;

        if (!stream)
                return -ENOMEM;
        stream_free(state_of(run, step)->stream); /* of the brick that has failed */
        state_of(run, step)->stream = stream;
        stream->run = run;
        stream->step = step;
        stream->to_client = to_client;
        stream->restorer.mask = &run->mask;
        if (step->watch.target)
                r = watch_new(&stream->watch, run, step, &watch_ops, stream, &stream->watched);
        if (r == 0)
                r = ask_start(&stream->ask, &what, target,
                              whole ? BRICK_METHOD_UNARY : BRICK_METHOD_OUTPUT_STREAMING, request);
        if (r == 0)
                ask_more(stream);
        return r;
}

void stream_close(struct stream *stream)
{
        if (stream->watch)
                watch_close(stream->watch);
}

void stream_free(struct stream *stream)
{
        if (!stream)
                return;
        watch_free(stream->watch);
        restorer_done(&stream->restorer);
        buffer_done(&stream->watched);
        buffer_done(&stream->out);
        free(stream);
}
