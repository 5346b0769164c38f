/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/node.h"
#include "manager/generation.h"
#include "manager/identities.h"
#include "manager/socket.h"
#include "manager/tally.h"
#include "shared/balance.h"
#include "shared/identities.h"
#include "util/clock.h"
#include "util/errno.h"
#include "util/log.h"
#include "util/utf8.h"

/* A worker that dies is started again at once; if it dies again soon, after longer and longer. */
#define BACKOFF_FIRST (100 * NSEC_PER_MSEC)
#define BACKOFF_MAX (30 * NSEC_PER_SEC)
#define BACKOFF_FORGET NSEC_PER_SEC

/* For a worker that only looks for mistakes: the file's own limit is not known then. */
#define CHECK_TIMEOUT (30 * NSEC_PER_SEC)

/* What a worker has beyond the times of its configuration. */
#define RETIRE_MARGIN (5 * NSEC_PER_SEC)

/* Why it failed */

/* Takes the text. It may hold a path or the name of another process, which can be any bytes. */
static void add_reason(struct generation *g, char *text)
{
        char **grown = text ? reallocarray(g->reasons, g->n_reasons + 1, sizeof *grown) : NULL;

        if (!grown) {
                free(text);
                return;
        }
        utf8_clean(text, strlen(text));
        g->reasons = grown;
        grown[g->n_reasons++] = text;
}

static void add_diag(struct generation *g, const struct diag *diag)
{
        size_t shown = 0, count = diag_count(diag);
        const char *text;
        char *more = NULL;

        for (; (text = diag_text(diag, shown)); shown++)
                add_reason(g, strdup(text));
        if (shown < count && asprintf(&more, "and %zu more", count - shown) > 0)
                add_reason(g, more);
}

/* Each begins with the name of the file, so that none can pass for something else that is logged.
 */
static void add_diagnostic(struct generation *g, const char *diagnostic)
{
        size_t length = strlen(g->label);
        char *text = NULL;

        if (strncmp(diagnostic, g->label, length) == 0 && diagnostic[length] == ':')
                add_reason(g, strdup(diagnostic));
        else if (asprintf(&text, "%s: %s", g->label, diagnostic) > 0)
                add_reason(g, text);
}

static void take_diagnostics(struct generation *g, const struct process *dead)
{
        char more[64];

        for (size_t i = 0; i < dead->n_diagnostics; i++)
                add_diagnostic(g, dead->diagnostics[i]);
        if (dead->n_left_out > 0) {
                (void)snprintf(more, sizeof more, "and %zu more", dead->n_left_out);
                add_diagnostic(g, more);
        }
}

static void kill_all(struct generation *g)
{
        for (size_t i = 0; i < g->n_slots; i++)
                if (g->slots[i].process)
                        process_kill(g->slots[i].process);
}

static int verdict_of(const struct process *dead)
{
        if (dead->exit_code == CLD_EXITED &&
            (dead->exit_status == EX_CONFIG || dead->exit_status == EX_UNAVAILABLE))
                return dead->exit_status;
        return EXIT_FAILURE;
}

static void add_epitaph(struct generation *g, const struct process *dead)
{
        _cleanup_free_ char *epitaph = NULL;
        char *text = NULL;

        if (dead->failed)
                add_reason(g, strdup(dead->failed));
        else if (process_epitaph(dead, &epitaph) == 0 && asprintf(&text, "worker %s", epitaph) > 0)
                add_reason(g, text);
}

static void generation_fail(struct generation *g, const struct process *dead)
{
        bool told = dead->n_diagnostics > 0;

        g->state = GENERATION_FAILED;
        g->exit_status = EX_CONFIG;
        if (told)
                take_diagnostics(g, dead);
        /* Those that the worker has found as well are said once. */
        if (!told || g->parsed)
                add_diag(g, g->diag);
        if (g->identities)
                add_diag(g, identities_mistakes(g->identities));
        if (g->conf && !told) {
                g->exit_status = verdict_of(dead);
                add_epitaph(g, dead);
        }
        kill_all(g);
}

int generation_explain(const struct generation *g, char **ret)
{
        size_t size;
        FILE *f = open_memstream(ret, &size);

        if (!f)
                return -ENOMEM;
        for (size_t i = 0; i < g->n_reasons; i++)
                (void)fprintf(f, "%s%s", i > 0 ? "\n" : "", g->reasons[i]);
        return fclose(f) == 0 ? 0 : -ENOMEM;
}

/* Its workers */

static size_t count_processes(const struct generation *g)
{
        size_t n = 0;

        for (size_t i = 0; i < g->n_slots; i++)
                n += g->slots[i].process != NULL;
        return n;
}

static void release_sockets(struct generation *g)
{
        for (size_t i = 0; i < g->n_sockets; i++)
                (void)socket_unref(g->sockets[i]);
        g->sockets = (free(g->sockets), NULL);
        g->n_sockets = 0;
        g->metrics = socket_unref(g->metrics);
}

/* The last thing that any caller does: the owner may free g. */
static void end_if_empty(struct generation *g)
{
        if (count_processes(g) > 0 || g->state < GENERATION_ENDING)
                return;
        release_sockets(g); /* before anybody learns of the end */
        if (g->state == GENERATION_FAILED)
                g->ops->failed(g, g->user);
        else
                g->ops->ended(g, g->user);
}

/* Only now: until the new configuration serves, the old one's word counts. */
static void set_access(struct socket *socket, const struct conf_port *port)
{
        _cleanup_free_ char *why = NULL;
        int r;

        r = socket_set_access(socket, port, &why);
        if (r < 0)
                log_warning("%s keeps the mode and owner that it has: %s", socket->listen,
                            why ? why : strerror(-r));
}

static void set_all_access(struct generation *g)
{
        for (size_t i = 0; i < g->n_sockets; i++)
                set_access(g->sockets[i], &g->conf->ports[i]);
        if (g->metrics)
                set_access(g->metrics, g->conf->metrics);
}

static void send_log_levels(const struct generation *g, struct process *process)
{
        process_log_levels(process, g->log_level, g->brick_log_levels);
}

static void on_ready(struct process *process, void *user)
{
        struct slot *slot = user;
        struct generation *g = slot->generation;

        if (g->check)
                return;
        send_log_levels(g, process);
        if (g->state == GENERATION_SERVING)
                g->ops->changed(g, g->user);
        if (g->state != GENERATION_STARTING || generation_count_ready(g) < g->n_slots)
                return;
        g->state = GENERATION_SERVING;
        set_all_access(g);
        g->ops->ready(g, g->user);
}

static void on_answered(struct process *process, void *user)
{
        struct slot *slot = user;
        struct generation *g = slot->generation;

        g->silent = false;
        g->ops->answered(g, g->user);
}

static void slot_start_later(struct slot *slot);
static void on_exited(struct process *process, void *user);

static int slot_start(struct slot *slot)
{
        static const struct process_ops ops = {
                .ready = on_ready,
                .answered = on_answered,
                .exited = on_exited,
        };
        struct generation *g = slot->generation;
        _cleanup_free_ int *fds = calloc(g->n_sockets + 1, sizeof *fds);
        struct spawn spawn = {
                .name = g->name,
                .bytes = g->bytes,
                .length = g->length,
                .generation = g->number,
                .worker = slot->index,
                .check = g->check,
                .identities = identity_text_fd(g->identity_text),
                .quota = processes_quota(g->processes),
                .balance = balance_fd(g->balance),
                .sockets = fds,
                .n_sockets = g->n_sockets,
                .n_bricks = g->conf ? g->conf->n_bricks : 0,
        };

        if (!fds)
                return -ENOMEM;
        for (size_t i = 0; i < g->n_sockets; i++)
                fds[i] = g->sockets[i]->fd;
        return process_new(&slot->process, g->processes, &spawn, g->conf,
                           g->conf ? (uint64_t)g->conf->start_timeout : CHECK_TIMEOUT, &ops, slot);
}

static void slot_start_again(struct slot *slot)
{
        struct generation *g = slot->generation;
        int r = slot_start(slot);

        if (r == 0) {
                slot->restarts++;
                g->tally->restarts++;
                return;
        }
        (void)log_errno(r, "Cannot start worker %u again: %s: %m", slot->index, spawn_executable());
        slot_start_later(slot);
}

static int on_again(sd_event_source *source, uint64_t usec, void *user)
{
        struct slot *slot = user;

        slot->again = sd_event_source_disable_unref(slot->again);
        slot_start_again(slot);
        return 0;
}

static uint64_t backoff(unsigned failures)
{
        if (failures == 0)
                return 0;
        if (failures > 9)
                return BACKOFF_MAX;
        return BACKOFF_FIRST << (failures - 1);
}

static void slot_start_later(struct slot *slot)
{
        uint64_t delay = backoff(slot->failures++);
        int r;

        r = sd_event_add_time_relative(processes_event(slot->generation->processes), &slot->again,
                                       CLOCK_MONOTONIC, delay / NSEC_PER_USEC, 1, on_again, slot);
        if (r < 0)
                (void)log_errno(r, "Worker %u is not started again yet: %m", slot->index);
}

static void log_death(const struct slot *slot, const struct process *dead, bool again)
{
        _cleanup_free_ char *epitaph = NULL;
        const char *brick = process_blames(dead);
        struct log_field fields[] = {
                { "MESSAGE_ID", LOG_ID_WORKER_DIED, strlen(LOG_ID_WORKER_DIED) },
                { "BRICK", brick, brick ? strlen(brick) : 0 },
        };
        char next[64] = "";

        if (process_epitaph(dead, &epitaph) < 0)
                return;
        if (again && slot->failures == 0)
                (void)snprintf(next, sizeof next, "; starting it again");
        else if (again)
                (void)snprintf(next, sizeof next, "; starting it again in %gs",
                               (double)backoff(slot->failures) / (double)NSEC_PER_SEC);
        log_fields(LOG_LEVEL_ERROR, fields, brick ? 2 : 1, "Worker %u (pid %d, generation %u) %s%s",
                   slot->index, dead->pid, slot->generation->number, epitaph, next);
}

/* One that has never served is killed without ado when it is not wanted any more. */
static bool left_in_peace(const struct process *dead)
{
        return dead->ready == 0 || (dead->exit_code == CLD_EXITED && dead->exit_status == 0);
}

static void slot_restart(struct slot *slot, const struct process *dead)
{
        if (dead->ready > 0 && clock_now() - dead->ready >= BACKOFF_FORGET)
                slot->failures = 0;
        for (size_t i = 0; i < dead->n_diagnostics; i++)
                log_error("%s", dead->diagnostics[i]);
        if (!process_was_silent(dead))
                slot->generation->silent = false;
        log_death(slot, dead, true);
        slot_start_later(slot);
        slot->generation->ops->changed(slot->generation, slot->generation->user);
}

static void on_exited(struct process *process, void *user)
{
        struct slot *slot = user;
        struct generation *g = slot->generation;
        _cleanup_(process_freep) struct process *dead = TAKE_PTR(slot->process);

        balance_forget(g->balance, slot->index);
        if (g->tally && g->conf)
                (void)tally_add(g->tally, g->conf, dead->stats, TALLY_DEAD);
        switch (g->state) {
        case GENERATION_STARTING:
                if (g->check && g->conf && dead->ready > 0)
                        g->state = GENERATION_ENDING;
                else
                        generation_fail(g, dead);
                break;
        case GENERATION_SERVING:
                slot_restart(slot, dead);
                break;
        case GENERATION_ENDING:
                if (!left_in_peace(dead))
                        log_death(slot, dead, false);
                break;
        case GENERATION_NEW:
        case GENERATION_FAILED:
                break;
        }
        end_if_empty(g);
}

/* Making and unmaking */

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

struct generation *generation_free(struct generation *g)
{
        if (!g)
                return NULL;
        for (size_t i = 0; i < g->n_slots; i++) {
                sd_event_source_disable_unref(g->slots[i].again);
                (void)process_free(g->slots[i].process);
        }
        free(g->slots);
        (void)balance_free(g->balance);
        release_sockets(g);
        for (size_t i = 0; i < g->n_reasons; i++)
                free(g->reasons[i]);
        free(g->reasons);
        (void)identities_source_free(g->identities);
        (void)identity_text_free(g->identity_text);
        (void)conf_free(g->conf);
        (void)diag_free(g->diag);
        free(g->brick_log_levels);
        free(g->bytes);
        free(g->label);
        free(g->name);
        free(g);
        return NULL;
}

/* What is in force, for the workers that run and those that come. */
static int share_identities(struct generation *g)
{
        size_t length;
        const char *bytes = identities_bytes(g->identities, &length);

        return identity_text_set(g->identity_text, bytes, length);
}

/* Nothing here can fail for a moment only, so nothing is to be tried again. */
static int on_identities(struct identities_source *source, void *user)
{
        struct generation *g = user;

        if (share_identities(g) < 0)
                kill_all(g); /* nobody may keep the rights that he had before */
        for (size_t i = 0; i < g->n_slots; i++)
                if (g->slots[i].process)
                        process_wake(g->slots[i].process);
        return 0;
}

/* Mistakes there are the generation's, and a worker looks for more of them. */
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
                add_reason(g, TAKE_PTR(why));
                return r;
        }
        if (why || diag_count(identities_mistakes(g->identities)) > 0)
                g->conf = conf_free(g->conf);
        return 0;
}

/* Whatever fails has a reason. */
static int blame_errno(struct generation *g, int r)
{
        char *text = NULL;

        if (r < 0 && g->n_reasons == 0 && asprintf(&text, "%s: %s", g->name, conf_strerror(r)) > 0)
                add_reason(g, text);
        return r;
}

static int load(struct generation *g)
{
        int r;

        r = conf_read(g->name, &g->bytes, &g->length);
        if (r < 0) {
                g->exit_status = errno_is_transient(r) ? EXIT_FAILURE : EX_CONFIG;
                return r;
        }
        r = diag_new(&g->diag, g->name, g->bytes, g->length);
        if (r < 0)
                return r;
        r = conf_parse(&g->conf, g->name, g->bytes, g->length, g->diag);
        if (r < 0)
                return r == -EINVAL ? 0 : r;
        g->parsed = true;
        return load_identities(g);
}

int generation_load(struct generation *g)
{
        return blame_errno(g, load(g));
}

static bool has_socket(const struct generation *g, const struct socket *socket)
{
        for (size_t i = 0; i < g->n_sockets; i++)
                if (g->sockets[i] == socket)
                        return true;
        return false;
}

/* Of the previous generation, to be kept. Several ports may be "any free port". */
static struct socket *find_socket(const struct generation *g, const struct generation *previous,
                                  const char *listen)
{
        for (size_t i = 0; previous && i < previous->n_sockets; i++)
                if (strcmp(previous->sockets[i]->listen, listen) == 0 &&
                    !socket_is_lost(previous->sockets[i]) && !has_socket(g, previous->sockets[i]))
                        return previous->sockets[i];
        return NULL;
}

static struct socket *find_metrics(const struct generation *g, const char *listen)
{
        if (!g || !g->metrics || strcmp(g->metrics->listen, listen) != 0)
                return NULL;
        return socket_is_lost(g->metrics) ? NULL : g->metrics;
}

static int open_socket(struct generation *g, const struct conf_port *port, struct socket *kept,
                       const struct inherited *inherited, struct socket **ret)
{
        _cleanup_(socket_unrefp) struct socket *socket = NULL;
        _cleanup_free_ char *why = NULL;
        char *text = NULL;
        int r;

        if (kept) {
                socket = socket_ref(kept);
                r = 0;
        } else {
                r = socket_open(&socket, port, inherited, &why);
        }
        if (r == 0)
                r = socket_check(socket, port, &why);
        if (r == 0) {
                *ret = TAKE_PTR(socket);
                return 0;
        }
        if (port->kind == LISTEN_SYSTEMD && why) {
                /* The next start would get the same from systemd. */
                g->exit_status = EX_CONFIG;
                diag_add(g->diag, node_get(port->node, "listen"), "%s", why);
                add_diag(g, g->diag);
                return r;
        }
        g->exit_status = EX_UNAVAILABLE;
        if (asprintf(&text, "Cannot listen on %s: %s", port->listen, why ? why : strerror(-r)) > 0)
                add_reason(g, text);
        return r;
}

static int open_ports(struct generation *g, const struct generation *previous,
                      const struct inherited *inherited)
{
        int r = 0;

        g->sockets = calloc(g->conf->n_ports + 1, sizeof(struct socket *));
        if (!g->sockets)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < g->conf->n_ports; i++) {
                const struct conf_port *port = &g->conf->ports[i];

                r = open_socket(g, port, find_socket(g, previous, port->listen), inherited,
                                &g->sockets[i]);
                if (r == 0)
                        g->n_sockets++;
        }
        if (r == 0 && g->conf->metrics)
                r = open_socket(g, g->conf->metrics,
                                find_metrics(previous, g->conf->metrics->listen), inherited,
                                &g->metrics);
        return r;
}

static int start_workers(struct generation *g)
{
        size_t n = g->check ? 1 : g->conf->workers;
        char *text = NULL;
        int r;

        g->slots = calloc(n, sizeof *g->slots);
        if (!g->slots)
                return -ENOMEM;
        g->n_slots = n;
        r = identity_text_new(&g->identity_text, g->identities ? IDENTITY_TEXT_MAX : 0);
        if (r == 0)
                r = share_identities(g);
        if (r == 0)
                r = balance_new(&g->balance, (unsigned)n);
        for (size_t i = 0; r == 0 && i < n; i++) {
                g->slots[i] = (struct slot){ .generation = g, .index = (unsigned)i };
                r = slot_start(&g->slots[i]);
        }
        if (r < 0 && asprintf(&text, "Cannot run %s: %s", spawn_executable(), strerror(-r)) > 0)
                add_reason(g, text);
        return r;
}

int generation_start(struct generation *g, const struct generation *previous,
                     const struct inherited *inherited)
{
        int r = 0;

        g->state = GENERATION_STARTING;
        g->check = g->check || !g->conf;
        g->exit_status = g->conf ? EXIT_FAILURE : EX_CONFIG;
        if (!g->check)
                r = open_ports(g, previous, inherited);
        if (r == 0)
                r = start_workers(g);
        if (r < 0) {
                g->state = GENERATION_FAILED;
                release_sockets(g);
                if (!g->conf)
                        add_diag(g, g->diag);
        }
        return blame_errno(g, r);
}

/* Going */

static void cancel_restarts(struct generation *g)
{
        for (size_t i = 0; i < g->n_slots; i++)
                g->slots[i].again = sd_event_source_disable_unref(g->slots[i].again);
}

void generation_retire(struct generation *g)
{
        uint64_t limit = (uint64_t)g->conf->drain_retire + (uint64_t)g->conf->drain_grace +
                         RETIRE_MARGIN;

        g->state = GENERATION_ENDING;
        cancel_restarts(g);
        for (size_t i = 0; i < g->n_slots; i++) {
                struct process *process = g->slots[i].process;

                if (process && process->state == PROCESS_STARTING)
                        process_stop(process, 0, 0);
                else if (process)
                        process_retire(process, limit);
        }
        release_sockets(g);
        end_if_empty(g);
}

void generation_stop(struct generation *g, uint64_t grace, uint64_t limit)
{
        if (g->state != GENERATION_FAILED)
                g->state = GENERATION_ENDING;
        g->stopping = true;
        cancel_restarts(g);
        for (size_t i = 0; i < g->n_sockets; i++)
                socket_close(g->sockets[i]);
        for (size_t i = 0; i < g->n_slots; i++)
                if (g->slots[i].process)
                        process_stop(g->slots[i].process, grace, limit);
        end_if_empty(g);
}

bool generation_is_stopping(const struct generation *g)
{
        return g->stopping;
}

void generation_cancel(struct generation *g, uint64_t limit)
{
        for (size_t i = 0; i < g->n_slots; i++)
                if (g->slots[i].process)
                        process_cancel(g->slots[i].process, limit);
}

/* Asking */

void generation_query(struct generation *g)
{
        for (size_t i = 0; i < g->n_slots; i++)
                if (g->slots[i].process)
                        process_query(g->slots[i].process);
}

bool generation_awaits_answer(const struct generation *g)
{
        for (size_t i = 0; i < g->n_slots; i++)
                if (g->slots[i].process && g->slots[i].process->asked)
                        return true;
        return false;
}

static void log_stuck(const struct slot *slot, uint64_t interval)
{
        const char *brick = process_stuck(slot->process);
        struct log_field fields[] = {
                { "MESSAGE_ID", LOG_ID_BRICK_STUCK, strlen(LOG_ID_BRICK_STUCK) },
                { "BRICK", brick, brick ? strlen(brick) : 0 },
        };

        log_fields(LOG_LEVEL_ERROR, fields, brick ? 2 : 1,
                   "Worker %u (pid %d) has not answered for %gs%s%s%s; killing it", slot->index,
                   slot->process->pid, (double)interval / (double)NSEC_PER_SEC,
                   brick ? ": brick '" : "", brick ? brick : "",
                   brick ? "' holds its polling thread" : "");
}

bool generation_reap_silent(struct generation *g, uint64_t interval, uint64_t late)
{
        uint64_t now = clock_now();
        bool starting = false;

        for (size_t i = 0; i < g->n_slots; i++) {
                struct process *process = g->slots[i].process;

                if (!process && !g->slots[i].again) /* there was no memory for the timer */
                        slot_start_later(&g->slots[i]);
                if (!process)
                        continue;
                starting = starting || process->state == PROCESS_STARTING;
                if (process->state != PROCESS_READY || !process->asked ||
                    now - process->asked <= interval + late)
                        continue;
                log_stuck(&g->slots[i], interval);
                process_abort(process);
                g->silent = true;
        }
        return !g->silent || starting;
}

size_t generation_count_ready(const struct generation *g)
{
        size_t n = 0;

        for (size_t i = 0; i < g->n_slots; i++)
                n += g->slots[i].process && g->slots[i].process->state == PROCESS_READY;
        return n;
}

/* Of the bricks that are meant. -ENOENT: none is. */
static int set_brick_levels(struct generation *g, enum log_level level, const char *brick,
                            const char *module)
{
        int r = -ENOENT;

        if (!g->brick_log_levels)
                g->brick_log_levels = calloc(g->conf->n_bricks + 1, sizeof *g->brick_log_levels);
        if (!g->brick_log_levels)
                return -ENOMEM;
        for (size_t i = 0; i < g->conf->n_bricks; i++) {
                const struct conf_brick *conf = &g->conf->bricks[i];

                if (brick ? strcmp(conf->name, brick) != 0 : strcmp(conf->module, module) != 0)
                        continue;
                g->brick_log_levels[i] = (int)level;
                r = 0;
        }
        return r;
}

int generation_set_log_level(struct generation *g, enum log_level level, const char *brick,
                             const char *module)
{
        int r;

        if (brick || module) {
                r = set_brick_levels(g, level, brick, module);
                if (r < 0)
                        return r;
        } else {
                g->log_level = (int)level;
        }
        for (size_t i = 0; i < g->n_slots; i++)
                if (g->slots[i].process)
                        send_log_levels(g, g->slots[i].process);
        return 0;
}
