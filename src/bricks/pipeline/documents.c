/* SPDX-License-Identifier: MIT */
#include "documents.h"

#include <assert.h>
#include <string.h>

/* The two types differ in their names only: one code works on both. */
static_assert(sizeof(RetrievalDocument) == sizeof(ComposeDocument), "");
static_assert(offsetof(RetrievalDocument, doc_id) == offsetof(ComposeDocument, doc_id), "");
static_assert(offsetof(RetrievalDocument, title) == offsetof(ComposeDocument, title), "");
static_assert(offsetof(RetrievalDocument, snippet) == offsetof(ComposeDocument, snippet), "");
static_assert(offsetof(RetrievalDocument, score) == offsetof(ComposeDocument, score), "");
static_assert(offsetof(RetrievalDocument, metadata) == offsetof(ComposeDocument, metadata), "");

size_t documents_lists(struct run *run, uint64_t steps, struct documents lists[DOCUMENT_LISTS_MAX])
{
        size_t n = 0;

        if (run->request->descriptor == BRICK_DESCRIPTOR(ComposeRequest)) {
                ComposeRequest *request = (ComposeRequest *)run->request;

                lists[n++] = (struct documents){ (RetrievalDocument **)request->input_documents,
                                                 &request->n_input_documents };
        }
        for (unsigned i = 0; i < run->plan->n_steps; i++) {
                RetrievalResponse *found;

                if (!(steps & UINT64_C(1) << i))
                        continue;
                found = (RetrievalResponse *)run_value(run, run->plan->steps[i]);
                if (found)
                        lists[n++] = (struct documents){ found->documents, &found->n_documents };
        }
        return n;
}

int documents_put(struct run *run, uint64_t steps, ProtobufCMessage *message)
{
        bool compose = message->descriptor == BRICK_DESCRIPTOR(ComposeRequest);
        const ProtobufCFieldDescriptor *field = field_named(
                message->descriptor, compose ? "input_documents" : "documents");
        struct documents lists[DOCUMENT_LISTS_MAX];
        size_t n = documents_lists(run, steps, lists), count = 0;
        RetrievalDocument **items, *copies;

        for (size_t i = 0; i < n; i++)
                count += *lists[i].n;
        items = brick_alloc(run->call, (count + 1) * sizeof *items);
        copies = brick_alloc(run->call, (count + 1) * sizeof *copies);
        if (!items || !copies)
                return -ENOMEM;
        count = 0;
        for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < *lists[i].n; j++, count++) {
                        copies[count] = *lists[i].items[j];
                        copies[count].base.descriptor = field->descriptor;
                        items[count] = &copies[count];
                }
        *field_count(message, field) = count;
        field_set_pointer(message, field->name, items);
        return 0;
}
