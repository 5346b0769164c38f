# SPDX-License-Identifier: MIT
"""A real language model behind the brick openai: gRPC, HTTP, a guard on what it says, and the brick prompt.

What the model says is not judged, only what becomes of it."""
import concurrent.futures
import glob
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))

import llama  # noqa: E402
from door import CHAT, Door, events, question, text_of  # noqa: E402
from harness import BUILD, SOURCE, Brickd, call, eq, generate_stubs, main, path, test, wait_for  # noqa: E402

folder = llama.get()
generate_stubs()
from protocols.grpc.intention import intention_pb2  # noqa: E402
from protocols.grpc.llm import llm_pb2  # noqa: E402

MODULES = os.path.join(BUILD, "src", "bricks")
ENVIRONMENT = {"BRICKD_DATA": MODULES, "BRICKD_LIBEXEC": os.path.join(MODULES, "retrieval-fts")}
SHORT = 16
LONG = 900  # tokens: what is not stopped goes on for 20 seconds or more
LIMIT = 120
SUCCESS = 200
TEXT = "Tell me what a brick is."
SECRET = "AKIA" + "Q3ZT7LMX2VBN5KWD"  # like a key of AWS
WITHHELD = " [The rest is withheld.]"
CATEGORIES = ["greeting", "complaint"]
FORM = {"type": "json_schema", "json_schema": {"name": "intent", "strict": True, "schema": {
    "type": "object", "additionalProperties": False, "required": ["intent_category", "confidence"],
    "properties": {"intent_category": {"enum": CATEGORIES}, "confidence": {"enum": [0, 0.5, 1]}}}}}


def openai(name, url, **body):
    """An answer ends after max_tokens, never before: the model may not end it."""
    return (f"  - {{ name: {name}, module: openai, match: {{ model_id: [{name}] }}, options: {{ base_url: {url}/v1, model: m,"
            f" temperature: 0, body: {json.dumps(body)} }} }}\n")


def guarded(name, brick):
    return (f"  - {{ name: {name}, module: pipeline, match: {{ model_id: [{name}] }}, options: {{ type: LLM, steps: [ {{"
            f" brick: {brick}, guard: {{ brick: shield, message: '{WITHHELD}' }} }} ] }} }}\n")


def bricks(url):
    return (openai("chat", url, ignore_eos=True).replace("name: chat", "name: chat, default: true")
            + openai("letters", url, ignore_eos=True, grammar="root ::= [a-z ]*")
            + openai("leak", url, ignore_eos=True, grammar=f'root ::= "The key is {SECRET}. " [a-z ]*')
            + openai("form", url, response_format=FORM)
            + guarded("safe", "letters")
            + guarded("plugged", "leak")
            + "  - { name: shield, module: guard-rules }\n"
            f"  - {{ name: intent, module: prompt, options: {{ type: Intention, llm: form, max_tokens: 48, categories:"
            f" {json.dumps(CATEGORIES)} }} }}\n")


def start(model):
    return Door(bricks(model.url), modules=MODULES, env=ENVIRONMENT)


class Application(Brickd):
    """conf/examples/rag.yaml as it is, but for the number of documents, over the manuals of the bricks."""

    def write(self, _):
        examples = os.path.join(SOURCE, "conf", "examples")
        shutil.copy(os.path.join(examples, "tidy.py"), self.dir)
        with open(os.path.join(examples, "rag.yaml")) as f:
            text = f.read()
        for theirs, ours in {"127.0.0.1:50051": self.address, "max_results: 5": "max_results: 2",
                             "lame_duck: 5s": "lame_duck: 0s"}.items():
            eq(text.count(theirs), 1, theirs)
            text = text.replace(theirs, ours)
        with open(self.config, "w") as f:
            f.write(f"{text}modules: {self.modules}\ncontrol: {self.dir}/control\n")
        with open(os.path.join(self.dir, "openai"), "w") as f:
            f.write("no-secret")

    def start(self):
        index = os.path.join(self.dir, "docs.db")
        self.env |= {"OPENAI_BASE_URL": model.url + "/v1", "BRICKD_INDEX": index, "CREDENTIALS_DIRECTORY": self.dir}
        self.ctl("index", "--db", index, *glob.glob(os.path.join(SOURCE, "src", "bricks", "*", "README.md")))
        return super().start()


def request(text=TEXT, tokens=SHORT, brick="chat"):
    return llm_pb2.LLMRequest(prompt=text, max_tokens=tokens, model_id=brick).SerializeToString()


def output(**fields):
    """A stream of the answer's parts."""
    rpc = door.grpc().unary_stream(path("LLM", "OutputStreaming"), response_deserializer=llm_pb2.LLMResponse.FromString)
    return rpc(request(**fields), timeout=LIMIT)


def take(rpc, count):
    """Texts of the next parts."""
    return [next(rpc).text for _ in range(count)]


def usage(metadata):
    found = dict(metadata)
    return [int(found[f"x-usage-{kind}-tokens"]) for kind in ("prompt", "completion", "total")]


def counted(text, tokens=SHORT):
    """What usage has to say: the tokens of the prompt are counted by the model's own server."""
    prompt = model.prompt_tokens(text)
    return [prompt, tokens, prompt + tokens]


def idle():
    wait_for("the end of the model's work", lambda: model.running() == 0, LIMIT)


def has_stopped(before):
    """The model has not gone on to the end of a long answer."""
    idle()
    steps = model.steps() - before
    assert steps < LONG, f"{steps} steps"


@test
def unary_and_its_usage():
    data, status, details, trailers = call(door.grpc(), path("LLM", "Unary"), request(), timeout=LIMIT)
    eq((status, details), ("OK", ""))
    reply = llm_pb2.LLMResponse.FromString(data)
    eq((reply.is_final, reply.error.code), (True, SUCCESS))
    assert reply.text
    eq(usage(trailers.items()), counted(TEXT))
    eq(trailers["x-finish-reason"], "length")


@test
def tokens_arrive_one_by_one():
    rpc = output()
    parts = list(rpc)
    eq([part.is_final for part in parts], [False] * (len(parts) - 1) + [True])
    # half a character is no part
    assert SHORT // 2 < len(parts) <= SHORT + 1, parts
    eq(usage(rpc.trailing_metadata()), counted(TEXT))


@test
def cancel_stops_the_model():
    before = model.steps()
    rpc = output(tokens=LONG)
    take(rpc, 4)
    eq(model.running(), 1, "answers that are not complete")
    rpc.cancel()
    has_stopped(before)


@test
def eight_streams_at_once():
    texts = [f"{n} and {n} is" for n in range(llama.SLOTS)]
    rpcs = [output(text=text) for text in texts]
    for text, rpc in zip(texts, rpcs):
        assert "".join(part.text for part in rpc)
        eq(usage(rpc.trailing_metadata()), counted(text))
    idle()
    before = model.steps()
    rpcs = [output(text=text, tokens=LONG) for text in texts]
    with concurrent.futures.ThreadPoolExecutor(llama.SLOTS) as pool:
        list(pool.map(lambda rpc: take(rpc, 4), rpcs))
    eq(model.running(), llama.SLOTS, "answers that are not complete")
    for rpc in rpcs:
        rpc.cancel()
    has_stopped(before)


@test
def a_guard_on_what_it_says():
    # letters alone are no attack, whatever they say
    said = "".join(part.text for part in output(brick="safe"))
    assert said and WITHHELD not in said, said
    before = model.steps()
    said = "".join(part.text for part in output(brick="plugged", tokens=LONG))
    assert said.endswith(WITHHELD) and SECRET not in said, said
    has_stopped(before)


@test
def the_port_for_http():
    expected = dict(zip(("prompt_tokens", "completion_tokens", "total_tokens"), counted(TEXT)))

    def ask(**fields):
        status, _, body = door.ask("POST", CHAT, question(TEXT, max_tokens=SHORT, **fields))
        eq(status, 200, body)
        return body

    def same(usage):
        eq({name: usage[name] for name in expected}, expected)

    whole = json.loads(ask())
    assert whole["choices"][0]["message"]["content"]
    eq(whole["choices"][0]["finish_reason"], "length")
    same(whole["usage"])
    body = ask(stream=True, stream_options={"include_usage": True})
    assert text_of(body)
    *chunks, end = events(body)
    eq(end, "[DONE]")
    assert len(chunks) > SHORT // 2, body
    same(json.loads(chunks[-1])["usage"])
    before = model.steps()
    with door.socket() as s:
        data = question(TEXT, max_tokens=LONG, stream=True)
        s.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n{data}".encode())
        while b"content" not in s.recv(65536):
            pass
        eq(model.running(), 1, "answers that are not complete")
    has_stopped(before)


@test
def the_brick_prompt():
    asked = intention_pb2.IntentionRequest(text="Good morning!").SerializeToString()
    data, status, details, _ = call(door.grpc(), path("Intention", "Unary"), asked, timeout=LIMIT)
    eq((status, details), ("OK", ""))
    reply = intention_pb2.IntentionResponse.FromString(data)
    eq(reply.error.code, SUCCESS, reply.error.message)
    result, = reply.results
    assert result.intent_category in CATEGORIES and 0 <= result.confidence <= 1, result


@test
def an_application_with_documents():
    before = model.metric("prompt_tokens_total")
    with Application("", modules=MODULES, env=ENVIRONMENT) as running:
        asked = json.dumps({"prompt": "Hello! Could you please tell me how to retry a call?", "max_tokens": SHORT})
        answer = running.ctl("call", "--stream", "assistant", asked).stdout
        steps = running.ctl("explain", "assistant", asked).stdout
    assert answer.strip()
    print("# " + (answer + steps).strip().replace("\n", "\n# "))
    for part in ("> how to retry a call?", "> 2 documents", "clean  at", "chat  at"):
        assert part in steps, part
    prompt = model.metric("prompt_tokens_total") - before
    assert prompt > 100, f"a prompt of {prompt} tokens has no documents"


with llama.Llama(folder) as model, start(model) as door:
    main()
