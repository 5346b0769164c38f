/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "conf/conf.h"
#include "conf/names.h"
#include "manager/tally.h"

/* Twice what a configuration can have: the present ones and as many former ones. */
#define BRICKS_MAX 2048
#define PORTS_MAX 128

static void brick_free(struct tally_brick *brick)
{
        for (size_t i = 0; i < brick->n_backends; i++)
                free(brick->backends[i].name);
        free(brick->backends);
        free(brick->name);
        free(brick);
}

static void port_free(struct tally_port *port)
{
        free(port->listen);
        free(port);
}

struct tally *tally_free(struct tally *tally)
{
        if (!tally)
                return NULL;
        for (size_t i = 0; i < tally->n_bricks; i++)
                brick_free(tally->bricks[i]);
        for (size_t i = 0; i < tally->n_ports; i++)
                port_free(tally->ports[i]);
        for (size_t i = 0; i < tally->n_genai; i++)
                free(tally->genai[i]);
        free(tally->bricks);
        free(tally->ports);
        free(tally->genai);
        free(tally);
        return NULL;
}

/* --- entries ---------------------------------------------------------------------------------- */

static int append_brick(struct tally *tally, const char *name, unsigned type,
                        struct tally_brick **ret)
{
        struct tally_brick **grown = reallocarray(tally->bricks, tally->n_bricks + 1,
                                                  sizeof(struct tally_brick *));
        struct tally_brick *brick;

        if (!grown)
                return -ENOMEM;
        tally->bricks = grown;
        brick = calloc(1, sizeof *brick);
        if (!brick)
                return -ENOMEM;
        brick->type = type;
        brick->name = strdup(name);
        if (!brick->name) {
                free(brick);
                return -ENOMEM;
        }
        tally->bricks[tally->n_bricks++] = brick;
        *ret = brick;
        return 0;
}

static int append_port(struct tally *tally, const char *listen, struct tally_port **ret)
{
        struct tally_port **grown = reallocarray(tally->ports, tally->n_ports + 1,
                                                 sizeof(struct tally_port *));
        struct tally_port *port;

        if (!grown)
                return -ENOMEM;
        tally->ports = grown;
        port = calloc(1, sizeof *port);
        if (!port)
                return -ENOMEM;
        port->listen = strdup(listen);
        if (!port->listen) {
                free(port);
                return -ENOMEM;
        }
        tally->ports[tally->n_ports++] = port;
        *ret = port;
        return 0;
}

/* Makes room for one more: drops the entry that no worker has had for the longest time. */
static void drop_oldest_brick(struct tally *tally)
{
        size_t oldest = 0;

        for (size_t i = 1; i < tally->n_bricks; i++)
                if (tally->bricks[i]->touched < tally->bricks[oldest]->touched)
                        oldest = i;
        brick_free(tally->bricks[oldest]);
        tally->bricks[oldest] = tally->bricks[--tally->n_bricks];
}

static void drop_oldest_port(struct tally *tally)
{
        size_t oldest = 0;

        for (size_t i = 1; i < tally->n_ports; i++)
                if (tally->ports[i]->touched < tally->ports[oldest]->touched)
                        oldest = i;
        port_free(tally->ports[oldest]);
        tally->ports[oldest] = tally->ports[--tally->n_ports];
}

/* Finds or adds an entry. A brick that has got another type is another entry. *at: where the search
 * begins, just after the last one found, because the order is mostly that of the configuration. */
static int find_brick(struct tally *tally, const char *name, unsigned type, size_t *at,
                      struct tally_brick **ret)
{
        for (size_t i = 0; i < tally->n_bricks; i++) {
                struct tally_brick *brick = tally->bricks[(*at + i) % tally->n_bricks];

                if (brick->type == type && strcmp(brick->name, name) == 0) {
                        *at += i + 1;
                        *ret = brick;
                        return 0;
                }
        }
        if (tally->n_bricks >= BRICKS_MAX)
                drop_oldest_brick(tally);
        return append_brick(tally, name, type, ret);
}

static int find_port(struct tally *tally, const char *listen, struct tally_port **ret)
{
        for (size_t i = 0; i < tally->n_ports; i++)
                if (strcmp(tally->ports[i]->listen, listen) == 0) {
                        *ret = tally->ports[i];
                        return 0;
                }
        if (tally->n_ports >= PORTS_MAX)
                drop_oldest_port(tally);
        return append_port(tally, listen, ret);
}

/* --- adding ----------------------------------------------------------------------------------- */

/*
 * A worker counts the beginning of a call before its end, but memory ordering may show a few ends
 * first. If there are more ends than that, a brick has written there, and none of it is used.
 */
#define ENDS_EARLY 64

/* Skips methods without calls: most bricks have few methods, and reading the counters of the others
 * would make the kernel allocate their pages. */
static void add_method(struct tally_brick *brick, const struct stats_brick *from, size_t m,
                       enum tally_kind kind)
{
        const struct stats_method *method = &from->counters.methods[m];
        uint64_t ended, begun;

        if (stats_get(&method->begun) == 0)
                return;
        ended = stats_ended(method);
        begun = stats_read(&method->begun); /* after the ends, as both grow meanwhile */
        if (ended > begun + ENDS_EARLY)
                return;
        stats_add(&brick->counters.methods[m], method, sizeof *method);
        if (kind == TALLY_DEAD && begun > ended)
                brick->lost[m] = stats_sum(brick->lost[m], begun - ended);
}

static void add_gauges(struct tally_brick *brick, const struct stats_brick *from, bool serves)
{
        char reason[STATS_TEXT_MAX + 1];

        brick->live = true;
        brick->in_flight += atomic_load(&from->in_flight);
        brick->queued += atomic_load(&from->queued);
        if (!serves)
                return;
        if (stats_get_health(&from->health, reason)) {
                brick->healthy++;
                return;
        }
        if (brick->sick++ == 0)
                memcpy(brick->reason, reason, sizeof reason);
}

/* NULL: out of memory, or there are too many. */
static struct tally_backend *find_backend(struct tally_brick *brick, const char *name)
{
        struct tally_backend *grown;

        for (size_t i = 0; i < brick->n_backends; i++)
                if (strcmp(brick->backends[i].name, name) == 0)
                        return &brick->backends[i];
        if (brick->n_backends == TALLY_BACKENDS)
                return NULL;
        grown = reallocarray(brick->backends, brick->n_backends + 1, sizeof *grown);
        if (!grown)
                return NULL;
        brick->backends = grown;
        grown = &grown[brick->n_backends];
        *grown = (struct tally_backend){ .name = strdup(name) };
        if (!grown->name)
                return NULL;
        brick->n_backends++;
        return grown;
}

/* How much attention a state deserves that one of several workers reports. */
static unsigned severity(unsigned state)
{
        static const unsigned char severities[BACKEND_STATES] = {
                [BACKEND_READY] = 1,
                [BACKEND_CONNECTING] = 2,
                [BACKEND_PAUSED] = 3,
                [BACKEND_FAILING] = 4,
        };

        return state < BACKEND_STATES ? severities[state] : 0;
}

static void add_backend(struct tally_backend *backend, const struct stats_backend *from,
                        enum tally_kind kind)
{
        unsigned state;

        if (kind == TALLY_DEAD)
                return;
        backend->live = true;
        backend->in_flight += atomic_load(&from->in_flight);
        state = atomic_load(&from->state);
        if (kind == TALLY_SERVES && severity(state) > severity(backend->state))
                backend->state = state;
}

static void add_backends(struct tally_brick *brick, const struct conf_brick *conf,
                         const struct stats_brick *from, enum tally_kind kind)
{
        const char *name;

        for (size_t i = 0; i < STATS_BACKENDS && (name = conf_backend(conf, i)); i++) {
                struct tally_backend *backend = find_backend(brick, name);

                if (!backend)
                        continue;
                stats_add(&backend->counters, &from->counters.backends[i],
                          sizeof backend->counters);
                add_backend(backend, &from->backends[i], kind);
        }
}

static int add_brick(struct tally *tally, const struct conf_brick *conf,
                     const struct stats_brick *from, enum tally_kind kind, size_t *at)
{
        unsigned type = atomic_load(&from->type);
        struct tally_brick *brick;
        int r;

        if (!brick_type_to_string(type))
                return 0; /* it has not been created */
        r = find_brick(tally, conf->name, type, at, &brick);
        if (r < 0)
                return r;
        brick->touched = tally->additions;
        brick->methods |= atomic_load(&from->methods) & ((1u << STATS_METHODS) - 1);
        for (size_t m = 0; m < STATS_METHODS; m++)
                add_method(brick, from, m, kind);
        stats_add(&brick->counters.queue_wait, &from->counters.queue_wait,
                  offsetof(struct stats_brick_counters, backends) -
                          offsetof(struct stats_brick_counters, queue_wait));
        add_backends(brick, conf, from, kind);
        if (kind != TALLY_DEAD)
                add_gauges(brick, from, kind == TALLY_SERVES);
        return 0;
}

/* While the files are replaced, one worker may have the new certificate and another the old one. */
static void add_certificate(struct tally_port *port, uint64_t ends)
{
        if (ends > 0 && (port->certificate_ends == 0 || ends < port->certificate_ends))
                port->certificate_ends = ends;
}

static int add_port(struct tally *tally, const char *listen, const struct stats_port *from,
                    enum tally_kind kind)
{
        struct tally_port *port;
        int r;

        r = find_port(tally, listen, &port);
        if (r < 0)
                return r;
        port->touched = tally->additions;
        stats_add(&port->counters, &from->counters, sizeof from->counters);
        if (kind != TALLY_DEAD) {
                port->live = true;
                port->connections += atomic_load(&from->connections);
        }
        if (kind == TALLY_SERVES)
                add_certificate(port, atomic_load(&from->certificate_ends));
        return 0;
}

static struct tally_identity *find_identity(struct tally *tally, const char *name)
{
        struct tally_identity *new = &tally->identities[tally->n_identities];

        for (size_t i = 0; i < tally->n_identities; i++)
                if (strcmp(tally->identities[i].name, name) == 0)
                        return &tally->identities[i];
        if (tally->n_identities == STATS_IDENTITIES)
                return &tally->identities[0];
        (void)strcpy(new->name, name);
        tally->n_identities++;
        return new;
}

static void add_identities(struct tally *tally, const struct stats_head *head)
{
        struct tally_identity *identity;
        char name[STATS_NAME_MAX + 1];

        for (size_t i = 0; i < STATS_IDENTITIES; i++) {
                stats_identity_name(&head->identities[i], name);
                if (!*name)
                        continue;
                identity = find_identity(tally, name);
                identity->requests = stats_sum(identity->requests,
                                               stats_read(&head->identities[i].requests));
                identity->tokens = stats_sum(identity->tokens,
                                             stats_read(&head->identities[i].tokens));
        }
}

/* NULL: it has none. */
static struct tally_genai *find_genai(const struct tally *tally, const struct genai_key *key)
{
        for (size_t i = 0; i < tally->n_genai; i++)
                if (genai_key_equal(&tally->genai[i]->key, key))
                        return tally->genai[i];
        return NULL;
}

static int append_genai(struct tally *tally, const struct genai_key *key, struct tally_genai **ret)
{
        struct tally_genai **grown = reallocarray(tally->genai, tally->n_genai + 1,
                                                  sizeof(struct tally_genai *));

        if (!grown)
                return -ENOMEM;
        tally->genai = grown;
        *ret = calloc(1, sizeof **ret);
        if (!*ret)
                return -ENOMEM;
        (*ret)->key = *key;
        tally->genai[tally->n_genai++] = *ret;
        return 0;
}

/* Models that come when there are many count as one, as in the workers. */
static int add_genai(struct tally *tally, const struct stats_genai *from)
{
        struct tally_genai *to;
        struct genai_key key;
        int r = 0;

        if (!genai_read_key(from, &key))
                return 0;
        to = find_genai(tally, &key);
        if (!to && tally->n_genai >= STATS_GENAI) {
                key = genai_key_other(&key);
                to = find_genai(tally, &key);
        }
        if (!to)
                r = append_genai(tally, &key, &to);
        if (r == 0)
                stats_add(&to->counters, &from->counters, sizeof to->counters);
        return r;
}

int tally_add(struct tally *tally, const struct conf *conf, const struct stats *stats,
              enum tally_kind kind)
{
        size_t at = 0;
        int r = 0;

        tally->additions++;
        for (size_t i = 0; r == 0 && i < stats->n_bricks; i++)
                r = add_brick(tally, &conf->bricks[i], &stats->bricks[i], kind, &at);
        for (size_t i = 0; r == 0 && i < stats->n_ports; i++)
                r = add_port(tally, conf->ports[i].listen, &stats->ports[i], kind);
        add_identities(tally, stats->head);
        for (size_t i = 0; conf->metrics_genai && r == 0 && i < STATS_GENAI; i++)
                r = add_genai(tally, &stats->head->genai[i]);
        stats_add(&tally->builtin, &stats->head->builtin, sizeof tally->builtin);
        tally->log_dropped = stats_sum(tally->log_dropped, stats_read(&stats->head->log_dropped));
        for (size_t i = 0; kind != TALLY_DEAD && i < STATS_BUILTIN_METHODS; i++)
                tally->open[i] += atomic_load(&stats->head->open[i]);
        return r;
}

int tally_new(struct tally **ret)
{
        struct tally *tally = calloc(1, sizeof *tally);

        if (!tally)
                return -ENOMEM;
        (void)find_identity(tally, STATS_IDENTITY_OTHER);
        *ret = tally;
        return 0;
}

static int copy_backends(struct tally_brick *to, const struct tally_brick *from)
{
        to->backends = NULL;
        to->n_backends = 0;
        for (size_t i = 0; i < from->n_backends; i++) {
                struct tally_backend *backend = find_backend(to, from->backends[i].name);

                if (!backend)
                        return -ENOMEM;
                stats_add(&backend->counters, &from->backends[i].counters,
                          sizeof backend->counters);
        }
        return 0;
}

int tally_copy(struct tally **ret, const struct tally *from)
{
        _cleanup_(tally_freep) struct tally *copy = malloc(sizeof *copy);
        int r = 0;

        if (!copy)
                return -ENOMEM;
        *copy = *from;
        copy->bricks = NULL;
        copy->n_bricks = 0;
        copy->ports = NULL;
        copy->n_ports = 0;
        copy->genai = NULL;
        copy->n_genai = 0;
        for (size_t i = 0; r == 0 && i < from->n_bricks; i++) {
                struct tally_brick *brick;
                char *name;

                r = append_brick(copy, from->bricks[i]->name, from->bricks[i]->type, &brick);
                if (r < 0)
                        break;
                name = brick->name;
                memcpy(brick, from->bricks[i], sizeof *brick);
                brick->name = name;
                r = copy_backends(brick, from->bricks[i]);
        }
        for (size_t i = 0; r == 0 && i < from->n_ports; i++) {
                struct tally_port *port;
                char *listen;

                r = append_port(copy, from->ports[i]->listen, &port);
                if (r < 0)
                        break;
                listen = port->listen;
                memcpy(port, from->ports[i], sizeof *port);
                port->listen = listen;
        }
        for (size_t i = 0; r == 0 && i < from->n_genai; i++) {
                struct tally_genai *genai;

                r = append_genai(copy, &from->genai[i]->key, &genai);
                if (r == 0)
                        stats_add(&genai->counters, &from->genai[i]->counters,
                                  sizeof genai->counters);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(copy);
        return 0;
}
