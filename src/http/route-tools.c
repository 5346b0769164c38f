/* SPDX-License-Identifier: MIT */
#include "http/route-tools.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/names.h"
#include "module/instance.h"
#include "serve/service.h"
#include "util/arena.h"

#define NAMES_SHOWN 20
#define REFUSAL_ROOM 16384 /* bytes to tell of a full arena */

void route_refuse(struct exchange *x, unsigned status, const char *code, const char *param,
                  const char *format, ...)
{
        struct exchange_error error = {
                .status = status,
                .type = "invalid_request_error",
                .code = code,
                .param = param,
                .would_repeat = true,
        };
        char *text = NULL;
        va_list args;
        int n;

        va_start(args, format);
        n = vasprintf(&text, format, args);
        va_end(args);
        error.message = n < 0 ? "The request is wrong." : text;
        exchange_fail(x, &error);
        if (n >= 0)
                free(text);
}

void route_refuse_memory(struct exchange *x)
{
        struct arena *arena = exchange_arena(x);

        arena_limit(arena, arena->used + REFUSAL_ROOM);
        exchange_fail(x, &(struct exchange_error){
                                 .status = 413,
                                 .message = "The request needs more memory than one may have.",
                                 .code = "request_too_large",
                                 .would_repeat = true,
                         });
}

void route_answer(struct exchange *x, const struct json_text *text)
{
        if (text->failed) {
                arena_limit(exchange_arena(x), exchange_arena(x)->used + REFUSAL_ROOM);
                exchange_fail(x, &(struct exchange_error){
                                         .status = 500,
                                         .message = "The answer needs more memory than one may "
                                                    "have: limits.request of the port bounds it.",
                                         .code = "answer_too_large",
                                         .would_repeat = true,
                                 });
        } else {
                exchange_answer(x, 200, JSON_TYPE, text->bytes, text->length);
        }
}

bool route_json(struct exchange *x, struct http_text part, size_t line, struct json_value *ret)
{
        struct json_mistake mistake;

        if (json_check(part.ptr, part.length, ret, &mistake))
                return true;
        route_refuse(x, 400, "invalid_json", NULL,
                     "The body is not JSON: %s, at line %zu, column "
                     "%zu.",
                     mistake.text, mistake.line + line - 1, mistake.column);
        return false;
}

bool route_body(struct exchange *x, struct json_value *ret)
{
        struct http_text body = exchange_body(x);

        return route_json(x, body.length > 0 ? body : (struct http_text){ "{}", 2 }, 1, ret);
}

bool route_object(struct exchange *x, struct json_value *ret)
{
        if (!route_body(x, ret))
                return false;
        if (json_value_kind(*ret) == JSON_KIND_OBJECT)
                return true;
        route_refuse(x, 400, "invalid_type", NULL, "The body must be a JSON object.");
        return false;
}

bool route_string(struct exchange *x, struct json_value value, const char *param, char **ret)
{
        const char *text = NULL;
        size_t length;

        if (!value.ptr)
                route_refuse(x, 400, "missing_required_parameter", param, "'%s' is missing.",
                             param);
        else if (json_value_kind(value) != JSON_KIND_STRING)
                route_refuse(x, 400, "invalid_type", param, "Expected a string for '%s', got %s.",
                             param, json_value_kind_name(value));
        else if (!(text = json_value_string(value, exchange_arena(x), &length)))
                route_refuse_memory(x);
        else if (strlen(text) != length)
                route_refuse(x, 400, "invalid_value", param, "'%s' has a NUL character.", param);
        else
                *ret = (char *)text;
        return text && strlen(text) == length;
}

bool route_pack(struct exchange *x, const ProtobufCMessage *message, struct brick_bytes *ret)
{
        size_t size = protobuf_c_message_get_packed_size(message);
        void *bytes = arena_alloc(exchange_request_arena(x), size + 1, 1);

        if (!bytes) {
                route_refuse_memory(x);
                return false;
        }
        *ret = (struct brick_bytes){ bytes, protobuf_c_message_pack(message, bytes) };
        return true;
}

struct json_value route_member(struct json_value object, const char *name)
{
        struct json_walk walk = json_begin(object);
        struct json_value key, value, found = {};

        if (json_value_kind(object) != JSON_KIND_OBJECT)
                return found;
        while (json_next_member(&walk, &key, &value))
                if (json_value_is(key, name))
                        found = value;
        if (found.ptr && json_value_kind(found) == JSON_KIND_NULL)
                found = (struct json_value){};
        return found;
}

uint32_t route_methods(struct exchange *x, const struct instance *brick)
{
        uint32_t methods = brick->brick->methods & service_of_type(brick->type)->methods;

        for (uint32_t method = 0; brick_method_to_string(method); method++)
                if (!exchange_allows(x, brick, method))
                        methods &= ~(UINT32_C(1) << method);
        return methods;
}

/* "chat, backup": the bricks that the client may call. */
static void list_bricks(struct exchange *x, unsigned type, struct json_text *text)
{
        struct instance *const *bricks;
        size_t n = exchange_bricks(x, &bricks), shown = 0;

        for (size_t i = 0; i < n && shown < NAMES_SHOWN; i++) {
                if ((type && bricks[i]->type != type) || !route_methods(x, bricks[i]))
                        continue;
                if (shown++ > 0)
                        json_puts(text, ", ");
                json_puts(text, bricks[i]->conf->name);
        }
        json_put(text, "", 1);
}

struct instance *route_brick_named(struct exchange *x, const char *name, unsigned type)
{
        struct instance *const *bricks;
        size_t n = exchange_bricks(x, &bricks);

        for (size_t i = 0; i < n; i++)
                if ((!type || bricks[i]->type == type) && strcmp(bricks[i]->conf->name, name) == 0)
                        return bricks[i];
        return NULL;
}

struct instance *route_brick(struct exchange *x, const char *name, unsigned type)
{
        struct instance *brick = route_brick_named(x, name, type);
        struct json_text names = json_text(exchange_arena(x));

        if (brick)
                return brick;
        list_bricks(x, type, &names);
        route_refuse(x, 404, "brick_not_found", NULL,
                     "This port has no %s%sbrick '%s' for you; there is: %s.",
                     type ? brick_type_to_string(type) : "", type ? " " : "", name,
                     names.failed || !names.bytes[0] ? "none" : names.bytes);
        return NULL;
}

struct instance *route_default_brick(struct exchange *x, unsigned type)
{
        struct instance *const *bricks, *found = NULL;
        size_t n = exchange_bricks(x, &bricks);

        for (size_t i = 0; i < n; i++)
                if (bricks[i]->type == type && (!found || bricks[i]->conf->is_default))
                        found = bricks[i];
        if (!found)
                route_refuse(x, 404, "brick_not_found", NULL, "This port has no %s brick.",
                             brick_type_to_string(type));
        return found;
}

bool route_takes_events(const struct exchange *x)
{
        static const char type[] = "text/event-stream";
        struct http_text accept = http_head_field(exchange_head(x), "accept");

        return accept.ptr && memmem(accept.ptr, accept.length, type, sizeof type - 1);
}

void route_begin_events(struct exchange *x)
{
        size_t mark = arena_mark(exchange_arena(x));

        if (exchange_has_begun(x))
                return;
        exchange_header(x, "Cache-Control", "no-cache, no-transform");
        exchange_header(x, "X-Accel-Buffering", "no");
        exchange_begin(x, 200, SSE_TYPE);
        (void)arena_rewind(exchange_arena(x), mark);
}
