/* SPDX-License-Identifier: MIT */

/* LLMService on @grpc/grpc-js, in one process: server.js PORT PROTO_DIR */
'use strict';

const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const OK = 200;

function unary(call, done) {
  done(null, { text: 'Echo: ' + call.request.prompt, is_final: true, error: { code: OK } });
}

function outputStreaming(call) {
  const n = call.request.max_tokens > 0 ? call.request.max_tokens : 10;
  let i = 0;
  let cancelled = false;

  function write() {
    while (i < n && !cancelled) {
      const room = call.write({ text: `tok${i} `, is_final: i === n - 1, error: { code: OK } });
      i++;
      if (!room && i < n) {
        call.once('drain', write);
        return;
      }
    }
    call.end();
  }

  call.on('cancelled', () => { cancelled = true; });
  write();
}

const [port, protoDir] = process.argv.slice(2);
const definition = loader.loadSync('protocols/grpc/llm/llm.proto', {
  includeDirs: [protoDir],
  keepCase: true,
});
const { LLMService } = grpc.loadPackageDefinition(definition).protocols.grpc.llm;
const server = new grpc.Server({
  'grpc.enable_channelz': 0,
  'grpc-node.flow_control_window': 1 << 20, // messages of 64 KiB need no second round
});
server.addService(LLMService.service, { Unary: unary, OutputStreaming: outputStreaming });
server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) {
    console.error(error.message);
    process.exit(1);
  }
});
