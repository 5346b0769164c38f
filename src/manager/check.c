/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>

#include "conf/conf.h"
#include "manager/check.h"
#include "manager/generation.h"
#include "util/log.h"
#include "util/plural.h"
#include "util/terminal.h"

static void on_ended(struct generation *g, void *user)
{
        sd_event *event = user;

        (void)printf("%s: %zu brick%s on %zu port%s: ok\n", g->label, g->conf->n_bricks,
                     plural(g->conf->n_bricks), g->conf->n_ports, plural(g->conf->n_ports));
        (void)sd_event_exit(event, EXIT_SUCCESS);
}

static void show_failure(const struct generation *g)
{
        for (size_t i = 0; i < g->reasons.n; i++) {
                terminal_put(stderr, g->reasons.texts[i]);
                (void)fputc('\n', stderr);
        }
}

static void on_failed(struct generation *g, void *user)
{
        sd_event *event = user;

        show_failure(g);
        (void)sd_event_exit(event, g->exit_status);
}

static void on_nothing(struct generation *g, void *user)
{
}

/* Also ends a worker that hangs in a create(): generation_free() kills it. */
static int on_interrupt(sd_event_source *source, const struct signalfd_siginfo *info, void *user)
{
        return sd_event_exit(sd_event_source_get_event(source), 128 + (int)info->ssi_signo);
}

static int loop_new(sd_event **ret)
{
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        int r;

        r = sd_event_new(&event);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, NULL, SIGINT | SD_EVENT_SIGNAL_PROCMASK, on_interrupt, NULL);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, NULL, SIGTERM | SD_EVENT_SIGNAL_PROCMASK, on_interrupt,
                                NULL);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(event);
        return 0;
}

static int check(const char *name)
{
        static const struct generation_ops ops = {
                .ready = on_nothing,
                .failed = on_failed,
                .ended = on_ended,
                .changed = on_nothing,
                .answered = on_nothing,
        };
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(processes_freep) struct processes *processes = NULL;
        _cleanup_(generation_freep) struct generation *g = NULL;
        int r;

        r = loop_new(&event);
        if (r < 0)
                return r;
        r = processes_new(&processes, event);
        if (r < 0)
                return r;
        r = generation_new(&g, name, 0, processes, &ops, event);
        if (r < 0)
                return r;
        g->check = true;
        r = generation_load(g);
        if (r == 0)
                r = generation_start(g, NULL, NULL);
        if (r < 0 && g->reasons.n > 0) {
                show_failure(g);
                return g->exit_status;
        }
        return r < 0 ? r : sd_event_loop(event);
}

int check_file(const char *name)
{
        int r = check(name);

        if (r < 0) {
                (void)log_errno(r, "Cannot check %s: %m", name);
                return EXIT_FAILURE;
        }
        return r;
}
