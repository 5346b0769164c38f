/* SPDX-License-Identifier: MIT */
#pragma once

/* gRPC's service config: how a channel chooses among the servers behind its address, and when it
 * tries a call again. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct service_config {
        const char *balance;        /* the name of a policy of gRPC's */
        const char *health_service; /* to ask about; NULL: health is not asked for */

        unsigned attempts;           /* of a call; less than 2: it is not tried again */
        const char *const *statuses; /* after which it is; the names of gRPC's, in small letters */
        size_t n_statuses;

        unsigned eject_percent; /* of failed calls, above which a server is ejected; 0: never */
        unsigned eject_calls;   /* fewer in one interval are too few to judge by */
        int64_t eject_interval; /* ns */
        int64_t eject_time;     /* ns; longer for a server that is ejected again */
};

/* The JSON, for free(); NULL: out of memory. The texts have no character that JSON escapes. */
char *service_config_json(const struct service_config *config);
