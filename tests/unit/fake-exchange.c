/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include "fake-exchange.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "serve/validate.h"
#include "util/json-write.h"

void fake_reset(struct exchange *x)
{
        fake_done(x);
        memset(x, 0, sizeof *x);
        arena_init(&x->arena, 1 << 20);
        arena_init(&x->request, 1 << 20);
        arena_init(&x->scratch, 1 << 20);
        arena_init(&x->call_arena, 1 << 20);
        x->head.minor = 1;
}

void fake_done(struct exchange *x)
{
        arena_done(&x->arena);
        arena_done(&x->request);
        arena_done(&x->scratch);
        arena_done(&x->call_arena);
}

struct fake_brick *fake_add(struct exchange *x, const char *name, unsigned type, uint32_t methods)
{
        struct fake_brick *brick = &x->bricks[x->n_bricks];

        assert(x->n_bricks < FAKE_BRICKS);
        brick->conf.name = name;
        brick->module.methods = methods;
        brick->instance.conf = &brick->conf;
        brick->instance.brick = &brick->module;
        brick->instance.type = type;
        brick->instance.stats = &brick->stats;
        health_init(&brick->instance.health);
        x->instances[x->n_bricks++] = &brick->instance;
        return brick;
}

void fake_field(struct exchange *x, const char *name, const char *value)
{
        x->head.fields[x->head.n_fields++] = (struct http_field){
                .name = { name, strlen(name) },
                .value = { value, strlen(value) },
        };
}

/* --- what the brick does ------------------------------------------------------------------------
 */

/* The route's function has returned. */
static void drop_request(struct exchange *x)
{
        if (x->keeps_request)
                return;
        x->dropped = true;
        arena_done(&x->request);
}

void fake_reply(struct exchange *x, const ProtobufCMessage *message)
{
        uint8_t bytes[4096];

        drop_request(x);
        assert(x->running && protobuf_c_message_get_packed_size(message) <= sizeof bytes);
        x->call.ops->reply(x,
                           (struct brick_bytes){ bytes, protobuf_c_message_pack(message, bytes) });
}

static void end(struct exchange *x, const struct exchange_outcome *outcome)
{
        assert(x->running);
        drop_request(x);
        x->running = false;
        x->call.ops->done(x, outcome);
}

void fake_success(struct exchange *x)
{
        end(x, &(struct exchange_outcome){ .success = true });
}

void fake_failure(struct exchange *x, unsigned status, const char *message)
{
        end(x, &(struct exchange_outcome){
                       .error = { .status = status, .message = message, .code = "failed" } });
}

void fake_silence(struct exchange *x)
{
        drop_request(x);
        if (x->call.ops->silent)
                x->call.ops->silent(x);
}

static void *from_arena(void *arena, size_t size)
{
        return arena_alloc(arena, size, 16);
}

static void keep(void *arena, void *p)
{
}

void *fake_request(struct exchange *x, size_t i, const ProtobufCMessageDescriptor *type)
{
        ProtobufCAllocator allocator = { from_arena, keep, &x->call_arena };
        void *message;

        assert(i < x->call.n_requests);
        assert(validate_message(type, x->requests[i].ptr, x->requests[i].len, 0));
        message = protobuf_c_message_unpack(type, &allocator, x->requests[i].len,
                                            x->requests[i].ptr);
        assert(message);
        return message;
}

/* --- what the test sees -------------------------------------------------------------------------
 */

void fake_expect(const struct exchange *x, unsigned status, const char *answer)
{
        if (x->status != status || strcmp(x->answer, answer) != 0)
                fprintf(stderr, "got  %u %s\nwant %u %s\n", x->status, x->answer, status, answer);
        assert(x->status == status && strcmp(x->answer, answer) == 0);
        assert(x->ended && !x->running && !x->aborted);
}

void fake_expect_error(const struct exchange *x, unsigned status, const char *code,
                       const char *param)
{
        if (x->status != status || strcmp(x->code, code) != 0 || strcmp(x->param, param ?: ""))
                fprintf(stderr, "got  %u %s %s: %s\nwant %u %s %s\n", x->status, x->code, x->param,
                        x->message, status, code, param ?: "");
        assert(x->status == status && strcmp(x->code, code) == 0 &&
               strcmp(x->param, param ?: "") == 0);
        assert(x->ended && !x->running && x->message[0]);
}

/* --- exchange.h ---------------------------------------------------------------------------------
 */

const struct http_head *exchange_head(const struct exchange *x)
{
        assert(!x->dropped);
        return &x->head;
}

struct http_text exchange_body(const struct exchange *x)
{
        assert(!x->dropped);
        return (struct http_text){ x->body, x->body ? strlen(x->body) : 0 };
}

struct arena *exchange_arena(struct exchange *x)
{
        return &x->arena;
}

struct arena *exchange_request_arena(struct exchange *x)
{
        assert(!x->dropped);
        return &x->request;
}

struct arena *exchange_scratch(struct exchange *x)
{
        arena_reset(&x->scratch, 1 << 20);
        return &x->scratch;
}

void exchange_keep_request(struct exchange *x)
{
        x->keeps_request = true;
}

const char *exchange_id(const struct exchange *x)
{
        return "0123456789abcdef";
}

const struct conf_http *exchange_conf(const struct exchange *x)
{
        return &x->conf;
}

bool exchange_is_lame(const struct exchange *x)
{
        return false;
}

bool exchange_allows(struct exchange *x, const struct instance *brick, uint32_t method)
{
        return !((const struct fake_brick *)(const void *)brick)->forbidden;
}

size_t exchange_bricks(const struct exchange *x, struct instance *const **ret)
{
        *ret = x->instances;
        return x->n_bricks;
}

size_t exchange_models(const struct exchange *x, const struct instance *brick,
                       const char *const **ret)
{
        const struct fake_brick *fake = CONTAINER_OF(brick, const struct fake_brick, instance);
        size_t n = 0;

        *ret = fake->models;
        while (fake->models && fake->models[n])
                n++;
        return n;
}

void exchange_ask_models(struct exchange *x)
{
        x->asked_models = true;
}

void exchange_set_data(struct exchange *x, void *data)
{
        x->data = data;
}

void *exchange_data(const struct exchange *x)
{
        return x->data;
}

void exchange_header(struct exchange *x, const char *name, const char *value)
{
        size_t n = strlen(x->fields);

        assert(!x->status);
        (void)snprintf(x->fields + n, sizeof x->fields - n, "%s: %s\n", name, value);
}

void exchange_begin(struct exchange *x, unsigned status, const char *type)
{
        assert(!x->status);
        x->status = status;
        (void)snprintf(x->type, sizeof x->type, "%s", type);
}

void exchange_write(struct exchange *x, const void *bytes, size_t length)
{
        assert(x->status && !x->ended && length < sizeof x->answer - x->length);
        if (length > 0)
                memcpy(x->answer + x->length, bytes, length);
        x->length += length;
        x->answer[x->length] = '\0';
}

void exchange_end(struct exchange *x)
{
        assert(x->status && !x->ended);
        x->ended = true;
}

void exchange_answer(struct exchange *x, unsigned status, const char *type, const void *body,
                     size_t length)
{
        exchange_begin(x, status, type);
        exchange_write(x, body, length);
        exchange_end(x);
}

void exchange_abort(struct exchange *x)
{
        x->aborted = x->ended = true;
}

bool exchange_has_begun(const struct exchange *x)
{
        return x->status != 0;
}

struct http_text exchange_error_json(struct exchange *x, const struct exchange_error *error)
{
        struct json_text text = json_text(&x->arena);

        json_puts(&text, "{\"error\":{\"message\":");
        json_puts_string(&text, error->message);
        json_puts(&text, "}}");
        return (struct http_text){ text.bytes, text.length };
}

void exchange_fail(struct exchange *x, const struct exchange_error *error)
{
        exchange_begin(x, error->status, "application/json");
        (void)snprintf(x->code, sizeof x->code, "%s", error->code ?: "");
        (void)snprintf(x->param, sizeof x->param, "%s", error->param ?: "");
        (void)snprintf(x->message, sizeof x->message, "%s", error->message);
        exchange_end(x);
}

void exchange_call(struct exchange *x, const struct exchange_call *call)
{
        assert(!x->running && !x->ended && call->n_requests <= 8);
        x->call = *call;
        x->calls++;
        x->running = true;
        for (size_t i = 0; i < call->n_requests; i++) {
                struct brick_bytes request = call->requests[i];

                x->requests[i].len = request.len;
                x->requests[i].ptr = arena_strndup(&x->call_arena, request.ptr, request.len);
        }
}

void exchange_cancel(struct exchange *x)
{
        x->cancelled = true;
}

bool exchange_is_explained(const struct exchange *x)
{
        return x->explained;
}

struct brick_str exchange_trailer_at(const struct exchange *x, const char *key, size_t index)
{
        for (size_t i = 0; i < x->n_trailers; i++)
                if (x->trailers[i].key.len == strlen(key) &&
                    memcmp(x->trailers[i].key.ptr, key, strlen(key)) == 0 && index-- == 0)
                        return x->trailers[i].value;
        return (struct brick_str){};
}

struct brick_str exchange_trailer(const struct exchange *x, const char *key)
{
        return exchange_trailer_at(x, key, 0);
}
