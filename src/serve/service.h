/* SPDX-License-Identifier: MIT */
#pragma once

/* The eight services and their 22 methods, as proto/ defines them. Constant. */

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "brick.h"

struct service {
        unsigned type;    /* BRICK_TYPE_* */
        const char *name; /* full, as in proto/ */
        uint32_t methods; /* 1 << BRICK_METHOD_* */
        const ProtobufCMessageDescriptor *request;
        const ProtobufCMessageDescriptor *reply;
        uint32_t error_field; /* of the reply */
        const char
                *empty; /* payload of a successful reply whose brick gave none; it has this size */
        size_t empty_size;

        /* numbers of fields of the request; 0: the type has no such field */
        uint32_t model_id;
        uint32_t client_id;
        uint32_t session_id;
        uint32_t request_id;
};

/* The service of a BRICK_TYPE_*; NULL: there is no such type. */
const struct service *service_of_type(unsigned type);

/* The types of a method's messages, and the error field of its reply. GetServiceInfo has its own;
 * all other methods have their service's. */
const ProtobufCMessageDescriptor *service_request(const struct service *service, uint32_t method);
const ProtobufCMessageDescriptor *service_reply(const struct service *service, uint32_t method);
uint32_t service_error_field(const struct service *service, uint32_t method);
