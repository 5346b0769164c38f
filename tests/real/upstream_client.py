# SPDX-License-Identifier: MIT
"""upstream_client.py ADDRESS TYPE EXAMPLE: what a client of upstream's, toGrpcClient(), gets: one JSON list."""
import asyncio
import dataclasses
import importlib
import inspect
import json
import sys

address, kind, example = sys.argv[1:]
sys.path.insert(0, example)
base = importlib.import_module(f"llmbrick.bricks.{kind.lower()}").__dict__[f"{kind}Brick"]
brick = next(value for value in vars(importlib.import_module("my_brick")).values()
             if inspect.isclass(value) and issubclass(value, base) and value is not base)
request_type = importlib.import_module(
    f"llmbrick.protocols.models.bricks.{kind.lower()}_types").__dict__[f"{kind}Request"]
TEXT = {"LLM": "prompt", "Retrieval": "query"}


def request(text):
    if kind == "Common":
        return request_type(data={"text": text})
    if kind == "Compose":
        return request_type(target_format=text)
    return request_type(**{TEXT.get(kind, "text"): text, "session_id": "s"})


def plain(reply):
    return dataclasses.asdict(reply, dict_factory=lambda items: {k: list(v) if hasattr(v, "append") else v for k, v in items})


async def requests(*texts):
    for text in texts:
        yield request(text)


async def main():
    client, replies = brick.toGrpcClient(address), []
    replies.append(plain(await client.run_get_service_info()))
    for text in ("", "hello attack 攻擊"):
        replies.append(plain(await client.run_unary(request(text))))
    if client.allowed_handler_types is None or "output_streaming" in client.allowed_handler_types:
        replies.append([plain(reply) async for reply in client.run_output_streaming(request("one two three"))])
    if kind == "Common":
        replies.append(plain(await client.run_input_streaming(requests("a", "b"))))
        replies.append([plain(reply) async for reply in client.run_bidi_streaming(requests("a", "b", "c"))])
    print(json.dumps(replies))


asyncio.run(main())
