# SPDX-License-Identifier: MIT
"""A language model of a user's own: it tells of itself and of what happens to it, as the tests want it."""
import asyncio
import logging
import os
import signal

from llmbrick.bricks.llm.base_llm import LLMBrick
from llmbrick.core.brick import output_streaming_handler, unary_handler
from llmbrick.protocols.models.bricks.llm_types import LLMRequest, LLMResponse


class Chat(LLMBrick):
    def __init__(self, style="plain", **kwargs):
        super().__init__(default_prompt="", **kwargs)
        self.style, self.opened, self.sent = style, False, 0

    async def open(self):
        await asyncio.sleep(0)
        self.opened = True
        print("the model is loaded")

    def close(self):
        print(f"the model is freed after {self.sent} tokens")

    @unary_handler
    async def answer(self, request: LLMRequest) -> LLMResponse:
        if request.prompt == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if request.prompt == "raise":
            raise ValueError("no such {prompt}")
        if request.prompt.startswith("sleep "):
            print("asleep")
            await asyncio.sleep(float(request.prompt[6:]))
        text = str(self.sent) if request.prompt == "sent" else f"{self.style} {request.prompt} {self.opened}"
        return LLMResponse(text=text, is_final=True)

    @output_streaming_handler
    async def talk(self, request: LLMRequest):
        try:
            for number in range(request.max_tokens):
                self.sent += 1
                yield LLMResponse(text=f"{number} " + "." * 1000)
        finally:
            logging.warning("the talk of %s tokens has ended", request.prompt)


def make_chat(style):
    return Chat(style=style.upper())


async def make_later(style):
    await asyncio.sleep(0)
    return Chat(style=f"later {style}")


ready = Chat(style="ready")


class NoKey(Chat):
    def __init__(self):
        super().__init__()
        raise PermissionError("the key has expired")
