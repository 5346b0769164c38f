# SPDX-License-Identifier: MIT
"""Searches by meaning: vectors of passages and of queries, from a server that works, fails and lies."""
import hashlib
import json
import os
import sqlite3
import subprocess

from embeddings_server import Embeddings
from harness import BUILD, Brickd, call, eq, main, path, temp_dir, test, wait_for

BRICKS = os.path.join(BUILD, "src", "bricks")
SEARCH, INFO = path("Retrieval", "Unary"), path("Retrieval", "GetServiceInfo")
MODEL = ("--model", "concepts")


def request(query):
    text = query.encode()
    return b"\x0a" + bytes([len(text)]) + text


class Library:
    """Documents, their index, and the server that makes the vectors."""

    def __init__(self, **documents):
        self.dir = temp_dir()
        self.index = os.path.join(self.dir, "docs.db")
        self.lines = os.path.join(self.dir, "docs.jsonl")
        self.server = Embeddings()
        self.put(**documents)

    def put(self, **documents):
        """NAME=text, or (text, groups)."""
        with open(self.lines, "w") as f:
            for name, text in documents.items():
                text, groups = text if isinstance(text, tuple) else (text, "*")
                f.write(json.dumps({"id": name, "title": "", "text": text, "groups": groups}) + "\n")

    def run(self, *options, status=0):
        done = subprocess.run([os.path.join(BRICKS, "retrieval-fts", "brickctl-index"), "--db", self.index, self.lines,
                               *options], capture_output=True, text=True, timeout=60)
        eq(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def embed(self, *options, status=0):
        return self.run("--embeddings", self.server.url, *MODEL, *options, status=status)

    def options(self, more=""):
        return f"{{ index: {self.index}, embeddings: {{ base_url: '{self.server.url}', timeout: 1s{more} }} }}"


ANIMALS = {"pet": "The feline sleeps all day.", "road": "An automobile needs fuel.", "floor": "A rug lies there.",
           "cat5": "cat five cable"}


def found(daemon, query, metadata=()):
    """The documents' names, best first, and how they were searched for."""
    reply, status, details, trailers = call(daemon.shared(), SEARCH, request(query), list(metadata))
    eq(status, "OK", details)
    names = sorted((reply.find(b"\x0a" + bytes([len(name)]) + name.encode()), name) for name in daemon.names)
    return [name for at, name in names if at >= 0], trailers.get("x-search")


class Searches(Brickd):
    def __init__(self, library, names, more="", **options):
        super().__init__(f"  - {{ name: docs, module: retrieval-fts, options: {library.options(more)} }}", modules=BRICKS,
                         **options)
        self.names = names
        self.kept = None

    def shared(self):
        self.kept = self.kept or self.channel()
        return self.kept


@test
def vectors_of_passages():
    """Made once for each text; a run that ended early is continued; another model makes them anew."""
    library = Library(**ANIMALS)
    server = library.server
    assert "vectors: 4 made, 0 known, 0 refused" in library.embed("--passage-prefix", "passage: ")
    eq(sorted(server.texts())[:2], ["passage: A rug lies there.", "passage: An automobile needs fuel."])
    eq(server.headers[0][0], "/v1/embeddings")
    prefix = ("--passage-prefix", "passage: ")
    library.embed(*prefix)
    eq(server.texts(), [])
    library.put(**ANIMALS, new="A kitten.", copy=ANIMALS["pet"])
    assert "1 made, 5 known" in library.embed(*prefix)
    eq(server.texts(), ["passage: A kitten."])

    # the old vectors stay until there are new ones
    server.status = 404
    assert "HTTP status 404: no vectors today" in library.embed("--input-type", "passage", status=1)
    eq(sqlite3.connect(library.index).execute("SELECT count(*) FROM passage_vector").fetchone(), (6,))
    server.status = 200
    server.requests.clear()
    library.embed("--input-type", "passage")
    eq([len(body["input"]) for body in server.requests], [1, 6])
    eq({body["input_type"] for body in server.requests}, {"passage"})

    many = {f"n{i}": f"number {i}" for i in range(70)}
    library.put(**many)
    server.requests.clear()
    server.status, server.refused = 200, "number 69"
    assert "69 made, 0 known, 1 refused" in library.embed("--input-type", "passage", status=1)
    server.refused = None
    server.texts()
    library.embed("--input-type", "passage")
    eq(server.texts(), ["number 69"])
    key = os.path.join(library.dir, "key")
    with open(key, "w") as f:
        f.write("secret\n")
    library.put(one="one")
    library.embed("--input-type", "passage", "--api-key-file", key)
    eq(server.headers[-1][1]["Authorization"], "Bearer secret")


@test
def a_run_that_ends_early():
    library = Library(**{f"n{i}": f"number {i}" for i in range(70)})
    library.server.fail_after = 2  # the probe and one batch
    command = [os.path.join(BRICKS, "retrieval-fts", "brickctl-index"), "--db", library.index, library.lines,
               "--embeddings", library.server.url, *MODEL]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for("the second attempt of a batch", lambda: len(library.server.requests) >= 4, 20)
    process.kill()
    process.wait()
    library.server.fail_after = None
    library.server.requests.clear()
    assert "38 made, 0 known" in library.embed()
    eq(len(library.server.texts()), 38)


@test
def what_means_the_same():
    """Without an upstream, while it fails, and when it is back; a change of the index counts at once."""
    library = Library(**ANIMALS, secret=("Your wages are low.", "staff"))
    library.embed()
    server = library.server
    names = [*ANIMALS, "secret", "new"]
    with Searches(library, names, ", query_prefix: 'query: ', input_type: query") as d:
        server.requests.clear()
        eq(found(d, "kitten")[0][0], "pet")
        eq((server.requests[0]["input"], server.requests[0]["input_type"], server.requests[0]["model"]),
           (["query: kitten"], "query", "concepts"))
        eq(found(d, "carpet"), (["floor", "pet", "road", "cat5"], "hybrid"))
        eq(found(d, "cat")[0][0], "cat5")  # the word, and what means the same: the next
        eq(found(d, "cat")[0][1], "pet")
        eq(found(d, "?!")[1], "hybrid")  # no word, but a vector
        assert "secret" not in found(d, "salary")[0]
        assert b"vectors of concepts" in call(d.shared(), INFO)[0]

        library.put(**ANIMALS, new="My vehicle.")
        library.embed()
        assert "new" in found(d, "car")[0][:2]

        server.status = 500
        eq(found(d, "kitten"), ([], "words"))
        eq(found(d, "feline"), (["pet"], "words"))
        d.says("No vectors of queries, so searches are by words alone: http://127.0.0.1:")
        server.status = 200
        wait_for("vectors of queries", lambda: found(d, "kitten")[1] == "hybrid", 20)
        eq(d.says("There are vectors of queries again").count("No vectors of queries"), 1)

        server.dimension = 8
        eq(found(d, "feline"), (["pet"], "words"))
        d.says("a vector has 8 components, others have 16")
        server.dimension = 16
        wait_for("vectors of queries", lambda: found(d, "kitten")[1] == "hybrid", 20)

        server.hang = 3
        eq(found(d, "feline"), (["pet"], "words"))
        d.says("Timeout was reached")
        server.hang = 0
        wait_for("vectors of queries", lambda: found(d, "kitten")[1] == "hybrid", 20)

        database = sqlite3.connect(library.index)
        database.execute("PRAGMA user_version = 1")
        eq(d.ctl("reload").returncode, 0)
        wait_for("the warning", lambda: f"{library.index} has format 1, this brick reads 2; remove it" in d.log(), 20)
        database.execute("PRAGMA user_version = 2")
        wait_for("the index", lambda: call(d.shared(), "/grpc.health.v1.Health/Check", b"\x0a\x04docs")[0] == b"\x08\x01", 20)
        eq(found(d, "feline")[0][0], "pet")

        database.execute("UPDATE vector SET bytes = substr(bytes, 2)")
        database.execute("UPDATE embedding SET generation = generation + 1")
        database.commit()
        reply = call(d.shared(), SEARCH, request("kitten"))[0]
        assert b"is damaged (" in reply and b"remove it and run brickctl index again" in reply, reply


@test
def of_groups():
    library = Library(**ANIMALS, secret=("Your wages are low.", "staff"))
    library.embed()
    d = Searches(library, [*ANIMALS, "secret"], extra="identities: identities.yaml")
    with open(os.path.join(d.dir, "identities.yaml"), "w") as f:
        f.write("identities:\n")
        for name, groups in (("web", "[]"), ("member", "[others, staff]")):
            digest = hashlib.sha256(name.encode()).hexdigest()
            f.write(f"  - {{ name: {name}, token: 'sha256:{digest}', allow: '*', groups: {groups} }}\n")
    with d:
        for name, expected in (("web", False), ("member", True)):
            library.server.texts()
            eq("secret" in found(d, "salary", [("authorization", f"Bearer {name}")])[0], expected)
            eq([(body["input"], body.get("input_type")) for body in library.server.requests], [(["salary"], None)])


@test
def mistakes():
    library = Library(**ANIMALS)
    for url, why in (("ftp://x", "must begin with http:// or https://"),
                     ("http://127.0.0.1/v1/embeddings", "must end before /embeddings, which is added")):
        d = Brickd(f"  - {{ name: docs, module: retrieval-fts, options: {{ index: x, embeddings: {{ base_url: '{url}' }} }} }}",
                   modules=BRICKS)
        check = subprocess.run([os.path.join(BUILD, "src", "brickd"), "--check", d.config], env=d.env,
                               capture_output=True, text=True, timeout=30)
        eq(check.returncode, 78)
        assert f"bricks[0].options.embeddings.base_url: the URL {why}" in check.stderr, check.stderr
        assert why in library.run("--embeddings", url, *MODEL, status=64)
    assert "go together" in library.run("--model", "x", status=64)


main()
