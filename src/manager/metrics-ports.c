/* SPDX-License-Identifier: MIT */

/* Metrics of ports, and of the methods that brickd answers itself. */

#include <stdio.h>

#include "manager/metrics-page.h"
#include "manager/tally.h"
#include "util/grpc-status.h"

static void put_unrouted(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_ports; i++)
                for (unsigned status = 1; status < STATS_STATUSES; status++) {
                        const struct tally_port *port = p->tally->ports[i];
                        uint64_t n = stats_get(&port->counters.unrouted[status]);

                        if (n == 0)
                                continue;
                        page_begin(p, "");
                        page_label(p, "port", port->listen);
                        page_label(p, "code", grpc_status_to_string(status));
                        page_end(p, n);
                }
}

static void put_http(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_ports; i++)
                for (unsigned route = 0; route < STATS_ROUTES; route++)
                        for (size_t place = 0; place < STATS_HTTP_STATUSES; place++) {
                                const struct tally_port *port = p->tally->ports[i];
                                uint64_t n = stats_get(&port->counters.http[route][place]);
                                char status[8] = "other";

                                if (n == 0)
                                        continue;
                                if (stats_http_status(place) > 0)
                                        (void)snprintf(status, sizeof status, "%u",
                                                       stats_http_status(place));
                                page_begin(p, "");
                                page_label(p, "port", port->listen);
                                page_label(p, "route", stats_route_to_string(route));
                                page_label(p, "status", status);
                                page_end(p, n);
                        }
}

static void put_rejected(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_ports; i++)
                for (unsigned reason = 0; reason < STATS_REASONS; reason++) {
                        page_begin(p, "");
                        page_label(p, "port", p->tally->ports[i]->listen);
                        page_label(p, "reason", stats_reason_to_string(reason));
                        page_end(p, stats_get(&p->tally->ports[i]->counters.rejected[reason]));
                }
}

static void put_connections(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_ports; i++)
                if (p->tally->ports[i]->live) {
                        page_begin(p, "");
                        page_label(p, "port", p->tally->ports[i]->listen);
                        page_end(p, p->tally->ports[i]->connections);
                }
}

static void put_accepted(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_ports; i++) {
                page_begin(p, "");
                page_label(p, "port", p->tally->ports[i]->listen);
                page_end(p, stats_get(&p->tally->ports[i]->counters.accepted));
        }
}

static void put_certificates(struct page *p)
{
        for (size_t i = 0; i < p->tally->n_ports; i++)
                if (p->tally->ports[i]->certificate_ends > 0) {
                        page_begin(p, "");
                        page_label(p, "port", p->tally->ports[i]->listen);
                        page_end(p, p->tally->ports[i]->certificate_ends);
                }
}

static void put_builtin(struct page *p)
{
        for (unsigned m = 0; m < STATS_BUILTIN_METHODS; m++)
                for (unsigned status = 0; status < STATS_STATUSES; status++) {
                        uint64_t n = stats_get(&p->tally->builtin.calls[m][status]);

                        if (n == 0 && status > 0)
                                continue;
                        page_begin(p, "");
                        page_label(p, "method", stats_builtin_to_string(m));
                        page_label(p, "code", grpc_status_to_string(status));
                        page_end(p, n);
                }
}

static void put_builtin_open(struct page *p)
{
        for (unsigned m = 0; m < STATS_BUILTIN_METHODS; m++) {
                page_begin(p, "");
                page_label(p, "method", stats_builtin_to_string(m));
                page_end(p, p->tally->open[m]);
        }
}

const struct metric metrics_of_ports[] = {
        { "brickd_unrouted_requests_total", "counter",
          "Calls that were refused before a brick was chosen.", put_unrouted },
        { "brickd_http_requests_total", "counter",
          "Requests to ports with protocol: http that have been answered.", put_http },
        { "brickd_rejected_total", "counter", "Calls and connections that were refused or ended.",
          put_rejected },
        { "brickd_connections", "gauge", "Open connections.", put_connections },
        { "brickd_connections_accepted_total", "counter", "Connections accepted.", put_accepted },
        { "brickd_certificate_expiry_timestamp_seconds", "gauge",
          "When the certificate that new connections get expires.", put_certificates },
        { "brickd_builtin_requests_total", "counter",
          "Health checks and reflection calls that have ended.", put_builtin },
        { "brickd_builtin_open", "gauge", "Health watches and reflection streams that are open.",
          put_builtin_open },
        {},
};
