/* SPDX-License-Identifier: MIT */
#include "google-parser.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/unknown_field_set.h>
#include <memory>
#include <vector>

extern "C" const char brickd_descriptors[], brickd_descriptors_end[];

using namespace google::protobuf;

namespace {

class Parser {
public:
        Parser()
        {
                FileDescriptorSet set;

                /* It would write a line for every text that is not UTF-8. */
                SetLogHandler(nullptr);
                GOOGLE_CHECK(set.ParseFromArray(
                        brickd_descriptors, int(brickd_descriptors_end - brickd_descriptors)));
                for (const FileDescriptorProto &file : set.file())
                        GOOGLE_CHECK(pool.BuildFile(file));
        }

        std::unique_ptr<Message> create(const char *type)
        {
                const Descriptor *descriptor = pool.FindMessageTypeByName(type);

                GOOGLE_CHECK(descriptor);
                return std::unique_ptr<Message>(factory.GetPrototype(descriptor)->New());
        }

private:
        DescriptorPool pool;
        DynamicMessageFactory factory;
};

/* Whether a field was put aside as unknown although its number is known. */
bool passed_over(const Message &message)
{
        const Reflection *reflection = message.GetReflection();
        const UnknownFieldSet &unknown = reflection->GetUnknownFields(message);
        std::vector<const FieldDescriptor *> fields;

        for (int i = 0; i < unknown.field_count(); i++)
                if (message.GetDescriptor()->FindFieldByNumber(unknown.field(i).number()))
                        return true;
        reflection->ListFields(message, &fields);
        for (const FieldDescriptor *field : fields) {
                if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE)
                        continue;
                if (!field->is_repeated()) {
                        if (passed_over(reflection->GetMessage(message, field)))
                                return true;
                        continue;
                }
                for (int i = 0; i < reflection->FieldSize(message, field); i++)
                        if (passed_over(reflection->GetRepeatedMessage(message, field, i)))
                                return true;
        }
        return false;
}

}

google_verdict google_parse(const char *type, const void *bytes, size_t size)
{
        static Parser parser;
        std::unique_ptr<Message> message = parser.create(type);

        if (!message->ParseFromArray(bytes, int(size)))
                return GOOGLE_REFUSES;
        return passed_over(*message) ? GOOGLE_PASSES_OVER : GOOGLE_PARSES;
}
