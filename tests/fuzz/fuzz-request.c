/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "rpc/service.h"
#include "rpc/validate.h"

/*
 * The first byte picks a service, the rest is a request as a client may send it. What is found
 * valid must also unpack, because bricks rely on it.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct service *service;
        ProtobufCMessage *message;
        size_t length;

        if (size == 0)
                return 0;
        service = service_of_type(BRICK_TYPE_COMMON + data[0] % 8);
        (void)validate_find_string(data + 1, size - 1, 1 + data[0] / 8u, &length);
        if (!validate_message(service->request, data + 1, size - 1, 0))
                return 0;

        message = protobuf_c_message_unpack(service->request, NULL, size - 1, data + 1);
        if (!message)
                abort();
        protobuf_c_message_free_unpacked(message, NULL);
        return 0;
}
