// SPDX-License-Identifier: MIT

// brick.js PROTO: a brick of type LLM on grpc-js: the process of a brick with `module: process`. PROTO is the folder of
// llmbrick's .proto files.
'use strict';

const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const llm = grpc.loadPackageDefinition(loader.loadSync('protocols/grpc/llm/llm.proto', {
  includeDirs: [process.argv[2]],
  keepCase: true,
})).protocols.grpc.llm;
const error = { code: 200 };

function unary(call, callback) {
  if (call.request.prompt === 'fail') {
    callback({ code: grpc.status.FAILED_PRECONDITION, details: 'as told' });
  } else {
    callback(null, { text: `node ${call.request.prompt}`, error });
  }
}

async function stream(call) {
  for (let i = 0; i < 100; i++) {
    if (!call.write({ text: `node ${i}`, error })) {
      await new Promise((resolve) => call.once('drain', resolve));
    }
  }
  call.end();
}

const server = new grpc.Server();
server.addService(llm.LLMService.service, { Unary: unary, OutputStreaming: stream });
server.bindAsync(`unix:${process.env.BRICKD_SOCKET}`, grpc.ServerCredentials.createInsecure(), (failure) => {
  if (failure) {
    throw failure;
  }
  console.log('serving in JavaScript');
});
process.on('SIGTERM', () => server.tryShutdown(() => process.exit(0)));
