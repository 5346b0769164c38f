/* SPDX-License-Identifier: MIT */
#include "http/models.h"

#include <string.h>
#include <time.h>

#include "conf/conf.h"
#include "http/exchange.h"
#include "http/outcome.h"
#include "http/route.h"
#include "module/instance.h"

static bool may_call(struct exchange *x, const struct instance *brick)
{
        static const uint32_t methods[] = { BRICK_METHOD_UNARY, BRICK_METHOD_OUTPUT_STREAMING };

        for (size_t i = 0; i < 2; i++)
                if (brick->brick->methods & (1u << methods[i]) &&
                    exchange_allows(x, brick, methods[i]))
                        return true;
        return false;
}

static bool matches(const struct conf_brick *conf, const char *model)
{
        for (size_t i = 0; i < conf->n_match_model; i++)
                if (strcmp(conf->match_model[i], model) == 0)
                        return true;
        return false;
}

/* The brick itself says that it has the model. */
static bool says(const struct exchange *x, const struct instance *brick, const char *model)
{
        const char *const *own;
        size_t n = exchange_models(x, brick, &own);

        for (size_t i = 0; i < n; i++)
                if (strcmp(own[i], model) == 0)
                        return true;
        return false;
}

struct instance *models_find(struct exchange *x, const char *model, bool *ret_own)
{
        struct instance *const *bricks;
        size_t n = exchange_bricks(x, &bricks);

        *ret_own = true;
        for (size_t i = 0; i < n; i++)
                if (bricks[i]->type == BRICK_TYPE_LLM && strcmp(bricks[i]->conf->name, model) == 0)
                        return bricks[i];
        *ret_own = false;
        for (size_t i = 0; i < n; i++)
                if (bricks[i]->type == BRICK_TYPE_LLM && matches(bricks[i]->conf, model))
                        return bricks[i];
        for (size_t i = 0; i < n; i++)
                if (bricks[i]->type == BRICK_TYPE_LLM && says(x, bricks[i], model))
                        return bricks[i];
        exchange_ask_models(x);
        return NULL;
}

/* The models that a brick says it has, as far as requests for them come to it. */
static bool walk_own(struct exchange *x, const struct instance *brick,
                     bool (*each)(const char *model, void *user), void *user)
{
        const char *const *own;
        size_t n = exchange_models(x, brick, &own);
        bool by_name;

        for (size_t i = 0; i < n; i++)
                if (models_find(x, own[i], &by_name) == brick && !by_name &&
                    !matches(brick->conf, own[i]) && !each(own[i], user))
                        return false;
        return true;
}

/* Calls `each` for every model that the client may call, until it returns false. */
static void walk(struct exchange *x, bool (*each)(const char *model, void *user), void *user)
{
        struct instance *const *bricks;
        size_t n = exchange_bricks(x, &bricks);

        exchange_ask_models(x);
        for (size_t i = 0; i < n; i++) {
                const struct conf_brick *conf = bricks[i]->conf;

                if (bricks[i]->type != BRICK_TYPE_LLM || !may_call(x, bricks[i]))
                        continue;
                if (!each(conf->name, user))
                        return;
                for (size_t k = 0; k < conf->n_match_model; k++)
                        if (!each(conf->match_model[k], user))
                                return;
                if (!walk_own(x, bricks[i], each, user))
                        return;
        }
}

static bool name_one(const char *model, void *user)
{
        struct json_text *text = user;

        if (text->length > 0)
                json_puts(text, ", ");
        json_puts(text, "'");
        json_puts(text, model);
        json_puts(text, "'");
        return text->length < 512;
}

void models_name(struct exchange *x, struct json_text *text)
{
        walk(x, name_one, text);
}

/* --- the routes ---------------------------------------------------------------------------------
 */

static void put_model(struct json_text *text, const char *model)
{
        static time_t since;

        if (since == 0)
                since = time(NULL);
        json_puts(text, "{\"id\":");
        json_puts_string(text, model);
        json_puts(text, ",\"object\":\"model\",\"created\":");
        json_put_integer(text, since);
        json_puts(text, ",\"owned_by\":\"brickd\"}");
}

static bool list_one(const char *model, void *user)
{
        struct json_text *text = user;

        if (text->bytes[text->length - 1] != '[')
                json_puts(text, ",");
        put_model(text, model);
        return !text->failed;
}

static void answer(struct exchange *x, const struct json_text *text)
{
        exchange_answer(x, 200, "application/json", text->bytes, text->length);
}

void models_serve(struct exchange *x, const char *const *parameters)
{
        struct json_text text = json_text(exchange_arena(x));

        json_puts(&text, "{\"object\":\"list\",\"data\":[");
        if (!text.failed)
                walk(x, list_one, &text);
        json_puts(&text, "]}");
        answer(x, &text);
}

void model_serve(struct exchange *x, const char *const *parameters)
{
        struct json_text text = json_text(exchange_arena(x));
        bool own;
        struct instance *brick = models_find(x, parameters[0], &own);

        if (!brick || !may_call(x, brick)) {
                exchange_fail(x, &(struct exchange_error){
                                         .status = 404,
                                         .message = "There is no such model here.",
                                         .code = "model_not_found",
                                         .would_repeat = true,
                                 });
                return;
        }
        put_model(&text, parameters[0]);
        answer(x, &text);
}
