/* SPDX-License-Identifier: MIT */
#include "conf/conf.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>

#include "conf/diag.h"
#include "conf/document.h"
#include "conf/get.h"
#include "conf/nearest.h"
#include "conf/node.h"
#include "conf/port.h"
#include "conf/yaml.h"
#include "util/clock.h"

#define FILE_MAX ((size_t)16 * 1024 * 1024)
#define READ_LIMIT (5 * NSEC_PER_SEC)
#define WORKERS_MAX 256

struct conf *conf_free(struct conf *conf)
{
        if (!conf)
                return NULL;
        document_free(conf->document);
        free(conf);
        return NULL;
}

/* Waits until there is something to read, or until `end`. */
static int wait_readable(int fd, uint64_t end)
{
        struct pollfd pollfd = { .fd = fd, .events = POLLIN };
        uint64_t now = clock_now();

        if (now >= end)
                return -ETIMEDOUT;
        if (poll(&pollfd, 1, (int)((end - now) / NSEC_PER_MSEC) + 1) < 0 && errno != EINTR)
                return -errno;
        return 0;
}

int conf_read_fd(int fd, char **ret_bytes, size_t *ret_length)
{
        _cleanup_free_ char *bytes = NULL;
        const uint64_t end = clock_now() + READ_LIMIT;
        size_t length = 0, size = 0;
        int r;
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
                if (n < 0 && errno == EAGAIN) {
                        r = wait_readable(fd, end);
                        if (r < 0)
                                return r;
                        continue;
                }
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

        /* It may be a pipe, from <(...) in a shell. */
        fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        return fd < 0 ? -errno : conf_read_fd(fd, ret_bytes, ret_length);
}

const char *conf_strerror(int r)
{
        switch (r) {
        case -EFBIG:
                return "larger than 16 MiB";
        case -ETIMEDOUT:
                return "it is a pipe whose writer has not closed it within 5 seconds";
        default:
                return strerror(-r);
        }
}

static int read_brick(struct conf *conf, const struct node *node, struct conf_brick *brick)
{
        const struct node *limits = get_node(node, "limits");
        int r;

        brick->node = node;
        brick->name = get_string(node, "name");
        brick->module = get_string(node, "module");
        brick->options = get_node(node, "options");
        brick->limits = (struct conf_limits){
                .concurrency = (unsigned)get_number(limits, "concurrency"),
                .queue = (unsigned)get_number(limits, "queue"),
                .threads = (unsigned)get_number(limits, "threads"),
                .timeout = get_number(limits, "timeout"),
                .arena = get_number(limits, "memory"),
                .hold = get_number(limits, "hold"),
        };
        brick->merge = get_bool(node, "merge");
        brick->is_default = get_bool(node, "default");
        if (get_node(node, "log_level"))
                brick->log_level = LOG_LEVEL_ERROR + get_choice(node, "log_level");
        brick->match = get_node(node, "match");
        r = get_strings(conf->document, brick->match, "x-brick", &brick->match_brick,
                        &brick->n_match_brick);
        if (r < 0)
                return r;
        return get_strings(conf->document, brick->match, "model_id", &brick->match_model,
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
        const struct node *list = get_node(conf->root, "bricks");
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
                                 "the brick on line %u already has this name",
                                 node_get(conf->bricks[other].node, "name")->line);
                conf->n_bricks++;
        }
        return 0;
}

void conf_blame_name(const struct conf *conf, const struct node *node, struct diag *diag)
{
        struct nearest nearest = nearest_to(node->text);

        for (size_t i = 0; !diag_is_full(diag) && i < conf->n_bricks; i++)
                if (conf->bricks[i].name)
                        nearest_offer(&nearest, conf->bricks[i].name);
        if (nearest.best)
                diag_add(diag, node, "no brick has the name \"%s\"; did you mean \"%s\"?",
                         node->text, nearest.best);
        else
                diag_add(diag, node, "no brick has the name \"%s\"", node->text);
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
        const struct node *traces = get_node(conf->root, "traces");
        const struct node *sample = get_node(traces, "sample"),
                          *headers = get_node(traces, "headers");

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
                        .value = get_node(headers->children[i], "value"),
                };
        return 0;
}

static void read_rest(struct conf *conf)
{
        static const enum log_target targets[] = { LOG_TARGET_AUTO, LOG_TARGET_JOURNAL,
                                                   LOG_TARGET_TEXT, LOG_TARGET_JSON };
        const struct node *drain = get_node(conf->root, "drain"),
                          *log = get_node(conf->root, "log");
        const char *workers = get_string(conf->root, "workers");

        conf->workers = workers && strcmp(workers, "auto") == 0
                                ? n_cores()
                                : (unsigned)get_number(conf->root, "workers");
        conf->gather_writes = get_choice(conf->root, "writes") == 0;
        conf->memory = get_number(conf->root, "memory");
        conf->module_dir = get_string(conf->root, "modules");
        conf->state = get_string(conf->root, "state");
        if (conf->state && conf->state[0] == '\0')
                conf->state = NULL;
        conf->control = get_string(conf->root, "control");
        if (conf->control && conf->control[0] == '\0')
                conf->control = NULL;
        conf->start_timeout = get_number(conf->root, "start_timeout");
        conf->drain_grace = get_number(drain, "grace");
        conf->drain_lame_duck = get_number(drain, "lame_duck");
        conf->drain_retire = get_number(drain, "retire");
        conf->drain_generations = (unsigned)get_number(drain, "generations");
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

/* Like conf_parse(), but also returns a configuration with mistakes, in which wrong values are
 * zero. */
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
        r = get_path(conf->document, conf->base, conf->root, "identities", &conf->identities);
        if (r < 0)
                return r;
        r = read_bricks(conf, diag);
        if (r < 0)
                return r;
        r = port_read_all(conf, diag);
        if (r < 0)
                return r;
        r = port_read_metrics(conf, diag);
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

int conf_print(const struct conf *conf, FILE *f)
{
        return yaml_print(conf->root, f);
}
