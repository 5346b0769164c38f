/* SPDX-License-Identifier: MIT */
#include "manager/generation.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/node.h"
#include "conf/process.h"
#include "manager/crew.h"
#include "manager/identities.h"
#include "shared/identities.h"
#include "shared/programs.h"
#include "shared/quota.h"
#include "util/clock.h"
#include "util/errno.h"
#include "util/utf8.h"

/* How long a retired worker may take beyond drain.retire and drain.grace before it is killed. */
#define RETIRE_MARGIN (5 * NSEC_PER_SEC)

/* --- failing ---------------------------------------------------------------------------------- */

/* A worker exits with EX_CONFIG or EX_UNAVAILABLE on purpose; no other status means anything. */
static int exit_status_of(const struct process *dead)
{
        if (dead->exit_code == CLD_EXITED &&
            (dead->exit_status == EX_CONFIG || dead->exit_status == EX_UNAVAILABLE))
                return dead->exit_status;
        return EXIT_FAILURE;
}

static void add_epitaph(struct generation *g, const struct process *dead)
{
        _cleanup_free_ char *epitaph = NULL;

        if (dead->failed)
                reasons_add(&g->reasons, "%s", dead->failed);
        else if (process_epitaph(dead, &epitaph) == 0)
                reasons_add(&g->reasons, "worker %s", epitaph);
}

static void generation_fail(struct generation *g, const struct process *dead)
{
        bool told = dead->n_diagnostics > 0;

        g->state = GENERATION_FAILED;
        g->exit_status = EX_CONFIG;
        if (told)
                reasons_add_diagnostics(&g->reasons, g->label, dead);
        /* The worker parses the same file: it has already reported the mistakes in it. */
        if (!told || g->parsed)
                reasons_add_diag(&g->reasons, g->diag);
        if (g->identities)
                reasons_add_diag(&g->reasons, identities_mistakes(g->identities));
        if (g->conf && !told) {
                g->exit_status = exit_status_of(dead);
                add_epitaph(g, dead);
        }
        workers_kill(&g->workers);
}

/* A process of a brick could not be started. The workers wait for it, and end first. */
static void on_crew_failed(struct crew *crew, const char *why, void *user)
{
        struct generation *g = user;

        if (g->state != GENERATION_STARTING)
                return;
        g->state = GENERATION_FAILED;
        g->exit_status = EX_UNAVAILABLE;
        reasons_add(&g->reasons, "%s", why);
        workers_kill(&g->workers);
}

static void on_crew_changed(struct crew *crew, void *user)
{
        workers_wake(&((struct generation *)user)->workers);
}

/* Every failure has a reason: this adds one if there is none yet. */
static int explain_errno(struct generation *g, int r)
{
        if (r < 0 && g->reasons.n == 0)
                reasons_add(&g->reasons, "%s: %s", g->name, conf_strerror(r));
        return r;
}

/* Reports the end once the last worker has exited. Callers do nothing after it: the owner may free
 * g. */
static void end_if_empty(struct generation *g)
{
        if (workers_count_running(&g->workers) > 0 || g->state < GENERATION_ENDING)
                return;
        sockets_release(&g->sockets); /* first: the owner may open the same addresses at once */
        if (g->state == GENERATION_FAILED)
                g->ops->failed(g, g->user);
        else
                g->ops->ended(g, g->user);
}

/* --- what the workers report ------------------------------------------------------------------ */

static void on_ready(struct workers *workers, void *user)
{
        struct generation *g = user;

        if (g->check)
                return;
        if (g->state == GENERATION_SERVING)
                g->ops->changed(g, g->user);
        if (g->state != GENERATION_STARTING || workers_count_ready(workers) < workers->n)
                return;
        g->state = GENERATION_SERVING;
        /* Not earlier: until now the previous generation's configuration was in force. */
        sockets_set_access(&g->sockets, g->conf);
        g->workers.start_extra = 0;
        crew_serve(g->crew);
        g->ops->ready(g, g->user);
}

static void on_answered(struct workers *workers, void *user)
{
        struct generation *g = user;

        g->ops->answered(g, g->user);
}

static void on_exited(struct slot *slot, const struct process *dead, void *user)
{
        struct generation *g = user;

        switch (g->state) {
        case GENERATION_STARTING:
                if (g->check && g->conf && dead->ready > 0)
                        g->state = GENERATION_ENDING;
                else
                        generation_fail(g, dead);
                break;
        case GENERATION_SERVING:
                slot_restart(slot, dead);
                g->ops->changed(g, g->user);
                break;
        case GENERATION_ENDING:
                slot_log_end(slot, dead);
                break;
        case GENERATION_NEW:
        case GENERATION_FAILED:
                break;
        }
        end_if_empty(g);
}

/* --- creation and destruction ----------------------------------------------------------------- */

int generation_new(struct generation **ret, const char *name, unsigned number,
                   struct processes *processes, const struct generation_ops *ops, void *user)
{
        _cleanup_(generation_freep) struct generation *g = calloc(1, sizeof *g);

        if (!g)
                return -ENOMEM;
        *g = (struct generation){
                .number = number,
                .processes = processes,
                .ops = ops,
                .user = user,
                .name = strdup(name),
                .label = strdup(name),
                .exit_status = EXIT_FAILURE,
        };
        if (!g->name || !g->label)
                return -ENOMEM;
        utf8_clean(g->label, strlen(g->label));
        *ret = TAKE_PTR(g);
        return 0;
}

static void free_specs(struct generation *g)
{
        for (size_t i = 0; g->specs && i < g->conf->n_bricks; i++)
                (void)process_spec_free(g->specs[i]);
        free(g->specs);
        g->specs = NULL;
}

struct generation *generation_free(struct generation *g)
{
        if (!g)
                return NULL;
        workers_done(&g->workers);
        (void)crew_free(g->crew);
        (void)programs_free(g->programs);
        free_specs(g);
        sockets_release(&g->sockets);
        reasons_done(&g->reasons);
        (void)identities_source_free(g->identities);
        (void)identity_text_free(g->identity_text);
        (void)conf_free(g->conf);
        (void)diag_free(g->diag);
        free(g->bytes);
        free(g->label);
        free(g->name);
        free(g);
        return NULL;
}

/* --- loading ---------------------------------------------------------------------------------- */

/* Writes the identities in force where workers read them, those that run and those to come. */
static int share_identities(struct generation *g)
{
        size_t length;
        const char *bytes = identities_bytes(g->identities, &length);

        return identity_text_set(g->identity_text, bytes, length);
}

/* Returns 0, so that it is not called again: no failure here is transient. */
static int on_identities(struct identities_source *source, void *user)
{
        struct generation *g = user;

        if (share_identities(g) < 0)
                workers_kill(&g->workers); /* or a revoked identity would stay valid */
        workers_wake(&g->workers);
        return 0;
}

/* Mistakes in the file of identities are kept in the source; without conf, a worker then looks for
 * more mistakes elsewhere. */
static int load_identities(struct generation *g)
{
        _cleanup_free_ char *why = NULL;
        int r;

        if (!g->conf || !g->conf->identities)
                return 0;
        r = identities_source_new(&g->identities, g->conf, processes_event(g->processes),
                                  on_identities, g, &why);
        if (why && !errno_is_transient(r)) {
                diag_add(g->diag, node_get(g->conf->root, "identities"), "%s", why);
        } else if (r < 0) {
                if (why)
                        reasons_add(&g->reasons, "%s", why);
                return r;
        }
        if (why || diag_count(identities_mistakes(g->identities)) > 0)
                g->conf = conf_free(g->conf);
        return 0;
}

/* Mistakes are in g->diag. Without conf, a worker then looks for more of them elsewhere. */
static int load_specs(struct generation *g)
{
        bool mistaken = false;
        int r = 0;

        if (!g->conf)
                return 0;
        g->specs = calloc(g->conf->n_bricks + 1, sizeof *g->specs);
        if (!g->specs)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < g->conf->n_bricks; i++) {
                const struct conf_brick *brick = &g->conf->bricks[i];

                if (process_table(brick))
                        r = process_spec_new(&g->specs[i], g->conf, brick, g->diag);
                mistaken = mistaken || r == -EINVAL;
                if (r == -EINVAL)
                        r = 0;
        }
        if (!mistaken)
                return r;
        free_specs(g);
        g->identities = identities_source_free(g->identities); /* it uses the conf */
        g->conf = conf_free(g->conf);
        return r;
}

static int load(struct generation *g)
{
        int r;

        r = conf_read(g->name, &g->bytes, &g->length);
        if (r < 0) {
                g->exit_status = errno_is_descriptors(r) ? EX_UNAVAILABLE
                                 : errno_is_transient(r) ? EXIT_FAILURE
                                                         : EX_CONFIG;
                return r;
        }
        r = diag_new(&g->diag, g->name, g->bytes, g->length);
        if (r < 0)
                return r;
        r = conf_parse(&g->conf, g->name, g->bytes, g->length, g->diag);
        if (r < 0)
                return r == -EINVAL ? 0 : r;
        g->parsed = true;
        r = load_identities(g);
        return r < 0 ? r : load_specs(g);
}

int generation_load(struct generation *g)
{
        return explain_errno(g, load(g));
}

/* --- starting --------------------------------------------------------------------------------- */

static void explain_port(struct generation *g, const struct conf_port *port, int r, const char *why)
{
        if (port->kind == LISTEN_SYSTEMD && why) {
                /* A matter of configuration: systemd would pass the same to the next start. */
                g->exit_status = EX_CONFIG;
                diag_add(g->diag, node_get(port->node, "listen"), "%s", why);
                reasons_add_diag(&g->reasons, g->diag);
                return;
        }
        g->exit_status = EX_UNAVAILABLE;
        reasons_add(&g->reasons, "Cannot listen on %s: %s", port->listen, why ? why : strerror(-r));
}

static int open_sockets(struct generation *g, const struct generation *previous,
                        const struct inherited *inherited)
{
        const struct conf_port *failed = NULL;
        _cleanup_free_ char *why = NULL;
        int r;

        r = sockets_open(&g->sockets, g->conf, previous ? &previous->sockets : NULL, inherited,
                         &failed, &why);
        if (r < 0 && failed)
                explain_port(g, failed, r, why);
        return r;
}

static int start_crew(struct generation *g)
{
        static const struct crew_ops ops = {
                .changed = on_crew_changed,
                .failed = on_crew_failed,
        };
        size_t n = 0;
        int r;

        for (size_t i = 0; !g->check && i < g->conf->n_bricks; i++)
                n += g->specs[i] ? g->specs[i]->count : 0;
        r = programs_new(&g->programs, n);
        if (r == 0 && !g->check)
                r = crew_new(&g->crew, g->supervisor, g->conf, g->specs, g->programs, &ops, g);
        if (r < 0)
                reasons_add(&g->reasons, "Cannot start the processes of the bricks: %s",
                            strerror(-r));
        return r;
}

static int start_workers(struct generation *g)
{
        static const struct workers_ops ops = {
                .ready = on_ready,
                .answered = on_answered,
                .exited = on_exited,
        };
        int r;

        r = identity_text_new(&g->identity_text, g->identities ? IDENTITY_TEXT_MAX : 0);
        if (r == 0)
                r = share_identities(g);
        if (r == 0) {
                g->workers = (struct workers){
                        .ops = &ops,
                        .user = g,
                        .processes = g->processes,
                        .conf = g->conf,
                        .tally = g->tally,
                        .start_extra = g->crew ? crew_start_timeout(g->crew) : 0,
                        .spawn = {
                                .name = g->name,
                                .bytes = g->bytes,
                                .length = g->length,
                                .generation = g->number,
                                .check = g->check,
                                .identities = identity_text_fd(g->identity_text),
                                .quota = quota_fd(processes_quota(g->processes)),
                                .programs = programs_fd(g->programs),
                                .sockets = &g->sockets,
                                .n_bricks = g->conf ? g->conf->n_bricks : 0,
                        },
                };
                r = workers_start(&g->workers, g->check ? 1 : g->conf->workers);
        }
        if (r < 0)
                reasons_add(&g->reasons, "Cannot run %s: %s", spawn_executable(), strerror(-r));
        return r;
}

static void blame_descriptors(struct generation *g)
{
        struct rlimit limit;

        g->exit_status = EX_UNAVAILABLE;
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
                reasons_add(&g->reasons,
                            "This process may have %" PRIu64 " files open: raise LimitNOFILE= of "
                            "its unit, or ulimit -n",
                            (uint64_t)limit.rlim_cur);
}

int generation_start(struct generation *g, const struct generation *previous,
                     const struct inherited *inherited)
{
        int r = 0;

        g->state = GENERATION_STARTING;
        g->check = g->check || !g->conf;
        g->exit_status = g->conf ? EXIT_FAILURE : EX_CONFIG;
        if (!g->check)
                r = open_sockets(g, previous, inherited);
        if (r == 0)
                r = start_crew(g);
        if (r == 0)
                r = start_workers(g);
        if (errno_is_descriptors(r))
                blame_descriptors(g);
        if (r < 0) {
                g->state = GENERATION_FAILED;
                sockets_release(&g->sockets);
                if (!g->conf)
                        reasons_add_diag(&g->reasons, g->diag);
        }
        return explain_errno(g, r);
}

/* --- ending ----------------------------------------------------------------------------------- */

void generation_retire(struct generation *g)
{
        g->state = GENERATION_ENDING;
        workers_retire(&g->workers, (uint64_t)g->conf->drain_retire +
                                            (uint64_t)g->conf->drain_grace + RETIRE_MARGIN);
        sockets_release(&g->sockets);
        end_if_empty(g);
}

void generation_stop(struct generation *g, uint64_t grace, uint64_t limit)
{
        if (g->state != GENERATION_FAILED)
                g->state = GENERATION_ENDING;
        g->stopping = true;
        sockets_close_ports(&g->sockets);
        workers_stop(&g->workers, grace, limit);
        end_if_empty(g);
}
