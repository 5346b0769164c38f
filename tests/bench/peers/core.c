/* SPDX-License-Identifier: MIT */

/*
 * LLMService on libgrpc's C core and nothing else, with one polling thread: what a server on this
 * library can do at best. Answers as the brick `echo` does. Further processes share its port.
 * README.md says which settings were tried.
 */

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "llm.pb-c.h"

/* absl::OnDeadlockCycle::kIgnore */
#define DEADLOCKS_IGNORED 0
/* requests of each method that wait for calls */
#define POSTED_UNARY 16
#define POSTED_STREAMS 4
#define REQUEST_MAX (4 * 1024 * 1024)

typedef Protocols__Grpc__Llm__LLMRequest Request;
typedef Protocols__Grpc__Llm__LLMResponse Response;

enum state { WAITING, STREAMING, ENDING };

struct call {
        struct call *next_free;
        enum state state;
        bool stream;
        int left, index, cancelled;
        grpc_call *call;
        gpr_timespec deadline;
        grpc_metadata_array metadata;
        grpc_byte_buffer *payload;
};

/* absl::SetMutexDeadlockDetectionMode() of Debian's Abseil, which is built for debugging. */
extern void set_deadlock_detection(int mode) __asm__(
        "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE")
        __attribute__((weak));

static grpc_server *server;
static grpc_completion_queue *queue;
static void *unary, *output_streaming;
static struct call *free_calls;

/* One request at a time is unpacked, and forgotten before the next. */
static _Alignas(16) char memory[2 * REQUEST_MAX];
static size_t memory_used;

static void *bump(void *unused, size_t size)
{
        void *p = memory + memory_used;

        size = (size + 15) & ~(size_t)15;
        if (size > sizeof memory - memory_used)
                return NULL;
        memory_used += size;
        return p;
}

static void keep(void *unused, void *p)
{
}

static void post(bool stream)
{
        struct call *call = free_calls;

        if (call)
                free_calls = call->next_free;
        else
                call = calloc(1, sizeof *call);
        if (!call)
                abort();
        call->state = WAITING;
        call->stream = stream;
        call->payload = NULL;
        call->metadata.count = 0;
        if (grpc_server_request_registered_call(server, stream ? output_streaming : unary,
                                                &call->call, &call->deadline, &call->metadata,
                                                &call->payload, queue, queue, call) != GRPC_CALL_OK)
                abort();
}

static void start(struct call *call, const grpc_op *ops, size_t n)
{
        if (grpc_call_start_batch(call->call, ops, n, call, NULL) != GRPC_CALL_OK)
                abort();
}

static grpc_byte_buffer *pack(const char *text, bool final)
{
        Protocols__Grpc__Common__ErrorDetail error = PROTOCOLS__GRPC__COMMON__ERROR_DETAIL__INIT;
        Response response = PROTOCOLS__GRPC__LLM__LLMRESPONSE__INIT;
        grpc_byte_buffer *buffer;
        grpc_slice slice;

        error.code = 200;
        response.text = (char *)text;
        response.is_final = final;
        response.error = &error;
        slice = grpc_slice_malloc(protocols__grpc__llm__llmresponse__get_packed_size(&response));
        (void)protocols__grpc__llm__llmresponse__pack(&response, GRPC_SLICE_START_PTR(slice));
        buffer = grpc_raw_byte_buffer_create(&slice, 1);
        grpc_slice_unref(slice);
        return buffer;
}

/* Headers with the first message, the status with the last. message may be NULL. */
static void send_message(struct call *call, grpc_byte_buffer *message, bool first, bool last,
                         grpc_status_code status)
{
        grpc_op ops[4];
        size_t n = 0;

        if (first)
                ops[n++] = (grpc_op){ .op = GRPC_OP_SEND_INITIAL_METADATA };
        if (message)
                ops[n++] = (grpc_op){
                        .op = GRPC_OP_SEND_MESSAGE,
                        .flags = first || last ? 0 : GRPC_WRITE_BUFFER_HINT,
                        .data.send_message.send_message = message,
                };
        if (last) {
                ops[n++] = (grpc_op){
                        .op = GRPC_OP_SEND_STATUS_FROM_SERVER,
                        .data.send_status_from_server.status = status,
                };
                ops[n++] = (grpc_op){
                        .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                        .data.recv_close_on_server.cancelled = &call->cancelled,
                };
                call->state = ENDING;
        }
        start(call, ops, n);
        if (message)
                grpc_byte_buffer_destroy(message);
}

static void send_token(struct call *call, bool first)
{
        bool last = --call->left == 0;
        char text[32];

        (void)snprintf(text, sizeof text, "tok%d ", call->index++);
        send_message(call, pack(text, last), first, last, GRPC_STATUS_OK);
}

static Request *unpack(grpc_byte_buffer *payload)
{
        ProtobufCAllocator allocator = { .alloc = bump, .free = keep };
        grpc_byte_buffer_reader reader;
        Request *request = NULL;
        grpc_slice slice;

        memory_used = 0;
        if (!payload || !grpc_byte_buffer_reader_init(&reader, payload))
                return NULL;
        if (payload->data.raw.slice_buffer.count == 1)
                slice = grpc_slice_ref(payload->data.raw.slice_buffer.slices[0]);
        else
                slice = grpc_byte_buffer_reader_readall(&reader);
        request = protocols__grpc__llm__llmrequest__unpack(&allocator, GRPC_SLICE_LENGTH(slice),
                                                           GRPC_SLICE_START_PTR(slice));
        grpc_slice_unref(slice);
        grpc_byte_buffer_reader_destroy(&reader);
        return request;
}

static void answer(struct call *call)
{
        const Request *request = unpack(call->payload);
        char *text;
        size_t n;

        grpc_byte_buffer_destroy(call->payload);
        if (!request) {
                send_message(call, NULL, true, true, GRPC_STATUS_UNKNOWN);
        } else if (call->stream) {
                call->state = STREAMING;
                call->left = request->max_tokens > 0 ? request->max_tokens : 10;
                call->index = 0;
                send_token(call, true);
        } else {
                n = strlen(request->prompt) + 1;
                text = bump(NULL, n + strlen("Echo: "));
                if (!text)
                        abort();
                memcpy(mempcpy(text, "Echo: ", strlen("Echo: ")), request->prompt, n);
                send_message(call, pack(text, true), true, true, GRPC_STATUS_OK);
        }
}

static void handle(struct call *call, bool ok)
{
        switch (call->state) {
        case WAITING:
                if (!ok)
                        break;
                post(call->stream);
                answer(call);
                break;
        case STREAMING:
                if (ok)
                        send_token(call, false);
                else
                        send_message(call, NULL, false, true, GRPC_STATUS_CANCELLED);
                break;
        case ENDING:
                grpc_call_unref(call->call);
                call->next_free = free_calls;
                free_calls = call;
                break;
        }
}

static grpc_arg int_arg(const char *key, int value)
{
        return (grpc_arg){ .type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value };
}

static _Noreturn void serve(const char *port, bool shared)
{
        grpc_arg args[] = {
                int_arg(GRPC_ARG_ALLOW_REUSEPORT, shared),
                int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1000),
                int_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1),
                int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
                int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
                int_arg(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, 4096),
        };
        const grpc_channel_args channel_args = { sizeof args / sizeof args[0], args };
        grpc_server_credentials *credentials;
        char address[32];
        grpc_event event;

        /* Memory that is given back to the kernel costs page faults when it is needed again. */
        (void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
        (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
        if (set_deadlock_detection)
                set_deadlock_detection(DEADLOCKS_IGNORED);
        grpc_init();
        server = grpc_server_create(&channel_args, NULL);
        queue = grpc_completion_queue_create_for_next(NULL);
        grpc_server_register_completion_queue(server, queue, NULL);
        unary = grpc_server_register_method(server, "/protocols.grpc.llm.LLMService/Unary", NULL,
                                            GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
        output_streaming = grpc_server_register_method(
                server, "/protocols.grpc.llm.LLMService/OutputStreaming", NULL,
                GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
        (void)snprintf(address, sizeof address, "127.0.0.1:%s", port);
        credentials = grpc_insecure_server_credentials_create();
        if (!grpc_server_add_http2_port(server, address, credentials)) {
                (void)fprintf(stderr, "peer-core: cannot listen on %s\n", address);
                exit(EXIT_FAILURE);
        }
        grpc_server_credentials_release(credentials);
        grpc_server_start(server);
        for (int i = 0; i < POSTED_UNARY; i++)
                post(false);
        for (int i = 0; i < POSTED_STREAMS; i++)
                post(true);
        for (;;) {
                event = grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC),
                                                   NULL);
                handle(event.tag, event.success);
        }
}

int main(int argc, char **argv)
{
        int processes = argc == 3 ? atoi(argv[2]) : 1;

        if (argc < 2 || argc > 3 || processes < 1) {
                (void)fprintf(stderr, "usage: peer-core PORT [PROCESSES]\n");
                return EXIT_FAILURE;
        }
        /* Before there is anything of gRPC, which does not outlive a fork. */
        for (int i = 1; i < processes; i++) {
                switch (fork()) {
                case -1:
                        perror("peer-core: fork");
                        return EXIT_FAILURE;
                case 0:
                        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                        serve(argv[1], true);
                }
        }
        serve(argv[1], processes > 1);
}
