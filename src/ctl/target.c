/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/nearest.h"
#include "conf/node.h"
#include "ctl/control.h"
#include "ctl/file.h"
#include "ctl/json.h"
#include "ctl/target.h"

#define DEFAULT_ADDRESS "127.0.0.1:50051"

/* Everything that is known while a target is looked for. */
struct search {
        const struct ctl *ctl;
        const char *name;
        struct file file;
        json_t *bricks; /* of the running brickd, as control_bricks() lists them; NULL: not known */
        int why_not;    /* negative errno: why bricks is NULL */
};

static void search_done(struct search *search)
{
        file_done(&search->file);
        json_decref(search->bricks);
}

static const struct conf_brick *find_brick(const struct conf *conf, const char *name)
{
        for (size_t i = 0; conf && i < conf->n_bricks; i++)
                if (strcmp(conf->bricks[i].name, name) == 0)
                        return &conf->bricks[i];
        return NULL;
}

static void ask_brickd(struct search *search)
{
        _cleanup_(json_unrefp) json_t *status = NULL;

        search->why_not = control_status(search->ctl, search->file.control, &status);
        if (search->why_not == 0)
                search->bricks = control_bricks(status);
}

/* NULL: not known. */
static const struct service *service_of(const struct search *search, const struct conf_brick *brick)
{
        const struct node *type = node_get(brick->options, "type");
        size_t index;
        json_t *entry;

        json_array_foreach(search->bricks, index, entry)
        {
                const char *name = json_string_value(json_object_get(entry, "name"));
                const char *text = json_string_value(json_object_get(entry, "type"));

                if (name && text && strcmp(name, brick->name) == 0)
                        return service_find(text);
        }
        /* A module that can be of any type is told which by this option. */
        return type && type->kind == NODE_SCALAR ? service_find(type->text) : NULL;
}

static bool port_has_brick(const struct search *search, const struct conf_port *port,
                           const struct target *target)
{
        for (size_t i = 0; i < port->n_bricks; i++) {
                const struct conf_brick *brick = &search->file.conf->bricks[port->bricks[i]];

                if (target->brick ? strcmp(brick->name, target->brick) == 0
                                  : service_of(search, brick) == target->service)
                        return true;
        }
        return false;
}

static const struct conf_port *find_port(const struct search *search, const struct target *target)
{
        const struct conf *conf = search->file.conf;

        for (size_t i = 0; i < conf->n_ports; i++)
                if (port_has_brick(search, &conf->ports[i], target))
                        return &conf->ports[i];
        return conf->n_ports > 0 ? &conf->ports[0] : NULL;
}

static int inet_address(const struct conf_port *port, char **ret)
{
        bool wildcard = strcmp(port->host, "0.0.0.0") == 0 || strcmp(port->host, "::") == 0;
        const char *host = wildcard ? "127.0.0.1" : port->host;
        bool v6 = strchr(host, ':');

        return asprintf(ret, "%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "",
                        (unsigned)port->port) < 0
                       ? -ENOMEM
                       : 0;
}

static int find_address(const struct search *search, struct target *target)
{
        const struct conf_port *port;
        int r;

        if (search->ctl->address || !search->file.conf) {
                target->address = strdup(search->ctl->address ?: DEFAULT_ADDRESS);
                return target->address ? CTL_OK : ctl_error(EX_CONFIG, "Out of memory");
        }

        port = find_port(search, target);
        if (!port)
                return ctl_error(EX_CONFIG, "%s: there are no ports; say --address",
                                 search->ctl->config);
        if (port->kind == LISTEN_SYSTEMD)
                return ctl_error(EX_CONFIG, "%s: systemd knows the address of %s; say --address",
                                 search->ctl->config, port->listen);
        if (port->kind == LISTEN_INET)
                r = inet_address(port, &target->address);
        else
                r = asprintf(&target->address, "unix:%s", port->path) < 0 ? -ENOMEM : 0;

        return r < 0 ? ctl_error(EX_CONFIG, "Out of memory") : CTL_OK;
}

static int unknown_type(const struct search *search)
{
        const char *reason = search->why_not == -EACCES
                                     ? "you may not ask the running brickd"
                                     : "brickd, which could tell, does not answer";

        return ctl_error(EX_USAGE, "The type of brick '%s' is not known (%s); say --type SERVICE",
                         search->name, reason);
}

static int no_such_name(const struct search *search)
{
        const struct conf *conf = search->file.conf;
        struct nearest nearest = nearest_to(search->name);

        for (size_t i = 0; conf && i < conf->n_bricks; i++)
                nearest_offer(&nearest, conf->bricks[i].name);
        for (const struct service *s = services; s->name; s++)
                nearest_offer(&nearest, s->name);
        if (nearest.best)
                return ctl_error(EX_USAGE, "No brick and no service '%s'; did you mean '%s'?",
                                 search->name, nearest.best);
        return ctl_error(EX_USAGE, "No brick and no service '%s'; %s", search->name,
                         conf ? "see: brickctl list" : "if it is a brick, say --type SERVICE");
}

static int find_type(const struct search *search, const struct conf_brick *brick,
                     struct target *target)
{
        const char *type = search->ctl->type;

        if (type) {
                target->service = service_find(type);
                return target->service ? CTL_OK
                                       : ctl_error(EX_USAGE, "--type: no service '%s'", type);
        }
        if (brick) {
                target->service = service_of(search, brick);
                return target->service ? CTL_OK : unknown_type(search);
        }
        target->service = service_find(search->name);
        return target->service ? CTL_OK : no_such_name(search);
}

static int find(struct search *search, struct target *target)
{
        const struct conf_brick *brick;
        int r;

        if (!search->ctl->address) {
                r = file_open(search->ctl, FILE_MUST_BE_RIGHT, &search->file);
                if (r != CTL_OK)
                        return r;
        }
        brick = find_brick(search->file.conf, search->name);
        if ((brick && !search->ctl->type) ||
            (!brick && search->file.conf && search->file.conf->n_ports > 1))
                ask_brickd(search);
        r = find_type(search, brick, target);
        if (r != CTL_OK)
                return r;
        if (brick || search->ctl->type)
                target->brick = search->name;

        return find_address(search, target);
}

int target_find(const struct ctl *ctl, const char *name, struct target *ret)
{
        _cleanup_(search_done) struct search search = { .ctl = ctl, .name = name };
        struct target target = {};
        int r;

        r = find(&search, &target);
        if (r != CTL_OK) {
                target_done(&target);
                return r;
        }
        *ret = target;

        return CTL_OK;
}

void target_done(struct target *target)
{
        free(target->address);
        *target = (struct target){};
}
