/* SPDX-License-Identifier: MIT */
#include "explain.h"

#include <string.h>

#include "ask.h"
#include "util/utf8.h"

/* What each step shows of a text: a call has room for 8 KiB of trailers. */
#define TEXT_MAX 160
#define CUT "…"
#define TEXT_SIZE (TEXT_MAX + sizeof CUT)
#define TRAILER "x-brick-step-bin"

struct explained {
        uint64_t began, ended; /* CLOCK_MONOTONIC nanoseconds; 0: not */
        char input[TEXT_SIZE];
        char output[TEXT_SIZE];
        char verdict[TEXT_SIZE];
};

int explain_start(struct run *run)
{
        if (!brick_host->call_metadata(run->call, "x-brick-explain").ptr)
                return 0;
        run->explained = brick_alloc(run->call, run->plan->n_steps * sizeof *run->explained);
        if (!run->explained)
                return -ENOMEM;
        memset(run->explained, 0, run->plan->n_steps * sizeof *run->explained);
        return 0;
}

static struct explained *explained_of(struct run *run, const struct step *step)
{
        return run->explained ? &run->explained[step->index] : NULL;
}

/* Adds to a text of TEXT_MAX bytes, as far as it has room. */
static void add(char *text, const char *more, size_t length)
{
        size_t used = strlen(text), n;

        if (used >= TEXT_MAX)
                return; /* it has been cut */
        n = utf8_prefix(more, length, TEXT_MAX - used);
        memcpy(text + used, more, n);
        (void)snprintf(text + used + n, TEXT_SIZE - used - n, "%s", n < length ? CUT : "");
}

static void put(char *text, const char *value)
{
        text[0] = '\0';
        add(text, value, strlen(value));
}

void explain_begin(struct run *run, const struct step *step)
{
        struct explained *explained = explained_of(run, step);

        if (explained)
                explained->began = clock_ns();
}

/* A field that is a text; of a list, how many there are. */
static void show_field(char *text, const ProtobufCMessage *message, const char *name)
{
        const ProtobufCFieldDescriptor *field = field_named(message->descriptor, name);
        size_t n;

        text[0] = '\0';
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
                n = *field_count(message, field);
                (void)snprintf(text, TEXT_MAX, "%zu %s", n, name);
        } else if (field->type == PROTOBUF_C_TYPE_STRING) {
                put(text, field_pointer(message, name));
        }
}

void explain_input(struct run *run, const struct step *step, const ProtobufCMessage *request)
{
        struct explained *explained = explained_of(run, step);

        if (explained)
                show_field(explained->input, request, step->map->input);
}

void explain_value(struct run *run, const struct step *step, const ProtobufCMessage *reply)
{
        struct explained *explained = explained_of(run, step);
        const IntentionResponse *intent = (const void *)reply;

        if (!explained)
                return;
        if (step->type == BRICK_TYPE_INTENTION && intent->n_results > 0)
                (void)snprintf(explained->output, sizeof explained->output, "%.100s (%.2f)",
                               intent->results[0]->intent_category, intent->results[0]->confidence);
        else
                show_field(explained->output, reply, step->map->output);
}

void explain_reply(struct run *run, const struct step *step, struct brick_bytes reply)
{
        struct explained *explained = explained_of(run, step);
        ProtobufCMessage *message;
        char shown[TEXT_SIZE];

        if (!explained)
                return;
        message = brick_unpack_heap(step->map->reply, reply);
        if (!message)
                return;
        show_field(shown, message, step->map->output);
        add(explained->output, shown, strlen(shown));
        brick_unpacked_free(message);
}

void explain_output(struct run *run, const struct step *step, const char *text, size_t length)
{
        struct explained *explained = explained_of(run, step);

        if (explained)
                add(explained->output, text, length);
}

void explain_verdict(struct run *run, const struct step *step, const char *verdict)
{
        struct explained *explained = explained_of(run, step);

        if (explained)
                put(explained->verdict, verdict);
}

void explain_error(struct run *run, const struct step *step, int code, struct brick_str message)
{
        struct explained *explained = explained_of(run, step);

        if (explained)
                (void)snprintf(explained->verdict, sizeof explained->verdict, "error %d: %.*s",
                               code, message.len < 100 ? (int)message.len : 100, message.ptr);
}

void explain_end(struct run *run, const struct step *step)
{
        struct explained *explained = explained_of(run, step);

        if (explained && explained->ended == 0)
                explained->ended = clock_ns();
}

static int pack(struct run *run, const Struct *object, struct brick_bytes *ret)
{
        size_t size = protobuf_c_message_get_packed_size(&object->base);
        uint8_t *packed = brick_alloc(run->call, size);

        if (!packed)
                return -ENOMEM;
        *ret = (struct brick_bytes){ packed, protobuf_c_message_pack(&object->base, packed) };
        return 0;
}

static void add_text(struct run *run, Struct *object, const char *key, const char *text)
{
        if (text[0])
                (void)brick_value_set_string(brick_struct_add(run->call, object, key), text);
}

static void add_number(struct run *run, Struct *object, const char *key, uint64_t ns)
{
        (void)brick_value_set_number(brick_struct_add(run->call, object, key), (double)ns / 1000);
}

/* A google.protobuf.Struct for each step. */
static void send_step(struct run *run, const struct step *step, uint64_t start)
{
        struct explained *explained = &run->explained[step->index];
        Struct *object = BRICK_NEW(run->call, Struct);
        struct brick_bytes packed;

        explain_end(run, step);
        if (!object)
                return;
        add_text(run, object, "step", step->name);
        add_number(run, object, "start_us", explained->began - start);
        add_number(run, object, "took_us", explained->ended - explained->began);
        add_text(run, object, "verdict", explained->verdict);
        add_text(run, object, "input", explained->input);
        add_text(run, object, "output", explained->output);
        if (pack(run, object, &packed) == 0)
                (void)brick_host->call_trailer(run->call, brick_str(TRAILER),
                                               (struct brick_str){ packed.ptr, packed.len });
}

void explain_send(struct run *run)
{
        const struct plan *plan = run->plan;
        uint64_t start = 0;

        for (unsigned i = 0; run->explained && i < plan->n_steps; i++) {
                if (run->explained[i].began == 0)
                        continue;
                if (start == 0)
                        start = run->explained[i].began;
                send_step(run, plan->steps[i], start);
        }
}
