/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/nearest.h"
#include "conf/node.h"
#include "ctl/bus.h"
#include "ctl/control.h"
#include "ctl/file.h"
#include "ctl/json.h"
#include "ctl/program.h"
#include "ctl/served.h"
#include "ctl/target.h"
#include "ctl/tls.h"
#include "util/clock.h"

#define DEFAULT_ADDRESS "127.0.0.1:50051"

/* Do not wait long: a brickd that is slow to answer can still serve the call. */
#define ASK_TIMEOUT (2 * NSEC_PER_SEC)

/* The state of a search for a target. */
struct search {
        const struct ctl *ctl;
        const char *name;
        struct file file;
        bool asked;
        bool is_served; /* the running brickd serves this file, or an earlier version of it */
        json_t *status; /* from the running brickd; NULL: not known */
};

static void search_done(struct search *search)
{
        file_done(&search->file);
        json_decref(search->status);
}

static const struct conf_brick *find_brick(const struct conf *conf, const char *name)
{
        for (size_t i = 0; conf && i < conf->n_bricks; i++)
                if (strcmp(conf->bricks[i].name, name) == 0)
                        return &conf->bricks[i];
        return NULL;
}

/* Asks the running brickd, once, for what the file does not say. */
static void ask_brickd(struct search *search)
{
        if (search->asked)
                return;
        search->asked = true;
        (void)control_ask(search->ctl, search->file.control, ASK_TIMEOUT, "Status",
                          &search->status);
}

/* The type of a brick: from the running brickd, from its module, or from the option `type`, which
 * modules of any type have. NULL: not known. */
static const struct service *service_of(struct search *search, const struct conf_brick *brick)
{
        const struct node *type = node_get(brick->options, "type");
        const struct service *service;
        const char *served;

        ask_brickd(search);
        served = served_type(search->status, brick->name);
        if (served)
                return service_find(served);
        service = program_module_type(search->file.conf->module_dir, brick->module);
        if (!service && type && type->kind == NODE_SCALAR)
                service = service_find(type->text);

        return service;
}

static bool port_has_brick(struct search *search, const struct conf_port *port,
                           const struct target *target)
{
        if (!target->brick && !target->service)
                return true;
        for (size_t i = 0; i < port->n_bricks; i++) {
                const struct conf_brick *brick = &search->file.conf->bricks[port->bricks[i]];

                if (target->brick ? strcmp(brick->name, target->brick) == 0
                                  : service_of(search, brick) == target->service)
                        return true;
        }
        return false;
}

/* The next port for gRPC, from this one on. NULL: there is none. */
static const struct conf_port *grpc_port(const struct conf *conf, const struct conf_port *port)
{
        for (; port < conf->ports + conf->n_ports; port++)
                if (port->protocol == PROTOCOL_GRPC)
                        return port;
        return NULL;
}

static const struct conf_port *find_port(struct search *search, const struct target *target)
{
        const struct conf *conf = search->file.conf;
        const struct conf_port *first = grpc_port(conf, conf->ports);

        if (!first || !grpc_port(conf, first + 1))
                return first;
        for (const struct conf_port *port = first; port; port = grpc_port(conf, port + 1))
                if (port_has_brick(search, port, target))
                        return port;
        return first;
}

/* The address that brickd listens on, for a port whose address is not in the file. NULL: not known.
 */
static const char *bound_address(struct search *search, const struct conf_port *port)
{
        size_t index;
        json_t *entry;

        ask_brickd(search);
        json_array_foreach(json_object_get(search->status, "ports"), index, entry)
        {
                const char *listen = json_string_value(json_object_get(entry, "listen"));

                if (listen && strcmp(listen, port->listen) == 0 && served_address(entry))
                        return served_address(entry);
        }
        return NULL;
}

/* Converts an address to listen on to one to call: a wildcard includes the loopback address. */
static char *callable(const char *listen)
{
        static const char *const wildcards[] = { "0.0.0.0:", "[::]:" };
        char *address;

        for (size_t i = 0; i < ELEMENTSOF(wildcards); i++) {
                size_t length = strlen(wildcards[i]);

                if (strncmp(listen, wildcards[i], length) == 0)
                        return asprintf(&address, "127.0.0.1:%s", listen + length) < 0 ? NULL
                                                                                       : address;
        }
        return strdup(listen);
}

/* True: the file does not have the port's address. */
static bool is_open(const struct conf_port *port)
{
        return port->kind == LISTEN_SYSTEMD || (port->kind == LISTEN_INET && port->port == 0);
}

/* NULL: not known, or out of memory. */
static char *port_address(struct search *search, const struct conf_port *port)
{
        const char *bound = is_open(port) ? bound_address(search, port) : NULL;
        _cleanup_free_ char *listen = NULL;
        bool v6 = port->kind == LISTEN_INET && strchr(port->host, ':');
        int r;

        if (is_open(port))
                return bound ? callable(bound) : NULL;
        if (port->kind == LISTEN_UNIX)
                r = asprintf(&listen, "unix:%s", port->path);
        else
                r = asprintf(&listen, "%s%s%s:%u", v6 ? "[" : "", port->host, v6 ? "]" : "",
                             (unsigned)port->port);

        return r < 0 ? NULL : callable(listen);
}

static int find_served_address(const struct search *search, struct target *target)
{
        const json_t *port = served_port(search->status, target->brick, target->service,
                                         search->ctl->tls.certificate != NULL);
        struct conf_tls tls;

        if (!port)
                return ctl_error(EX_CONFIG, "brickd serves no port for gRPC; use --address");
        target->address = callable(served_address(port));
        if (!target->address)
                return ctl_error(EX_OSERR, "Out of memory");
        tls = served_tls(port);
        return tls_find(search->ctl, served_address(port), &tls, &target->tls);
}

static int find_address(struct search *search, struct target *target)
{
        static const struct conf_tls plain;
        const struct conf_port *port;

        if (search->ctl->address || !search->file.conf) {
                target->address = strdup(search->ctl->address ?: DEFAULT_ADDRESS);
                return target->address ? tls_find(search->ctl, NULL, &plain, &target->tls)
                                       : ctl_error(EX_OSERR, "Out of memory");
        }

        port = find_port(search, target);
        if (!port)
                return ctl_error(EX_CONFIG, "%s: there are no ports for gRPC; use --address",
                                 search->ctl->config);
        target->address = port_address(search, port);
        if (!target->address)
                return ctl_error(CTL_UNREACHABLE,
                                 "%s: only a running brickd knows the address of %s; use "
                                 "--address",
                                 search->ctl->config, port->listen);

        return tls_find(search->ctl, port->listen, &port->tls, &target->tls);
}

static int no_such_name(struct search *search)
{
        const struct conf *conf = search->file.conf;
        struct nearest nearest = nearest_to(search->name);

        for (size_t i = 0; conf && i < conf->n_bricks; i++)
                nearest_offer(&nearest, conf->bricks[i].name);
        for (const struct service *s = services; s->name; s++)
                nearest_offer(&nearest, s->name);
        if (nearest.best)
                return ctl_error(EX_USAGE, "There is no brick or service '%s'; did you mean '%s'?",
                                 search->name, nearest.best);
        return ctl_error(EX_USAGE, "There is no brick or service '%s'; %s", search->name,
                         conf ? "see: brickctl list" : "for a brick, use --type SERVICE");
}

static int no_type(const char *type)
{
        char names[128] = "";

        for (const struct service *s = services; s->name; s++)
                (void)snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s",
                               s == services ? "" : ", ", s->name);
        return ctl_error(EX_USAGE, "--type: no service '%s'; there are %s", type, names);
}

static int find_type(struct search *search, const struct conf_brick *brick, struct target *target)
{
        const char *type = search->ctl->type;

        if (type) {
                target->service = service_find(type);
                return target->service ? CTL_OK : no_type(type);
        }
        if (brick) {
                target->service = service_of(search, brick);
                if (!target->service)
                        return ctl_error(EX_USAGE,
                                         "The type of brick '%s' is not known; use --type SERVICE",
                                         search->name);
                return CTL_OK;
        }
        target->service = service_find(search->name);
        return target->service ? CTL_OK : no_such_name(search);
}

static int open_file(struct search *search)
{
        if (search->ctl->address)
                return CTL_OK;
        return file_open(search->ctl, FILE_MUST_BE_RIGHT, &search->file);
}

static int find(struct search *search, struct target *target)
{
        const struct conf_brick *brick;
        int r;

        r = open_file(search);
        if (r != CTL_OK)
                return r;
        brick = find_brick(search->file.conf, search->name);
        r = find_type(search, brick, target);
        if (r != CTL_OK)
                return r;
        if (brick || search->ctl->type)
                target->brick = search->name;

        return find_address(search, target);
}

/*
 * Whoever checks health acts on the answer: a file that has been changed, or has a mistake, must
 * not have a brickd restarted that serves well. The file counts only if brickd does not answer.
 */
static int open_for_health(struct search *search)
{
        int r;

        if (search->ctl->address)
                return CTL_OK;
        r = file_open(search->ctl, FILE_MAY_BE_BROKEN, &search->file);
        if (r != CTL_OK)
                return r;
        ask_brickd(search);
        search->is_served = served_file(search->status, search->ctl->config);
        if (search->is_served || search->file.conf || !search->file.bytes)
                return CTL_OK;
        file_done(&search->file);
        return open_file(search); /* prints the mistakes */
}

static int find_for_health(struct search *search, struct target *target)
{
        bool is_brick;
        int r;

        r = open_for_health(search);
        if (r != CTL_OK)
                return r;
        if (search->name) {
                is_brick = find_brick(search->file.conf, search->name) ||
                           (search->is_served && served_brick(search->status, search->name));
                target->service = is_brick ? NULL : service_find(search->name);
                if (!is_brick && !target->service && search->file.conf)
                        return no_such_name(search);
                target->brick = target->service ? NULL : search->name;
        }

        return search->is_served ? find_served_address(search, target)
                                 : find_address(search, target);
}

static int run_search(int (*how)(struct search *search, struct target *target),
                      const struct ctl *ctl, const char *name, struct target *ret)
{
        _cleanup_(search_done) struct search search = { .ctl = ctl, .name = name };
        struct target target = {};
        int r;

        r = how(&search, &target);
        if (r != CTL_OK) {
                target_done(&target);
                return r;
        }
        *ret = target;

        return CTL_OK;
}

int target_find(const struct ctl *ctl, const char *name, struct target *ret)
{
        return run_search(find, ctl, name, ret);
}

int target_find_health(const struct ctl *ctl, const char *name, struct target *ret)
{
        return run_search(find_for_health, ctl, name, ret);
}

/* The first port that a browser can use. NULL: there is none. */
static const struct conf_port *find_page_port(const struct conf *conf)
{
        for (size_t i = 0; conf && i < conf->n_ports; i++) {
                const struct conf_port *port = &conf->ports[i];

                if (port->protocol == PROTOCOL_HTTP && port->http.page && port->kind != LISTEN_UNIX)
                        return port;
        }
        return NULL;
}

/* NULL: brickd does not run, or does not tell this user. */
static char *find_explain_key(const struct ctl *ctl, const char *control)
{
        _cleanup_(bus_reply_done) struct bus_reply reply = {};

        if (!control ||
            bus_call(control, ctl_timeout(ctl, ASK_TIMEOUT), &reply, "ExplainKey", "") < 0 ||
            reply.error)
                return NULL;
        return strdup(reply.text);
}

int target_find_page(const struct ctl *ctl, char **ret)
{
        _cleanup_(search_done) struct search search = { .ctl = ctl };
        _cleanup_free_ char *address = NULL, *key = NULL;
        const struct conf_port *port;
        int r;

        r = open_file(&search);
        if (r != CTL_OK)
                return r;
        port = find_page_port(search.file.conf);
        if (!port)
                return ctl_error(EX_CONFIG,
                                 "%s: no port serves the page; add one with 'protocol: http'",
                                 ctl->config);
        address = port_address(&search, port);
        if (!address || strncmp(address, "unix:", 5) == 0)
                return ctl_error(CTL_UNREACHABLE,
                                 "%s: only a running brickd knows the address of %s", ctl->config,
                                 port->listen);
        key = find_explain_key(ctl, search.file.control);
        if (asprintf(ret, "%s://%s/%s%s", port->tls.node ? "https" : "http", address,
                     key ? "#explain=" : "", key ?: "") < 0)
                return ctl_error(EX_OSERR, "Out of memory");
        return CTL_OK;
}

void target_done(struct target *target)
{
        free(target->address);
        tls_done(&target->tls);
        *target = (struct target){};
}
