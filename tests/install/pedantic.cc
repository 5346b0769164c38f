/* SPDX-License-Identifier: MIT */

/* What of the headers is for C++, for a compiler that warns of all it can. */

#include <brick-sdk.h>
#include <brick-yaml.h>
#include <brick.h>

int unary(struct brick_call *call, GuardResponse *response);
int unary(struct brick_call *call, GuardResponse *response)
{
        struct brick_text text = BRICK_TEXT(call);
        LLMResponse *llm = BRICK_NEW(call, LLMResponse);
        GuardResult *result = brick_add(call, response, results);
        RetrievalResponse *retrieval = BRICK_NEW(call, RetrievalResponse);
        RetrievalDocument **documents = brick_add_n(call, retrieval, documents, 2);
        ModelInfo *model = BRICK_NEW(call, ModelInfo);

        if (!llm || !result || !documents || !model)
                return -ENOMEM;
        llm->text = brick_const("a constant");
        brick_text_printf(&text, "%s %d", "one", 1);
        result->detail = brick_text_end(&text);
        if (BRICK_HAS(brick_host, call_fail_errno))
                brick_end(call, -ENOSYS, nullptr);
        return brick_add_string(call, model, supported_languages, "de");
}
