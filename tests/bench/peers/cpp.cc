/* SPDX-License-Identifier: MIT */

/*
 * LLMService on grpc++ at its fastest: the asynchronous API with one thread, calls that are
 * recycled, messages on arenas, and streamed messages that may wait for the next.
 */

#include <absl/synchronization/mutex.h>
#include <google/protobuf/arena.h>
#include <grpcpp/grpcpp.h>
#include <malloc.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocols/grpc/llm/llm.grpc.pb.h"

using google::protobuf::Arena;
using grpc::Status;
using protocols::grpc::llm::LLMRequest;
using protocols::grpc::llm::LLMResponse;
using protocols::grpc::llm::LLMService;

/* requests of each method that wait for calls */
constexpr int POSTED_UNARY = 16;
constexpr int POSTED_STREAMS = 4;
constexpr size_t ARENA_BLOCK = 1024;

static LLMService::AsyncService service;
static std::unique_ptr<grpc::ServerCompletionQueue> queue;

/* What comes out of the queue. */
struct Event {
        virtual void proceed(bool ok) = 0;
};

/* One call, of the class Kind, which knows how to request() it. */
template <class Kind, class Writer> struct Call : Event {
        static void post()
        {
                Kind *call;

                if (free_calls.empty()) {
                        call = new Kind;
                } else {
                        call = free_calls.back();
                        free_calls.pop_back();
                }
                call->arena.Reset();
                call->question = Arena::CreateMessage<LLMRequest>(&call->arena);
                call->answer = Arena::CreateMessage<LLMResponse>(&call->arena);
                call->context.emplace();
                call->writer.emplace(&*call->context);
                call->request();
        }

        void recycle()
        {
                writer.reset();
                context.reset();
                free_calls.push_back(static_cast<Kind *>(this));
        }

        alignas(16) char block[ARENA_BLOCK];
        Arena arena{ block, sizeof block };
        LLMRequest *question;
        LLMResponse *answer;
        std::optional<grpc::ServerContext> context;
        std::optional<Writer> writer;

        static inline std::vector<Kind *> free_calls;
};

struct Unary final : Call<Unary, grpc::ServerAsyncResponseWriter<LLMResponse>> {
        void request()
        {
                ending = false;
                service.RequestUnary(&*context, question, &*writer, queue.get(), queue.get(), this);
        }

        void proceed(bool ok) override
        {
                std::string *text;

                if (ending)
                        return recycle();
                if (!ok)
                        return;
                post();
                text = answer->mutable_text();
                text->reserve(6 + question->prompt().size());
                text->append("Echo: ").append(question->prompt());
                answer->set_is_final(true);
                answer->mutable_error()->set_code(200);
                ending = true;
                writer->Finish(*answer, Status::OK, this);
        }

        bool ending;
};

struct Stream final : Call<Stream, grpc::ServerAsyncWriter<LLMResponse>> {
        void request()
        {
                state = WAITING;
                service.RequestOutputStreaming(&*context, question, &*writer, queue.get(),
                                               queue.get(), this);
        }

        void proceed(bool ok) override
        {
                switch (state) {
                case WAITING:
                        if (!ok)
                                break;
                        post();
                        state = STREAMING;
                        left = question->max_tokens() > 0 ? question->max_tokens() : 10;
                        index = 0;
                        send(grpc::WriteOptions());
                        break;
                case STREAMING:
                        if (ok) {
                                send(grpc::WriteOptions().set_buffer_hint());
                        } else {
                                state = ENDING;
                                writer->Finish(Status::CANCELLED, this);
                        }
                        break;
                case ENDING:
                        recycle();
                        break;
                }
        }

        void send(grpc::WriteOptions options)
        {
                bool last = --left == 0;

                answer->set_text("tok" + std::to_string(index++) + " ");
                answer->set_is_final(last);
                answer->mutable_error()->set_code(200);
                if (last) {
                        state = ENDING;
                        writer->WriteAndFinish(*answer, grpc::WriteOptions(), Status::OK, this);
                } else {
                        writer->Write(*answer, options, this);
                }
        }

        enum { WAITING, STREAMING, ENDING } state;
        int left, index;
};

int main(int argc, char **argv)
{
        std::unique_ptr<grpc::Server> server;
        grpc::ServerBuilder builder;
        void *event;
        bool ok;

        if (argc != 2) {
                std::cerr << "usage: cpp PORT\n";
                return EXIT_FAILURE;
        }
        builder.AddListeningPort(std::string("127.0.0.1:") + argv[1],
                                 grpc::InsecureServerCredentials());
        /* Memory that is given back to the kernel costs page faults when it is needed again. */
        (void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
        (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
        absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
        builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
        builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
        builder.AddChannelArgument(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, 4096);
        builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
        builder.RegisterService(&service);
        queue = builder.AddCompletionQueue();
        server = builder.BuildAndStart();
        if (!server)
                return EXIT_FAILURE;
        for (int i = 0; i < POSTED_UNARY; i++)
                Unary::post();
        for (int i = 0; i < POSTED_STREAMS; i++)
                Stream::post();
        while (queue->Next(&event, &ok))
                static_cast<Event *>(event)->proceed(ok);
}
