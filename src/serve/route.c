/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/names.h"
#include "module/instance.h"
#include "serve/route.h"
#include "serve/validate.h"
#include "shared/stats.h"

static bool str_is(const char *s, struct brick_str value)
{
        return strlen(s) == value.len && memcmp(s, value.ptr, value.len) == 0;
}

static bool list_has(const char *const *list, size_t n, struct brick_str value)
{
        for (size_t i = 0; i < n; i++)
                if (str_is(list[i], value))
                        return true;
        return false;
}

static bool named(const struct conf_brick *brick, struct brick_str name)
{
        return str_is(brick->name, name) ||
               list_has(brick->match_brick, brick->n_match_brick, name);
}

static void check_pair(const struct conf_brick *a, const struct conf_brick *b, struct diag *diag)
{
        if (list_has(a->match_brick, a->n_match_brick, brick_str(b->name)))
                diag_add(diag, a->match, "x-brick '%s' also selects brick '%s'", b->name, b->name);
        for (size_t i = 0; i < b->n_match_brick; i++)
                if (named(a, brick_str(b->match_brick[i])))
                        diag_add(diag, b->match, "x-brick '%s' also selects brick '%s'",
                                 b->match_brick[i], a->name);
        for (size_t i = 0; i < b->n_match_model; i++)
                if (list_has(a->match_model, a->n_match_model, brick_str(b->match_model[i])))
                        diag_add(diag, b->match, "model_id '%s' also selects brick '%s'",
                                 b->match_model[i], a->name);
}

static void check_several(const struct route *route, const struct conf_port *port,
                          struct diag *diag)
{
        const char *type = brick_type_to_string(route->service->type);
        const bool by_name = port->protocol == PROTOCOL_HTTP; /* every request names its brick */
        size_t defaults = 0;

        for (size_t i = 0; i < route->n_bricks; i++) {
                const struct conf_brick *brick = route->bricks[i]->conf;

                defaults += brick->is_default;
                if (!by_name && !brick->is_default && !brick->match)
                        diag_add(diag, brick->node,
                                 "port %s has %zu bricks of type %s: all but one need `match:`, to "
                                 "say which calls "
                                 "are theirs",
                                 port->listen, route->n_bricks, type);
                for (size_t k = 0; k < i; k++)
                        check_pair(route->bricks[k]->conf, brick, diag);
        }
        if (by_name ? defaults > 1 : defaults != 1)
                diag_add(diag, route->bricks[route->n_bricks - 1]->conf->node,
                         "port %s has %zu bricks of type %s: %s one of them needs `default: "
                         "true`, not %zu",
                         port->listen, route->n_bricks, type, by_name ? "at most" : "exactly",
                         defaults);
}

int route_init(struct route *route, const struct service *service, const struct conf_port *port,
               struct instance **instances, struct diag *diag)
{
        size_t mistakes = diag_count(diag);

        *route = (struct route){ .service = service };
        route->bricks = calloc(port->n_bricks + 1, sizeof *route->bricks);
        if (!route->bricks)
                return -ENOMEM;

        for (size_t i = 0; i < port->n_bricks; i++) {
                struct instance *instance = instances[port->bricks[i]];

                if (instance->type != service->type)
                        continue;
                route->bricks[route->n_bricks++] = instance;
                if (instance->conf->is_default) {
                        route->bricks[route->n_bricks - 1] = route->bricks[0];
                        route->bricks[0] = instance;
                }
        }
        if (route->n_bricks > 1)
                check_several(route, port, diag);
        return diag_count(diag) > mistakes ? -EINVAL : 0;
}

void route_done(struct route *route)
{
        free(route->bricks);
        *route = (struct route){};
}

void route_show_methods(const struct route *route)
{
        for (size_t i = 0; i < route->n_bricks; i++)
                atomic_store(&route->bricks[i]->stats->methods,
                             route->bricks[i]->brick->methods & route->service->methods);
}

struct instance *route_find(const struct route *route, struct brick_str name,
                            struct brick_bytes request)
{
        struct brick_str model;

        if (name.ptr) {
                for (size_t i = 0; i < route->n_bricks; i++)
                        if (named(route->bricks[i]->conf, name))
                                return route->bricks[i];
                return NULL;
        }
        if (route->n_bricks > 1 && route->service->model_id != 0) {
                model.ptr = validate_find_string(request.ptr, request.len, route->service->model_id,
                                                 &model.len);
                for (size_t i = 1; model.len > 0 && i < route->n_bricks; i++)
                        if (list_has(route->bricks[i]->conf->match_model,
                                     route->bricks[i]->conf->n_match_model, model))
                                return route->bricks[i];
        }
        return route->bricks[0];
}
