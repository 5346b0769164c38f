/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/names.h"
#include "module/instance.h"
#include "rpc/rpc.h"
#include "util/json.h"
#include "util/utf8.h"
#include "worker/build.h"
#include "worker/status.h"

static void print_string(FILE *f, const char *s)
{
        json_put_string(f, s, strlen(s));
}

/* A brick may give any bytes as its reason; JSON takes UTF-8 only. */
static void print_health(FILE *f, struct instance *instance)
{
        char reason[HEALTH_REASON_MAX + 1];

        if (atomic_load(&instance->health.good))
                return;
        health_reason(&instance->health, reason);
        (void)fputs(",\"unhealthy\":", f);
        print_string(f, utf8_valid(reason, strlen(reason)) ? reason : "");
}

static void print_brick(FILE *f, struct instance *instance)
{
        const struct stats_brick *stats = instance->stats;
        uint64_t calls, failures;

        (void)fputs("{\"name\":", f);
        print_string(f, instance->conf->name);
        (void)fputs(",\"type\":", f);
        print_string(f, brick_type_to_string(instance->type));
        (void)fputs(",\"module\":", f);
        print_string(f, instance->conf->module);
        stats_totals(&stats->counters, &calls, &failures);
        (void)fprintf(f,
                      ",\"in_flight\":%u,\"queued\":%u,\"calls\":%" PRIu64 ",\"failures\":%" PRIu64,
                      atomic_load(&stats->in_flight), atomic_load(&stats->queued), calls, failures);
        print_health(f, instance);
        (void)fputc('}', f);
}

char *status_json(const struct build *build, const struct rpc *rpc)
{
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        (void)fputs("{\"bricks\":[", f);
        for (size_t i = 0; i < build->conf->n_bricks; i++) {
                if (i > 0)
                        (void)fputc(',', f);
                print_brick(f, build->instances[i]);
        }
        (void)fprintf(f, "],\"connections\":%u,\"in_flight\":%u}", rpc_connections(rpc),
                      rpc_in_flight(rpc));
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}
