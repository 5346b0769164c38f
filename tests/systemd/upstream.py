# SPDX-License-Identifier: MIT
"""upstream.py PORT KEY: an API like OpenAI's that knows one answer, and gives it to those who have the key."""
import http.server
import json
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        known = self.headers["Authorization"] == f"Bearer {sys.argv[2]}"
        message = {"role": "assistant", "content": "the upstream's answer"}
        answer = {"object": "chat.completion", "model": "m",
                  "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        body = json.dumps(answer if known else {"error": {"message": "wrong key"}}).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
