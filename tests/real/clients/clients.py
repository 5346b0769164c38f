# SPDX-License-Identifier: MIT
"""What users' clients from PyPI make of a brickd: clients.py URL. A line of JSON for each case of each client:
{ client, name, failure }, where failure is null if all is well."""
import asyncio
import json
import os
import sys
import tempfile
import traceback

os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LLM_USER_PATH": tempfile.mkdtemp(), "LANGSMITH_TRACING": "false"}

import litellm  # noqa: E402
import llm  # noqa: E402
import openai  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402
from llm.default_plugins.openai_models import Chat  # noqa: E402

URL = sys.argv[1] + "/v1"
TOKENS = "tok0 tok1 tok2 tok3 tok4 "
TOOL = {"type": "function", "function": {"name": "time", "description": "now",
                                         "parameters": {"type": "object", "properties": {}}}}
litellm.suppress_debug_info = True
litellm.telemetry = False


def question(model):
    return {"model": model, "messages": [{"role": "user", "content": "hello"}]}


STREAM = {"max_tokens": 5, "stream": True, "stream_options": {"include_usage": True}}

# Each says, as (text, tokens used), what it has got, or raises what the client has raised. each(text) is called with all
# that has come; if it says True, the client leaves.


def collect(chunks, each):
    text, used = "", None
    for chunk in chunks:
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
        usage = getattr(chunk, "usage", None)
        used = usage.total_tokens if usage else used
        if each(text):
            chunks.close()
            break
    return text, used


def total(answer):
    return answer.usage.total_tokens if getattr(answer, "usage", None) else None


class OpenAI:
    def client(self, token, retries=0):
        return openai.OpenAI(base_url=URL, api_key=token, max_retries=retries)

    def unary(self, model, token="web", retries=0, **more):
        answer = self.client(token, retries).chat.completions.create(**question(model), **more)
        return answer.choices[0].message.content, total(answer)

    def stream(self, model, token="web", each=lambda _: False):
        return collect(self.client(token).chat.completions.create(**question(model), **STREAM), each)


class AsyncOpenAI(OpenAI):
    def unary(self, model, token="web", retries=0, **more):
        async def run():
            async with openai.AsyncOpenAI(base_url=URL, api_key=token, max_retries=retries) as client:
                answer = await client.chat.completions.create(**question(model), **more)
                return answer.choices[0].message.content, total(answer)

        return asyncio.run(run())

    def stream(self, model, token="web", each=lambda _: False):
        async def run():
            text, used = "", None
            async with openai.AsyncOpenAI(base_url=URL, api_key=token, max_retries=0) as client:
                async for chunk in await client.chat.completions.create(**question(model), **STREAM):
                    if chunk.choices:
                        text += chunk.choices[0].delta.content or ""
                    used = chunk.usage.total_tokens if chunk.usage else used
                    if each(text):
                        break
            return text, used

        return asyncio.run(run())


class LiteLLM:
    def options(self, model, token, retries=0):
        return question(model) | {"model": "openai/" + model, "api_base": URL, "api_key": token, "max_retries": retries}

    def unary(self, model, token="web", retries=0, **more):
        answer = litellm.completion(**self.options(model, token, retries), **more)
        return answer.choices[0].message.content, total(answer)

    def stream(self, model, token="web", each=lambda _: False):
        answer = litellm.completion(**self.options(model, token), **STREAM)
        text, used = "", None
        for chunk in answer:
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
            used = total(chunk) or used
            if each(text):
                answer.completion_stream.close()
                break
        return text, used


class LangChain:
    def client(self, model, token, retries=0, **more):
        return ChatOpenAI(model=model, api_key=token, base_url=URL, max_retries=retries, **more)

    def unary(self, model, token="web", retries=0, tools=None):
        chat = self.client(model, token, retries)
        answer = (chat.bind_tools(tools) if tools else chat).invoke("hello")
        return answer.content, answer.usage_metadata and answer.usage_metadata["total_tokens"]

    def stream(self, model, token="web", each=lambda _: False):
        text, used = "", None
        parts = self.client(model, token, max_tokens=5, stream_usage=True).stream("hello")
        for part in parts:
            text += part.content
            used = part.usage_metadata["total_tokens"] if part.usage_metadata else used
            if each(text):
                parts.close()
                break
        return text, used


class Llm:
    """The tool `llm`, with a model of an extra-openai-models.yaml."""

    def model(self, model, token):
        made = Chat(model, model_name=model, api_base=URL, supports_tools=True)
        made.key = token
        return made

    def used(self, answer):
        return None if answer.input_tokens is None else answer.input_tokens + (answer.output_tokens or 0)

    def unary(self, model, token="web", retries=0, tools=()):
        tools = [llm.Tool(name="time", description="now", input_schema={}, implementation=lambda: "")] if tools else None
        answer = self.model(model, token).prompt("hello", stream=False, tools=tools)
        return answer.text(), self.used(answer)

    def stream(self, model, token="web", each=lambda _: False):
        answer, text = self.model(model, token).prompt("hello", stream=True, max_tokens=5), ""
        for part in answer:
            text += part
            if each(text):
                return text, None
        return text, self.used(answer)


def causes(error):
    seen = []
    while error and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return seen


def fails(work, status, *words):
    try:
        got = work()
    except Exception as e:  # each client has its own
        said = " ".join(f"{cause} {getattr(cause, 'body', '')}" for cause in causes(e))
        codes = [getattr(cause, "status_code", None) for cause in causes(e)]
        assert status is None or status in codes, f"status {codes}, not {status}: {said}"
        for word in words:
            assert word in said, f"{word!r} is not in {said}"
    else:
        raise AssertionError(f"no error, but {got!r}")


def same(got, expected):
    assert got == expected, f"{got!r} instead of {expected!r}"


def unary(c):
    same(c.unary("chat")[0], "Echo: hello")


def stream(c):
    parts = []
    same(c.stream("chat", each=lambda text: parts.append(text))[0], TOKENS)
    assert len(set(parts)) >= 5, parts


def usage(c):
    same(c.unary("counted"), ("Hello you", 12))
    same(c.stream("counted"), ("Hello you", 12))


def abort(c):
    same(c.stream("slow", each=bool)[0], "tok0 ")


def no_token(c):
    for ask in (c.unary, c.stream):
        fails(lambda ask=ask: ask("chat", token="wrong"), 401, "invalid_api_key")


def no_such_model(c):
    for ask in (c.unary, c.stream):
        fails(lambda ask=ask: ask("none"), 404, "model_not_found")


def tools_are_refused(c):
    fails(lambda: c.unary("chat", tools=[TOOL]), 400, "unsupported_parameter", "tools")


def rate_limit(c):
    fails(lambda: [c.unary("chat", token="slow") for _ in range(20)], 429, "rate_limit_exceeded")


def retries(c):
    """Waits as long as it is told, and then is served."""
    for _ in range(2):
        same(c.unary("chat", token="slow", retries=5)[0], "Echo: hello")


def unavailable(c):
    for ask in (c.unary, c.stream):
        fails(lambda ask=ask: ask("busy"), 503, "overloaded")


def failure_in_mid_stream(c):
    seen = []
    fails(lambda: c.stream("broken", each=lambda text: seen.append(text)), None, "no luck")
    same(seen[-1], "tok0 tok1 tok2 tok3 ")


def models(_):
    client = OpenAI().client("web")
    assert "chat" in [model.id for model in client.models.list()]
    same(client.models.retrieve("chat").id, "chat")
    fails(lambda: client.models.retrieve("none"), 404, "model_not_found")


CASES = (unary, stream, usage, abort, no_token, no_such_model, tools_are_refused, rate_limit, retries, unavailable,
         failure_in_mid_stream)
CLIENTS = {"openai": (OpenAI(), CASES + (models,)), "openai, asynchronous": (AsyncOpenAI(), CASES),
           "litellm": (LiteLLM(), CASES), "langchain-openai": (LangChain(), CASES),
           # The tool always tries again.
           "llm": (Llm(), [case for case in CASES if case is not rate_limit])}

for name, (client, cases) in CLIENTS.items():
    for case in cases:
        failure = None
        try:
            case(client)
        except Exception:
            failure = traceback.format_exc()[-1500:]
        print(json.dumps({"client": name, "name": case.__name__.replace("_", " "), "failure": failure}), flush=True)
