// SPDX-License-Identifier: MIT
// A brick in JavaScript: an LLM that repeats the prompt, in bytes as they travel.
const grpc = require("@grpc/grpc-js");

const bytes = (b) => b;
const method = (path, responseStream) => ({
  path, requestStream: false, responseStream,
  requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes,
});
const success = Buffer.from([0x22, 3, 8, 0xc8, 1]); // error { code: 200 }
const reply = (request) => Buffer.concat([Buffer.from([0x0a]), request.subarray(1), success]);
const service = "/protocols.grpc.llm.LLMService/";

const server = new grpc.Server();
server.addService(
  { Unary: method(service + "Unary", false), OutputStreaming: method(service + "OutputStreaming", true) },
  {
    Unary: (call, done) => done(null, reply(call.request)),
    OutputStreaming: (call) => { for (let i = 0; i < 3; i++) call.write(reply(call.request)); call.end(); },
  });
server.bindAsync("unix:" + process.env.BRICKD_SOCKET, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
  console.log("node serves");
});
process.on("SIGTERM", () => server.tryShutdown(() => { console.log("node stops"); process.exit(0); }));
