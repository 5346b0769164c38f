/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/json.h"
#include "ctl/output.h"
#include "ctl/target.h"
#include "health.pb-c.h"
#include "util/clock.h"

#define CHECK_TIMEOUT (10 * NSEC_PER_SEC)

typedef Grpc__Health__V1__HealthCheckRequest Request;
typedef Grpc__Health__V1__HealthCheckResponse Response;

#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING

/* The name in a health check: that of a brick, or the full name of a service. */
static const char *name_of(const struct target *target)
{
        if (target->brick)
                return target->brick;
        return target->service ? target->service->descriptor->name : "";
}

static int print_answer(const struct ctl *ctl, const char *name, const Response *response)
{
        const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
                &grpc__health__v1__health_check_response__serving_status__descriptor,
                (int)response->status);
        const char *status = value ? value->name : "UNKNOWN";

        if (ctl->json) {
                _cleanup_(json_unrefp)
                        json_t *json = json_pack("{s:s, s:s}", "name", name, "status", status);

                output_json(stdout, json);
        } else {
                puts(status);
        }
        return response->status == SERVING ? CTL_OK : CTL_FAILED;
}

static int check(const struct ctl *ctl, const struct target *target, struct rpc *rpc)
{
        _cleanup_(message_freep) ProtobufCMessage *reply = NULL;
        Request request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
        const char *text;
        int status, r;

        request.service = (char *)name_of(target);
        if (rpc_send(rpc, &request.base) == 0)
                (void)rpc_send_end(rpc);
        r = rpc_receive(rpc, &grpc__health__v1__health_check_response__descriptor, &reply);
        if (r < 0)
                rpc_cancel(rpc);
        status = rpc_finish(rpc, &text);
        if (r > 0 && status == 0)
                return print_answer(ctl, request.service, (const Response *)reply);
        if (r < 0 || status == 0)
                return ctl_error(CTL_UNREACHABLE, "The reply is not a valid HealthCheckResponse");
        rpc_print_status(status, text);
        return CTL_UNREACHABLE;
}

int command_health(struct ctl *ctl)
{
        _cleanup_(target_done) struct target target = {};
        _cleanup_(rpc_freep) struct rpc *rpc = NULL;
        _cleanup_free_ char *authorization = NULL;
        struct rpc_metadata metadata;
        int r;

        r = ctl_authorization(ctl, &authorization);
        if (r != CTL_OK)
                return r;
        metadata = (struct rpc_metadata){ "authorization", authorization };
        r = target_find_health(ctl, ctl->n_arguments > 0 ? ctl->arguments[0] : NULL, &target);
        if (r != CTL_OK)
                return r;
        r = rpc_new(&rpc, target.address, &target.tls, "/grpc.health.v1.Health/Check", &metadata,
                    authorization != NULL, ctl_timeout(ctl, CHECK_TIMEOUT));
        if (r < 0)
                return ctl_error(CTL_UNREACHABLE, "Failed to call %s: %s", target.address,
                                 strerror(-r));
        return check(ctl, &target, rpc);
}
