/* SPDX-License-Identifier: MIT */
#include "conf/port.h"

#include <string.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/document.h"
#include "conf/get.h"
#include "conf/listen.h"
#include "conf/node.h"
#include "conf/proxies.h"

static void read_port_brick(struct conf *conf, const struct node *node, struct conf_port *port,
                            struct diag *diag)
{
        ssize_t brick;

        if (node->bad)
                return;
        brick = conf_find_brick(conf, node->text);
        if (brick < 0) {
                conf_blame_name(conf, node, diag);
                return;
        }
        for (size_t i = 0; i < port->n_bricks; i++)
                if (port->bricks[i] == (size_t)brick) {
                        diag_add(diag, node, "\"%s\" is listed twice", node->text);
                        return;
                }
        port->bricks[port->n_bricks++] = (size_t)brick;
}

/* The file does not say which bricks this port serves: it serves all. */
static int add_all_bricks(struct conf *conf, const struct node *port)
{
        const struct node place = {
                .line = port->line, .column = port->column, .parent = port, .key = "bricks"
        };
        struct node *list, *name;

        list = document_node(conf->document, &place, NODE_LIST);
        if (!list)
                return -ENOMEM;
        list->children = document_alloc(conf->document, conf->n_bricks * sizeof(void *));
        if (!list->children)
                return -ENOMEM;
        for (size_t i = 0; i < conf->n_bricks; i++) {
                if (!conf->bricks[i].name ||
                    conf_find_brick(conf, conf->bricks[i].name) != (ssize_t)i)
                        continue;
                name = document_copy(conf->document, node_get(conf->bricks[i].node, "name"));
                if (!name)
                        return -ENOMEM;
                name->parent = list;
                name->key = NULL;
                name->index = list->n_children;
                list->children[list->n_children++] = name;
        }
        option_put(port, list);
        return 0;
}

static int read_tls(struct conf *conf, const struct node *node, struct conf_tls *tls,
                    struct diag *diag)
{
        int r;

        if (!node)
                return 0;
        tls->node = node;
        tls->key = get_node(node, "key");
        tls->client_optional = get_choice(node, "client_certificate") > 0;
        if (node_get(node, "client_certificate") && !node_get(node, "client_ca"))
                diag_add_key(
                        diag, node_get(node, "client_certificate"),
                        "needs client_ca, the authorities that issue the certificates of clients");
        r = get_path(conf->document, conf->base, node, "certificate", &tls->certificate);
        if (r < 0)
                return r;
        return get_path(conf->document, conf->base, node, "client_ca", &tls->client_ca);
}

static void read_connection_limits(const struct node *limits, struct conf_port *port)
{
        const struct node *keepalive = get_node(limits, "keepalive");

        port->max_connections = (unsigned)get_number(limits, "connections");
        port->max_connections_per_address = (unsigned)get_number(limits, "connections_per_address");
        port->max_resets = (unsigned)get_number(limits, "resets");
        port->max_calls = get_number(limits, "calls");
        port->max_unfinished = get_number(limits, "unfinished");
        port->request_time = get_number(limits, "request_time");
        port->handshake = get_number(limits, "handshake");
        port->idle = get_number(limits, "idle");
        port->age = get_number(limits, "age");
        port->age_grace = get_number(limits, "age_grace");
        port->keepalive_time = get_number(keepalive, "time");
        port->keepalive_timeout = get_number(keepalive, "timeout");
        port->client_ping_interval = get_number(keepalive, "client_interval");
        port->call_ping_interval = get_number(keepalive, "call_interval");
}

/* A port authenticates calls by default if the configuration names identities. */
static int read_authenticate(struct conf *conf, const struct node *map, struct conf_port *port,
                             struct diag *diag)
{
        static const char *const names[] = { "off", "calls" };
        const struct node place = {
                .line = map->line, .column = map->column, .parent = map, .key = "authenticate"
        };
        struct node *node;

        port->authenticate = conf->identities ? AUTHENTICATE_CALLS : AUTHENTICATE_OFF;
        if (get_node(map, "authenticate")) {
                port->authenticate = AUTHENTICATE_OFF + get_choice(map, "authenticate");
                if (port->authenticate != AUTHENTICATE_OFF && !node_get(conf->root, "identities"))
                        diag_add(diag, node_get(map, "authenticate"),
                                 "needs the top-level key identities, which names the file of "
                                 "identities");
        }
        if (map->kind != NODE_MAP || node_get(map, "authenticate"))
                return 0;
        node = document_node(conf->document, &place, NODE_SCALAR);
        if (!node)
                return -ENOMEM;
        node->text = names[port->authenticate];
        node->length = strlen(node->text);
        option_put(map, node);
        return 0;
}

/* An http port without the key has its defaults. */
static int add_http(struct conf *conf, const struct node *map, struct diag *diag)
{
        const struct node place = {
                .line = map->line, .column = map->column, .parent = map, .key = "http"
        };
        struct node *node = document_node(conf->document, &place, NODE_MAP), *full;

        if (!node)
                return -ENOMEM;
        option_put(map, node);
        full = option_check(conf->document, node->spec->table, node, diag);
        if (!full)
                return -ENOMEM;
        option_put(map, full);
        return 0;
}

static int read_http(struct conf *conf, const struct node *map, struct conf_port *port,
                     struct diag *diag)
{
        const struct node *node;
        int r;

        port->protocol = PROTOCOL_GRPC + get_choice(map, "protocol");
        if (port->protocol == PROTOCOL_GRPC) {
                if (node_get(map, "http"))
                        diag_add_key(diag, node_get(map, "http"), "needs protocol: http");
                return 0;
        }
        if (map->kind == NODE_MAP && !node_get(map, "http")) {
                r = add_http(conf, map, diag);
                if (r < 0)
                        return r;
        }
        node = get_node(map, "http");
        port->http.page = get_bool(node, "page");
        port->http.keepalive = get_number(node, "keepalive");
        r = get_strings(conf->document, node, "cors", &port->http.cors, &port->http.n_cors);
        if (r < 0)
                return r;
        return get_strings(conf->document, node, "hosts", &port->http.hosts, &port->http.n_hosts);
}

static int read_port(struct conf *conf, const struct node *node, struct conf_port *port,
                     struct diag *diag)
{
        const struct node *limits = get_node(node, "limits"), *listen = get_node(node, "listen");
        const struct node *names;
        int r;

        port->node = node;
        port->allow_insecure = get_bool(node, "allow_insecure");
        port->health = get_bool(node, "health");
        port->reflection = get_bool(node, "reflection");
        port->errors = ERRORS_IN_BAND + get_choice(node, "errors");
        port->gzip = get_choice(node, "compression") == 1;
        read_connection_limits(limits, port);
        port->max_request = get_number(limits, "request");
        port->max_reply = get_number(limits, "reply");
        port->max_metadata = get_number(limits, "metadata");
        port->max_streams = get_number(limits, "streams");
        port->max_watches = get_number(limits, "watches");
        port->window = get_number(limits, "window");
        port->stall = get_number(limits, "stall");
        r = read_http(conf, node, port, diag);
        if (r < 0)
                return r;
        r = proxies_read(conf->document, node, "proxy_protocol", &port->proxy_protocol, diag);
        if (r < 0)
                return r;
        r = proxies_read(conf->document, node, "forwarded", &port->forwarded, diag);
        if (r < 0)
                return r;
        r = read_tls(conf, get_node(node, "tls"), &port->tls, diag);
        if (r < 0)
                return r;
        r = read_authenticate(conf, node, port, diag);
        if (r < 0)
                return r;
        if (listen) {
                r = listen_parse(conf->document, listen, port, diag);
                if (r == -EINVAL)
                        port->listen = NULL;
                else if (r < 0)
                        return r;
        }
        listen_parse_access(get_node(node, "mode"), get_node(node, "owner"),
                            get_node(node, "group"), port, diag);

        port->bricks = document_alloc(conf->document, conf->n_bricks * sizeof port->bricks[0]);
        if (!port->bricks)
                return -ENOMEM;
        if (node->kind != NODE_MAP || !get_node(conf->root, "bricks"))
                return 0;
        if (!node_get(node, "bricks")) {
                r = add_all_bricks(conf, node);
                if (r < 0)
                        return r;
        }
        names = get_node(node, "bricks");
        for (size_t i = 0; names && i < names->n_children; i++)
                read_port_brick(conf, names->children[i], port, diag);
        return 0;
}

static void check_port(const struct conf *conf, size_t index, struct diag *diag)
{
        const struct conf_port *port = &conf->ports[index];
        const struct node *listen = node_get(port->node, "listen");

        if (!port->listen)
                return;
        if (!listen_is_local(port) && !listen_is_guarded(port) && !node_get(port->node, "tls") &&
            get_node(port->node, "allow_insecure"))
                diag_add(diag, listen,
                         "other machines can reach %s, which is neither encrypted nor "
                         "authenticated; set tls or identities, listen on 127.0.0.1, or set "
                         "allow_insecure: true",
                         port->listen);
        for (size_t i = 0; i < index; i++)
                if (conf->ports[i].listen && listen_clash(&conf->ports[i], port)) {
                        diag_add(diag, listen, "the port on line %u already listens there",
                                 node_get(conf->ports[i].node, "listen")->line);
                        return;
                }
}

int port_read_all(struct conf *conf, struct diag *diag)
{
        const struct node *list = get_node(conf->root, "ports");
        int r;

        if (!list)
                return 0;
        conf->ports = document_alloc(conf->document, list->n_children * sizeof conf->ports[0]);
        if (!conf->ports)
                return -ENOMEM;
        for (size_t i = 0; i < list->n_children; i++) {
                r = read_port(conf, list->children[i], &conf->ports[i], diag);
                if (r < 0)
                        return r;
                check_port(conf, i, diag);
                conf->n_ports++;
        }
        return 0;
}

int port_read_metrics(struct conf *conf, struct diag *diag)
{
        const struct node *node = get_node(conf->root, "metrics"),
                          *listen = get_node(node, "listen");
        struct conf_port *port;
        int r;

        conf->metrics_genai = get_bool(node, "genai");
        if (!listen || node_is_null(listen))
                return 0;
        port = document_alloc(conf->document, sizeof *port);
        if (!port)
                return -ENOMEM;
        port->node = node;
        port->allow_insecure = get_bool(node, "allow_insecure");
        r = listen_parse(conf->document, listen, port, diag);
        if (r < 0)
                return r == -EINVAL ? 0 : r;
        listen_parse_access(get_node(node, "mode"), get_node(node, "owner"),
                            get_node(node, "group"), port, diag);
        if (!listen_is_local(port) && !listen_is_guarded(port) && get_node(node, "allow_insecure"))
                diag_add(diag, listen,
                         "other machines can read the metrics at %s; listen on 127.0.0.1, or set "
                         "allow_insecure: true",
                         port->listen);
        for (size_t i = 0; i < conf->n_ports; i++)
                if (conf->ports[i].listen && listen_clash(&conf->ports[i], port))
                        diag_add(diag, listen, "the port on line %u already listens there",
                                 node_get(conf->ports[i].node, "listen")->line);
        conf->metrics = port;
        return 0;
}
