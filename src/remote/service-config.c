/* SPDX-License-Identifier: MIT */
#include "remote/service-config.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/cleanup.h"
#include "util/clock.h"

/* The time between two attempts doubles. Once more than half of the calls fail, few are tried
 * again: retries must not be the load that keeps a server down. All calls that a server holds when
 * it freezes fail in the same moment; half as many as there are tokens are tried again, and gRPC
 * allows no more tokens than these. */
#define RETRY_TIMES "\"initialBackoff\":\"0.05s\",\"maxBackoff\":\"1s\",\"backoffMultiplier\":2"
#define RETRY_THROTTLE "\"retryThrottling\":{\"maxTokens\":1000,\"tokenRatio\":0.5}"

static void put_duration(FILE *f, const char *key, int64_t ns)
{
        uint64_t n = (uint64_t)ns;

        fprintf(f, "\"%s\":\"%" PRIu64 ".%09" PRIu64 "s\"", key, n / NSEC_PER_SEC,
                n % NSEC_PER_SEC);
}

/* At most half of the servers are ejected: the others could not bear the load. */
static void put_balance(FILE *f, const struct service_config *config)
{
        fputs("\"loadBalancingConfig\":[{", f);
        if (config->eject_percent > 0) {
                fputs("\"outlier_detection_experimental\":{", f);
                put_duration(f, "interval", config->eject_interval);
                fputc(',', f);
                put_duration(f, "baseEjectionTime", config->eject_time);
                fprintf(f,
                        ",\"maxEjectionPercent\":50,\"failurePercentageEjection\":"
                        "{\"threshold\":%u,\"enforcementPercentage\":100,\"minimumHosts\":1,"
                        "\"requestVolume\":%u},"
                        "\"childPolicy\":[{\"%s\":{}}]}",
                        config->eject_percent, config->eject_calls, config->balance);
        } else {
                fprintf(f, "\"%s\":{}", config->balance);
        }
        fputs("}]", f);
}

static void put_retry(FILE *f, const struct service_config *config)
{
        const char *separator = "";

        fprintf(f,
                ",\"methodConfig\":[{\"name\":[{}],\"retryPolicy\":{\"maxAttempts\":%u," RETRY_TIMES
                ",\"retryableStatusCodes\":[",
                config->attempts);
        for (size_t i = 0; i < config->n_statuses; i++) {
                fprintf(f, "%s\"", separator);
                for (const char *p = config->statuses[i]; *p; p++)
                        fputc(toupper((unsigned char)*p), f);
                fputc('"', f);
                separator = ",";
        }
        fputs("]}}]," RETRY_THROTTLE, f);
}

char *service_config_json(const struct service_config *config)
{
        char *text = NULL;
        size_t length;
        FILE *f = open_memstream(&text, &length);

        if (!f)
                return NULL;
        fputc('{', f);
        put_balance(f, config);
        if (config->health_service)
                fprintf(f, ",\"healthCheckConfig\":{\"serviceName\":\"%s\"}",
                        config->health_service);
        if (config->attempts > 1)
                put_retry(f, config);
        fputc('}', f);
        if (fclose(f) == 0)
                return text;
        free(text);
        return NULL;
}
