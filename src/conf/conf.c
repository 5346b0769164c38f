/* SPDX-License-Identifier: MIT */
#include "conf/conf.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/document.h"
#include "conf/listen.h"
#include "conf/nearest.h"
#include "conf/node.h"
#include "conf/value.h"
#include "conf/yaml.h"

#define FILE_MAX ((size_t)16 * 1024 * 1024)
#define WORKERS_MAX 256

struct conf *conf_free(struct conf *conf)
{
        if (!conf)
                return NULL;
        document_free(conf->document);
        free(conf);
        return NULL;
}

int conf_read_fd(int fd, char **ret_bytes, size_t *ret_length)
{
        _cleanup_free_ char *bytes = NULL;
        size_t length = 0, size = 0;
        char *larger;
        ssize_t n;

        for (;;) {
                if (length == size) {
                        size = size ? size * 2 : 16384;
                        larger = realloc(bytes, size);
                        if (!larger)
                                return -ENOMEM;
                        bytes = larger;
                }
                n = read(fd, bytes + length, size - length);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                length += (size_t)n;
                if (length > FILE_MAX)
                        return -EFBIG;
        }
        *ret_bytes = TAKE_PTR(bytes);
        *ret_length = length;
        return 0;
}

int conf_read(const char *name, char **ret_bytes, size_t *ret_length)
{
        _cleanup_close_ int fd = -EBADF;

        /* It may be a pipe, from <(...) in a shell; but a FIFO that nobody writes to is not waited
         * for. */
        fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || fcntl(fd, F_SETFL, 0) < 0)
                return -errno;
        return conf_read_fd(fd, ret_bytes, ret_length);
}

/*
 * Values of a checked map. What is wrong or missing there has been reported, and nobody sees a conf
 * with mistakes: it counts as nothing at all.
 */

static const struct node *good(const struct node *map, const char *key)
{
        const struct node *node = node_get(map, key);

        return node && !node->bad ? node : NULL;
}

static const char *get_string(const struct node *map, const char *key)
{
        const struct node *node = good(map, key);

        return node && node->kind == NODE_SCALAR && !node_is_null(node) ? node->text : NULL;
}

static bool get_bool(const struct node *map, const char *key)
{
        const struct node *node = good(map, key);
        bool value = false;

        return node && option_bool(node, &value, NULL) && value;
}

/* A number, duration or size. */
static int64_t get_number(const struct node *map, const char *key)
{
        const struct node *node = good(map, key);
        int64_t value = 0;

        if (!node)
                return 0;
        if (node->spec->type == OPTION_DURATION)
                (void)option_duration(node, &value, NULL);
        else if (node->spec->type == OPTION_SIZE)
                (void)option_size(node, &value, NULL);
        else
                (void)option_int(node, &value, NULL);
        return value;
}

static int get_choice(const struct node *map, const char *key)
{
        const struct node *node = good(map, key);
        int r;

        r = node ? value_parse_choice(node->text, node->spec->choices) : 0;
        return r < 0 ? 0 : r;
}

/* As an absolute path; untouched if there is none. */
static int get_path(struct conf *conf, const struct node *map, const char *key, const char **ret)
{
        const struct node *node = good(map, key);
        const char *path;

        if (!node)
                return 0;
        path = document_path(conf->document, conf->base, node->text);
        if (!path)
                return -ENOMEM;
        *ret = path;
        return 0;
}

static int get_strings(struct conf *conf, const struct node *map, const char *key,
                       const char ***ret, size_t *ret_n)
{
        const struct node *list = good(map, key);
        const char **strings;
        size_t n = 0;

        if (!list)
                return 0;
        strings = document_alloc(conf->document, list->n_children * sizeof strings[0]);
        if (!strings)
                return -ENOMEM;
        for (size_t i = 0; i < list->n_children; i++)
                if (!list->children[i]->bad)
                        strings[n++] = list->children[i]->text;
        *ret = strings;
        *ret_n = n;
        return 0;
}

static int read_brick(struct conf *conf, const struct node *node, struct conf_brick *brick)
{
        const struct node *limits = good(node, "limits");
        int r;

        brick->node = node;
        brick->name = get_string(node, "name");
        brick->module = get_string(node, "module");
        brick->options = good(node, "options");
        brick->limits = (struct conf_limits){
                .concurrency = (unsigned)get_number(limits, "concurrency"),
                .queue = (unsigned)get_number(limits, "queue"),
                .threads = (unsigned)get_number(limits, "threads"),
                .timeout = get_number(limits, "timeout"),
                .arena = get_number(limits, "memory"),
        };
        brick->merge = get_bool(node, "merge");
        brick->is_default = get_bool(node, "default");
        if (good(node, "log_level"))
                brick->log_level = LOG_LEVEL_ERROR + get_choice(node, "log_level");
        brick->match = good(node, "match");
        r = get_strings(conf, brick->match, "x-brick", &brick->match_brick, &brick->n_match_brick);
        if (r < 0)
                return r;
        return get_strings(conf, brick->match, "model_id", &brick->match_model,
                           &brick->n_match_model);
}

ssize_t conf_find_brick(const struct conf *conf, const char *name)
{
        for (size_t i = 0; i < conf->n_bricks; i++)
                if (conf->bricks[i].name && strcmp(conf->bricks[i].name, name) == 0)
                        return (ssize_t)i;
        return -1;
}

static int read_bricks(struct conf *conf, struct diag *diag)
{
        const struct node *list = good(conf->root, "bricks");
        int r;

        if (!list)
                return 0;
        conf->bricks = document_alloc(conf->document, list->n_children * sizeof conf->bricks[0]);
        if (!conf->bricks)
                return -ENOMEM;
        for (size_t i = 0; i < list->n_children; i++) {
                struct conf_brick *brick = &conf->bricks[i];
                ssize_t other;

                r = read_brick(conf, list->children[i], brick);
                if (r < 0)
                        return r;
                other = brick->name ? conf_find_brick(conf, brick->name) : -1;
                if (other >= 0)
                        diag_add(diag, node_get(brick->node, "name"),
                                 "another brick has this name; it is on line %u",
                                 node_get(conf->bricks[other].node, "name")->line);
                conf->n_bricks++;
        }
        return 0;
}

void conf_blame_name(const struct conf *conf, const struct node *node, struct diag *diag)
{
        struct nearest nearest = nearest_to(node->text);

        for (size_t i = 0; i < conf->n_bricks; i++)
                if (conf->bricks[i].name)
                        nearest_offer(&nearest, conf->bricks[i].name);
        if (nearest.best)
                diag_add(diag, node, "no brick has the name \"%s\"; did you mean \"%s\"?",
                         node->text, nearest.best);
        else
                diag_add(diag, node, "no brick has the name \"%s\"", node->text);
}

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
                        diag_add(diag, node, "\"%s\" stands here twice", node->text);
                        return;
                }
        port->bricks[port->n_bricks++] = (size_t)brick;
}

/* The list of all bricks, where the file gives none. */
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
        tls->key = good(node, "key");
        tls->client_optional = get_choice(node, "client_certificate") > 0;
        if (node_get(node, "client_certificate") && !node_get(node, "client_ca"))
                diag_add_key(diag, node_get(node, "client_certificate"),
                             "needs client_ca, by which to know the certificates of clients");
        r = get_path(conf, node, "certificate", &tls->certificate);
        if (r < 0)
                return r;
        return get_path(conf, node, "client_ca", &tls->client_ca);
}

static void read_connection_limits(const struct node *limits, struct conf_port *port)
{
        const struct node *keepalive = good(limits, "keepalive");

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
}

/* Where there are identities, a port that does not say otherwise asks for them. */
static int read_authenticate(struct conf *conf, const struct node *map, struct conf_port *port,
                             struct diag *diag)
{
        static const char *const names[] = { "off", "calls" };
        const struct node place = {
                .line = map->line, .column = map->column, .parent = map, .key = "authenticate"
        };
        struct node *node;

        port->authenticate = conf->identities ? AUTHENTICATE_CALLS : AUTHENTICATE_OFF;
        if (good(map, "authenticate")) {
                port->authenticate = AUTHENTICATE_OFF + get_choice(map, "authenticate");
                if (port->authenticate != AUTHENTICATE_OFF && !node_get(conf->root, "identities"))
                        diag_add(diag, node_get(map, "authenticate"),
                                 "needs the top-level key identities, the file that says who may "
                                 "call");
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

static int read_port(struct conf *conf, const struct node *node, struct conf_port *port,
                     struct diag *diag)
{
        const struct node *limits = good(node, "limits"), *listen = good(node, "listen");
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
        r = read_tls(conf, good(node, "tls"), &port->tls, diag);
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
        listen_parse_access(good(node, "mode"), good(node, "owner"), good(node, "group"), port,
                            diag);

        port->bricks = document_alloc(conf->document, conf->n_bricks * sizeof port->bricks[0]);
        if (!port->bricks)
                return -ENOMEM;
        if (node->kind != NODE_MAP || !good(conf->root, "bricks"))
                return 0;
        if (!node_get(node, "bricks")) {
                r = add_all_bricks(conf, node);
                if (r < 0)
                        return r;
        }
        names = good(node, "bricks");
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
            good(port->node, "allow_insecure"))
                diag_add(diag, listen,
                         "other machines can reach %s, and this port is open to all of them in "
                         "plain text; give it tls or identities, listen on 127.0.0.1, or say "
                         "allow_insecure: true here",
                         port->listen);
        for (size_t i = 0; i < index; i++)
                if (conf->ports[i].listen && listen_clash(&conf->ports[i], port)) {
                        diag_add(diag, listen, "the port on line %u listens there already",
                                 node_get(conf->ports[i].node, "listen")->line);
                        return;
                }
}

static int read_ports(struct conf *conf, struct diag *diag)
{
        const struct node *list = good(conf->root, "ports");
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

static int read_metrics(struct conf *conf, struct diag *diag)
{
        const struct node *node = good(conf->root, "metrics"), *listen = good(node, "listen");
        struct conf_port *port;
        int r;

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
        listen_parse_access(good(node, "mode"), good(node, "owner"), good(node, "group"), port,
                            diag);
        if (!listen_is_local(port) && !listen_is_guarded(port) && good(node, "allow_insecure"))
                diag_add(diag, listen,
                         "other machines could read the metrics at %s; listen on 127.0.0.1, or say "
                         "allow_insecure: true here",
                         port->listen);
        for (size_t i = 0; i < conf->n_ports; i++)
                if (conf->ports[i].listen && listen_clash(&conf->ports[i], port))
                        diag_add(diag, listen, "the port on line %u listens there already",
                                 node_get(conf->ports[i].node, "listen")->line);
        conf->metrics = port;
        return 0;
}

static unsigned n_cores(void)
{
        cpu_set_t set;
        int n;

        n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
        return n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

static int read_traces(struct conf *conf)
{
        const struct node *traces = good(conf->root, "traces");
        const struct node *sample = good(traces, "sample"), *headers = good(traces, "headers");

        conf->traces_endpoint = get_string(traces, "endpoint");
        conf->traces_service = get_string(traces, "service");
        if (sample)
                (void)option_float(sample, &conf->traces_sample, NULL);
        if (!headers)
                return 0;
        conf->traces_headers = document_alloc(conf->document,
                                              headers->n_children * sizeof(struct conf_header));
        if (!conf->traces_headers)
                return -ENOMEM;
        for (size_t i = 0; i < headers->n_children; i++)
                conf->traces_headers[conf->n_traces_headers++] = (struct conf_header){
                        .name = get_string(headers->children[i], "name"),
                        .value = good(headers->children[i], "value"),
                };
        return 0;
}

static void read_rest(struct conf *conf)
{
        static const enum log_target targets[] = { LOG_TARGET_AUTO, LOG_TARGET_JOURNAL,
                                                   LOG_TARGET_TEXT, LOG_TARGET_JSON };
        const struct node *drain = good(conf->root, "drain"), *log = good(conf->root, "log");
        const char *workers = get_string(conf->root, "workers");

        conf->workers = workers && strcmp(workers, "auto") == 0
                                ? n_cores()
                                : (unsigned)get_number(conf->root, "workers");
        conf->gather_writes = get_choice(conf->root, "writes") == 0;
        conf->memory = get_number(conf->root, "memory");
        conf->module_dir = get_string(conf->root, "modules");
        conf->control = get_string(conf->root, "control");
        if (conf->control && conf->control[0] == '\0')
                conf->control = NULL;
        conf->start_timeout = get_number(conf->root, "start_timeout");
        conf->drain_grace = get_number(drain, "grace");
        conf->drain_lame_duck = get_number(drain, "lame_duck");
        conf->drain_retire = get_number(drain, "retire");
        conf->log_level = LOG_LEVEL_ERROR + get_choice(log, "level");
        conf->log_target = targets[get_choice(log, "format")];
        conf->log_access = ACCESS_OFF + get_choice(log, "access");
        conf->log_slow = get_number(log, "slow");
}

static int set_name(struct conf *conf, const char *name)
{
        _cleanup_free_ char *directory = NULL, *base = NULL;
        const char *slash = strrchr(name, '/');
        size_t n = slash ? (size_t)(slash - name) : 0;

        if (name[0] == '/') {
                conf->base = document_strndup(conf->document, name, n ? n : 1);
        } else {
                directory = getcwd(NULL, 0);
                if (!directory)
                        return -errno;
                if (asprintf(&base, "%s%s%.*s", directory, slash ? "/" : "", (int)n, name) < 0) {
                        base = NULL;
                        return -ENOMEM;
                }
                conf->base = document_strndup(conf->document, base, strlen(base));
        }
        conf->name = document_strndup(conf->document, name, strlen(name));
        return conf->base && conf->name ? 0 : -ENOMEM;
}

/* As conf_parse(), but with mistakes, too: what they are about is then left at zero. */
static int parse(struct conf **ret, const char *name, const char *bytes, size_t length,
                 struct diag *diag)
{
        _cleanup_(conf_freep) struct conf *conf = NULL;
        struct node *root;
        int r;

        conf = calloc(1, sizeof *conf);
        if (!conf)
                return -ENOMEM;
        r = document_new(&conf->document);
        if (r < 0)
                return r;
        r = set_name(conf, name);
        if (r < 0)
                return r;
        r = yaml_parse(conf->document, bytes, length, diag, &root);
        if (r < 0)
                return r;
        conf->root = option_check(conf->document, conf_options, root, diag);
        if (!conf->root)
                return -ENOMEM;
        r = get_path(conf, conf->root, "identities", &conf->identities);
        if (r < 0)
                return r;
        r = read_bricks(conf, diag);
        if (r < 0)
                return r;
        r = read_ports(conf, diag);
        if (r < 0)
                return r;
        r = read_metrics(conf, diag);
        if (r < 0)
                return r;
        r = read_traces(conf);
        if (r < 0)
                return r;
        read_rest(conf);
        *ret = TAKE_PTR(conf);
        return 0;
}

int conf_parse(struct conf **ret, const char *name, const char *bytes, size_t length,
               struct diag *diag)
{
        _cleanup_(conf_freep) struct conf *conf = NULL;
        int r;

        r = parse(&conf, name, bytes, length, diag);
        if (r < 0)
                return r;
        if (diag_count(diag) > 0)
                return -EINVAL;
        *ret = TAKE_PTR(conf);
        return 0;
}

struct conf *conf_salvage(const char *name, const char *bytes, size_t length)
{
        struct conf *conf = NULL;

        return parse(&conf, name, bytes, length, NULL) == 0 ? conf : NULL;
}

void conf_print(const struct conf *conf, FILE *f)
{
        (void)yaml_print(conf->root, f);
}
