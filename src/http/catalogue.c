/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "http/catalogue.h"
#include "module/call.h"
#include "module/instance.h"
#include "serve/fault.h"
#include "serve/service.h"
#include "serve/validate.h"
#include "serve/wire-read.h"
#include "util/clock.h"

#define FRESH_NS (60 * NSEC_PER_SEC) /* after an answer */
#define AGAIN_NS (2 * NSEC_PER_SEC)  /* after a failure */
#define WAIT_NS (10 * NSEC_PER_SEC)  /* for an answer */

#define REPLY_MAX (64 * 1024)

/* Numbers of fields in proto/: of ServiceInfoResponse, and of ModelInfo. */
#define FIELD_MODELS 3
#define FIELD_MODEL_ID 1

/* A call of brickd's own. Its end comes on the polling thread. */
struct question {
        struct call base;
        struct listed *entry;
        atomic_uint *in_flight;
        struct run_item item; /* queued if `posted`, which the lock of the call guards */
        bool posted;
        bool cancelled;
};

struct listed {
        struct instance *brick;
        struct question *question; /* under way; NULL: none */
        uint64_t ask_next;         /* when to ask again */
        const char **names;        /* brick->models, and behind them their texts, in one block of
                                      memory */
};

struct catalogue {
        struct listed *entries;
        size_t n_entries;
        atomic_uint *in_flight;
        bool stopped;
};

static struct question *question_of(struct call *base)
{
        return (struct question *)base;
}

/* --- an answer ----------------------------------------------------------------------------------
 */

static struct brick_str id_of_model(struct brick_bytes model)
{
        struct brick_str id = {};
        struct wire_field field;

        while (wire_next_field(&model, &field))
                if (field.number == FIELD_MODEL_ID)
                        id = (struct brick_str){ field.content.ptr, field.content.len };
        return id;
}

/* A name that is printable, and is not just that of the module: so bricks answer that have no
 * models. */
static bool is_model(const struct instance *brick, struct brick_str id)
{
        if (id.len == 0 || id.len > CATALOGUE_NAME_MAX)
                return false;
        for (size_t i = 0; i < id.len; i++)
                if ((unsigned char)id.ptr[i] < ' ' || id.ptr[i] == 0x7f)
                        return false;
        return strlen(brick->brick->name) != id.len ||
               memcmp(brick->brick->name, id.ptr, id.len) != 0;
}

static void take_names(struct listed *entry, struct brick_bytes info)
{
        const char **names = malloc(CATALOGUE_MODELS * (sizeof *names + 1) + info.len);
        struct wire_field field;
        size_t n = 0;
        char *next;

        if (!names)
                return;
        next = (char *)(names + CATALOGUE_MODELS);
        while (n < CATALOGUE_MODELS && wire_next_field(&info, &field)) {
                struct brick_str id = {};

                if (field.number == FIELD_MODELS)
                        id = id_of_model(field.content);
                if (!is_model(entry->brick, id))
                        continue;
                names[n++] = memcpy(next, id.ptr, id.len);
                next[id.len] = '\0';
                next += id.len + 1;
        }
        entry->brick->models = names;
        entry->brick->n_models = n;
        free(entry->names);
        entry->names = names;
}

static void take_answer(struct question *question, const struct reply *reply)
{
        struct listed *entry = question->entry;
        bool good = reply && outcome_is_success(&question->base.outcome);

        entry->question = NULL;
        entry->ask_next = clock_now() + (good ? FRESH_NS : AGAIN_NS);
        if (good)
                take_names(entry, (struct brick_bytes){ reply->data, reply->size });
}

/* --- a question, as the brick sees it -----------------------------------------------------------
 */

static int reply_seal(struct call *base, struct reply *reply)
{
        const struct service *service = service_of_type(BRICK_TYPE_LLM);
        const ProtobufCMessageDescriptor *type = service_reply(service, BRICK_METHOD_SERVICE_INFO);
        uint32_t error_field = service_error_field(service, BRICK_METHOD_SERVICE_INFO);

        return validate_message(type, reply->data, reply->size, error_field)
                       ? 0
                       : fault_of_reply(type, reply->data, reply->size);
}

static void pump(struct call *base)
{
        struct question *question = question_of(base);

        if (question->posted || !base->settled)
                return;
        question->posted = true;
        call_ref(base);
        runner_post(&runner_polling, &question->item);
}

static void receive(struct call *base)
{
        call_deliver(base, NULL);
}

static void release(struct call *base)
{
}

static bool metadata(struct call *base, size_t index, struct brick_str *ret_key,
                     struct brick_str *ret_value)
{
        return false;
}

static struct brick_str peer(struct call *base)
{
        return brick_str("brickd");
}

static int trailer(struct call *base, struct brick_str key, struct brick_str value)
{
        return 0;
}

static void party(struct call *base, struct share_party *ret)
{
}

static void free_question(struct call *base)
{
        struct question *question = question_of(base);
        atomic_uint *in_flight = question->in_flight;

        call_done(base);
        free(question);
        (void)atomic_fetch_sub(in_flight, 1);
}

static const struct transport transport = {
        .reply_new = call_heap_reply_new,
        .reply_free = call_heap_reply_free,
        .reply_seal = reply_seal,
        .pump = pump,
        .receive = receive,
        .release = release,
        .metadata = metadata,
        .peer = peer,
        .trailer = trailer,
        .party = party,
        .free = free_question,
};

/* The call is settled, and its reply is complete. */
static void run_end(struct run_item *item)
{
        struct question *question = CONTAINER_OF(item, struct question, item);
        struct call *base = &question->base;
        struct reply *reply;

        call_lock(base);
        reply = call_take_reply(base);
        if (reply)
                call_sent(base, reply->size);
        call_unlock(base);
        take_answer(question, reply);
        if (reply)
                call_heap_reply_free(base, reply);
        call_unref(base); /* of pump() */
        call_unref(base); /* of ask() */
}

static void give_up(struct question *question)
{
        if (question->cancelled)
                return;
        question->cancelled = true;
        call_cancel(&question->base);
}

static void ask(struct catalogue *catalogue, struct listed *entry)
{
        struct instance *brick = entry->brick;
        struct question *question = calloc(1, sizeof *question);
        struct call *base = &question->base;

        entry->ask_next = clock_now() + AGAIN_NS;
        if (!question)
                return;
        if (call_init(base, &transport) < 0) {
                free(question);
                return;
        }
        question->entry = entry;
        question->in_flight = catalogue->in_flight;
        question->item.run = run_end;
        (void)atomic_fetch_add(question->in_flight, 1);
        call_reset(base, brick, BRICK_METHOD_SERVICE_INFO, (size_t)brick->limits.arena);
        base->window = base->max_reply = REPLY_MAX;
        base->started = clock_now();
        base->deadline = base->started + WAIT_NS;
        entry->question = question;
        call_ref(base); /* for this function */
        call_choose_runner(base);
        if (call_admit(base))
                call_post_start(base);
        call_unref(base);
}

/* --- the catalogue ------------------------------------------------------------------------------
 */

int catalogue_new(struct catalogue **ret, atomic_uint *in_flight)
{
        struct catalogue *catalogue = calloc(1, sizeof *catalogue);

        if (!catalogue)
                return -ENOMEM;
        catalogue->in_flight = in_flight;
        *ret = catalogue;
        return 0;
}

struct catalogue *catalogue_free(struct catalogue *catalogue)
{
        if (!catalogue)
                return NULL;
        for (size_t i = 0; i < catalogue->n_entries; i++) {
                catalogue->entries[i].brick->n_models = 0;
                free(catalogue->entries[i].names);
        }
        free(catalogue->entries);
        free(catalogue);
        return NULL;
}

static struct listed *find(const struct catalogue *catalogue, const struct instance *brick)
{
        for (size_t i = 0; i < catalogue->n_entries; i++)
                if (catalogue->entries[i].brick == brick)
                        return &catalogue->entries[i];
        return NULL;
}

int catalogue_add(struct catalogue *catalogue, struct instance *brick)
{
        struct listed *grown;

        if (brick->type != BRICK_TYPE_LLM || find(catalogue, brick) ||
            !(brick->methods & 1u << BRICK_METHOD_SERVICE_INFO))
                return 0;
        grown = reallocarray(catalogue->entries, catalogue->n_entries + 1, sizeof *grown);
        if (!grown)
                return -ENOMEM;
        catalogue->entries = grown;
        grown[catalogue->n_entries++] = (struct listed){ .brick = brick };
        return 0;
}

void catalogue_refresh(struct catalogue *catalogue)
{
        uint64_t now = clock_now();

        for (size_t i = 0; !catalogue->stopped && i < catalogue->n_entries; i++) {
                struct listed *entry = &catalogue->entries[i];

                if (!entry->question && now >= entry->ask_next)
                        ask(catalogue, entry);
        }
}

bool catalogue_waits(const struct catalogue *catalogue)
{
        for (size_t i = 0; i < catalogue->n_entries; i++)
                if (catalogue->entries[i].question && !catalogue->entries[i].question->cancelled)
                        return true;
        return false;
}

void catalogue_check(struct catalogue *catalogue, uint64_t now)
{
        for (size_t i = 0; i < catalogue->n_entries; i++) {
                struct question *question = catalogue->entries[i].question;

                if (question && now >= question->base.deadline)
                        give_up(question);
        }
}

void catalogue_stop(struct catalogue *catalogue)
{
        catalogue->stopped = true;
        for (size_t i = 0; i < catalogue->n_entries; i++)
                if (catalogue->entries[i].question)
                        give_up(catalogue->entries[i].question);
}
