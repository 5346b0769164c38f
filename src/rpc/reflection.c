/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <sys/types.h>

#include "reflection.pb-c.h"
#include "rpc/builtin.h"
#include "rpc/descriptors.h"
#include "rpc/reflection.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest Request;
typedef Grpc__Reflection__V1__ServerReflectionResponse Response;
typedef Grpc__Reflection__V1__ErrorResponse Error;
typedef Grpc__Reflection__V1__FileDescriptorResponse Files;
typedef Grpc__Reflection__V1__ListServiceResponse List;
typedef Grpc__Reflection__V1__ServiceResponse Service;

#define REQUEST(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define RESPONSE(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

static void send_error(struct builtin_call *call, Response *response, int code, const char *message)
{
        Error error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;

        error.error_code = code;
        error.error_message = (char *)message;
        response->message_response_case = RESPONSE(ERROR_RESPONSE);
        response->error_response = &error;
        builtin_reply(call, &response->base);
}

/* Sends the file and all files that it imports, so that the client need not ask again. file < 0: it
 * has not been found. */
static void send_file(struct builtin_call *call, Response *response, ssize_t file)
{
        const struct descriptors *descriptors = call->slot->port->builtin->descriptors;
        Files files = GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
        _cleanup_free_ ProtobufCBinaryData *list = NULL;
        _cleanup_free_ size_t *indices = NULL;

        if (file < 0) {
                send_error(call, response, GRPC_STATUS_NOT_FOUND, "There is no such thing");
                return;
        }
        list = calloc(descriptors->n_files, sizeof *list);
        indices = calloc(descriptors->n_files, sizeof *indices);
        if (!list || !indices) {
                send_error(call, response, GRPC_STATUS_RESOURCE_EXHAUSTED, "Out of memory");
                return;
        }
        files.n_file_descriptor_proto = descriptors_closure(descriptors, (size_t)file, indices);
        files.file_descriptor_proto = list;
        for (size_t i = 0; i < files.n_file_descriptor_proto; i++) {
                const struct descriptor_file *f = &descriptors->files[indices[i]];

                list[i] = (ProtobufCBinaryData){ f->length, f->bytes };
        }
        response->message_response_case = RESPONSE(FILE_DESCRIPTOR_RESPONSE);
        response->file_descriptor_response = &files;
        builtin_reply(call, &response->base);
}

static void send_list(struct builtin_call *call, Response *response)
{
        const struct builtin_port *port = call->slot->port;
        List list = GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
        Service services[BUILTIN_SERVICES_MAX], *pointers[BUILTIN_SERVICES_MAX];

        for (size_t i = 0; i < port->n_services; i++) {
                services[i] = (Service)GRPC__REFLECTION__V1__SERVICE_RESPONSE__INIT;
                services[i].name = (char *)port->services[i];
                pointers[i] = &services[i];
        }
        list.n_service = port->n_services;
        list.service = pointers;
        response->message_response_case = RESPONSE(LIST_SERVICES_RESPONSE);
        response->list_services_response = &list;
        builtin_reply(call, &response->base);
}

static void answer(struct builtin_call *call, const ProtobufCMessage *message)
{
        const struct descriptors *descriptors = call->slot->port->builtin->descriptors;
        Request *request = (Request *)message;
        Response response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;

        response.valid_host = request->host;
        response.original_request = request;
        switch ((int)request->message_request_case) {
        case REQUEST(FILE_BY_FILENAME):
                send_file(call, &response,
                          descriptors_find_file(descriptors, request->file_by_filename));
                break;
        case REQUEST(FILE_CONTAINING_SYMBOL):
                send_file(call, &response,
                          descriptors_find_symbol(descriptors, request->file_containing_symbol));
                break;
        case REQUEST(LIST_SERVICES):
                send_list(call, &response);
                break;
        case REQUEST(FILE_CONTAINING_EXTENSION):
        case REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE):
                send_error(call, &response, GRPC_STATUS_NOT_FOUND, "There are no extensions");
                break;
        default:
                send_error(call, &response, GRPC_STATUS_INVALID_ARGUMENT,
                           "The request asks for nothing");
        }
}

const struct builtin_method reflection_v1 = {
        .path = "/" REFLECTION_SERVICE "/ServerReflectionInfo",
        .label = "reflection",
        .stats = STATS_BUILTIN_REFLECTION,
        .request = &grpc__reflection__v1__server_reflection_request__descriptor,
        .stream = true,
        .request_stream = true,
        .message = answer,
};

const struct builtin_method reflection_v1alpha = {
        .path = "/" REFLECTION_ALPHA_SERVICE "/ServerReflectionInfo",
        .label = "reflection",
        .stats = STATS_BUILTIN_REFLECTION_ALPHA,
        .request = &grpc__reflection__v1__server_reflection_request__descriptor,
        .stream = true,
        .request_stream = true,
        .message = answer,
};
