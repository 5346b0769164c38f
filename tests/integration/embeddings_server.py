# SPDX-License-Identifier: MIT
"""A stand-in for a server of embeddings, which knows a few words that mean the same."""
import http.server
import json
import threading
import time

CONCEPTS = [{"cat", "feline", "kitten"}, {"car", "automobile", "vehicle"}, {"rug", "carpet"}, {"salary", "pay", "wages"},
            {"貓", "猫"}]
DIMENSION = 16


def vector_of(text):
    """A direction for each concept, and a little of the other directions for all else."""
    vector = [0.0] * DIMENSION
    for word in text.lower().replace(".", " ").split():
        for i, concept in enumerate(CONCEPTS):
            if word in concept:
                vector[i] += 1
    vector[len(CONCEPTS) + len(text) % (DIMENSION - len(CONCEPTS))] += 0.1
    return vector


class Embeddings:
    """status: of every answer; fail_after: so many requests are answered, then 503; hang: seconds before an answer."""

    def __init__(self):
        self.requests, self.headers = [], []
        self.status, self.fail_after, self.hang, self.dimension = 200, None, 0, DIMENSION
        self.refused = None  # a text with this word is refused with 400
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer leaves in one piece

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.requests.append(body)
                server.headers.append((self.path, dict(self.headers)))
                time.sleep(server.hang)
                status, answer = server.answer(body)
                answer = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                try:
                    self.wfile.write(answer)
                except OSError:
                    pass

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, body):
        status = 503 if self.fail_after is not None and len(self.requests) > self.fail_after else self.status
        if status == 200 and self.refused and any(self.refused in text for text in body["input"]):
            return 400, {"error": {"message": "the input is too long"}}
        if status != 200:
            return status, {"error": {"message": "no vectors today"}}
        return 200, {"object": "list", "model": body["model"], "data": [
            {"object": "embedding", "index": i, "embedding": vector_of(text)[:self.dimension]}
            for i, text in reversed(list(enumerate(body["input"])))]}

    def texts(self):
        """What was asked for since the last time."""
        texts = [text for body in self.requests for text in body["input"]]
        self.requests.clear()
        return texts
