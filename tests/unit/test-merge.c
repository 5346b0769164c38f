/* SPDX-License-Identifier: MIT */
#undef NDEBUG
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "llm.pb-c.h"
#include "rpc/merge.h"
#include "translate.pb-c.h"

/* Several replies as one: what protobuf-c packs, merged, is what it unpacks. */

enum { PIECES_MAX = 4, PIECE_SIZE = 512 };

static char memory[PIECES_MAX][PIECE_SIZE];
static struct brick_bytes pieces[PIECES_MAX];
static char merged[PIECES_MAX * PIECE_SIZE + MERGE_EXTRA];

static void add(size_t i, const ProtobufCMessage *message)
{
        size_t n = protobuf_c_message_get_packed_size(message);

        assert(n <= PIECE_SIZE);
        (void)protobuf_c_message_pack(message, (uint8_t *)memory[i]);
        pieces[i] = (struct brick_bytes){ memory[i], n };
}

static void add_llm(size_t i, const char *text, const char *token, bool final)
{
        Protocols__Grpc__Llm__LLMResponse reply = PROTOCOLS__GRPC__LLM__LLMRESPONSE__INIT;

        reply.text = (char *)text;
        reply.tokens = (char **)&token;
        reply.n_tokens = token ? 1 : 0;
        reply.is_final = final;
        add(i, &reply.base);
}

static void test_texts_join(void)
{
        Protocols__Grpc__Llm__LLMResponse *reply;
        size_t n;

        add_llm(0, "Hel", "Hel", false);
        add_llm(1, "", NULL, false);
        add_llm(2, "lo", "lo", true);
        n = merge_replies(merged, pieces, 3);
        reply = protocols__grpc__llm__llmresponse__unpack(NULL, n, (uint8_t *)merged);
        assert(reply && strcmp(reply->text, "Hello") == 0 && reply->is_final);
        assert(reply->n_tokens == 2);
        assert(strcmp(reply->tokens[0], "Hel") == 0 && strcmp(reply->tokens[1], "lo") == 0);
        protocols__grpc__llm__llmresponse__free_unpacked(reply, NULL);
}

/* A text longer than one byte of length can say, and no text at all. */
static void test_lengths(void)
{
        Protocols__Grpc__Llm__LLMResponse *reply;
        char text[301];
        size_t n;

        memset(text, 'x', 300);
        text[300] = '\0';
        add_llm(0, text, NULL, false);
        add_llm(1, text, NULL, false);
        n = merge_replies(merged, pieces, 2);
        reply = protocols__grpc__llm__llmresponse__unpack(NULL, n, (uint8_t *)merged);
        assert(reply && strlen(reply->text) == 600 && strspn(reply->text, "x") == 600);
        protocols__grpc__llm__llmresponse__free_unpacked(reply, NULL);

        add_llm(0, "", NULL, false);
        add_llm(1, "", NULL, false);
        assert(merge_replies(merged, pieces, 2) == 0);
}

/* Of a field that is not repeated, the last value counts. */
static void test_last_counts(void)
{
        Protocols__Grpc__Translate__TranslateResponse
                one = PROTOCOLS__GRPC__TRANSLATE__TRANSLATE_RESPONSE__INIT,
                two = PROTOCOLS__GRPC__TRANSLATE__TRANSLATE_RESPONSE__INIT, *reply;
        size_t n;

        one.text = (char *)"a";
        one.language_code = (char *)"de";
        two.text = (char *)"b";
        two.language_code = (char *)"fr";
        add(0, &one.base);
        add(1, &two.base);
        n = merge_replies(merged, pieces, 2);
        reply = protocols__grpc__translate__translate_response__unpack(NULL, n, (uint8_t *)merged);
        assert(reply && strcmp(reply->text, "ab") == 0 && strcmp(reply->language_code, "fr") == 0);
        protocols__grpc__translate__translate_response__free_unpacked(reply, NULL);
}

int main(void)
{
        test_texts_join();
        test_lengths();
        test_last_counts();
        return 0;
}
