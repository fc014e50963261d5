// A publisher that knows nothing of Fanwire but its address: it asks control for its services by
// server reflection and publishes through what it learnt.
//
//   node publisher.js ADDRESS COUNT
//
// Publishes {n: 1} … {n: COUNT} to mahavishnu's node:unary and, through PublishStream, to
// node:stream, and prints one JSON object: the services, the receipts' offsets and a refusal.
'use strict';
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, count] = [process.argv[2], Number(process.argv[3])];
const credentials = grpc.credentials.createInsecure();
const options = {keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true};

// One request of the reflection stream.
function reflect(client, request) {
  return new Promise((resolve, reject) => {
    const stream = client.ServerReflectionInfo();
    stream.on('error', reject);
    stream.on('data', (response) => {
      stream.end();
      if (response.error_response) reject(new Error(response.error_response.error_message));
      else resolve(response);
    });
    stream.write(request);
  });
}

// A serialized FileDescriptorSet: each file is field 1, with its length before it.
function descriptorSet(files) {
  const parts = [];
  for (const file of files) {
    const head = [0x0a];
    let length = file.length;
    for (; length > 127; length >>>= 7) head.push((length & 127) | 128);
    head.push(length);
    parts.push(Buffer.from(head), file);
  }
  return Buffer.concat(parts);
}

// All files that the symbol's file needs, by asking for each import that is missing.
async function load(client, symbol) {
  const protobuf = require('protobufjs/ext/descriptor');
  const files = new Map();
  const ask = async (request) => {
    const answer = await reflect(client, request);
    for (const bytes of answer.file_descriptor_response.file_descriptor_proto) {
      files.set(protobuf.FileDescriptorProto.decode(bytes).name, bytes);
    }
  };
  await ask({file_containing_symbol: symbol});
  for (;;) {
    const missing = [...files.values()].flatMap((b) => protobuf.FileDescriptorProto.decode(b).dependency)
        .find((name) => !files.has(name));
    if (!missing) break;
    await ask({file_by_filename: missing});
  }
  return grpc.loadPackageDefinition(
      loader.loadFileDescriptorSetFromBuffer(descriptorSet(files.values()), options));
}

const event = (channel, n) => ({
  service: 'mahavishnu', channel, event: 'node.event', json: Buffer.from(JSON.stringify({n})),
});

async function main() {
  const {grpc: {reflection}} = grpc.loadPackageDefinition(
      loader.loadSync(path.join(__dirname, 'reflection.proto'), options));
  const reflector = new reflection.v1alpha.ServerReflection(address, credentials);
  const listed = await reflect(reflector, {list_services: '*'});
  const services = listed.list_services_response.service.map((service) => service.name);

  const {fanwire} = await load(reflector, 'fanwire.v1.Publisher');
  reflector.close();
  const publisher = new fanwire.v1.Publisher(address, credentials);
  const publish = (request) => new Promise((resolve, reject) => publisher.Publish(
      request, (error, response) => error ? reject(error) : resolve(response.receipt)));

  const unary = [];
  for (let n = 1; n <= count; n++) {
    unary.push((await publish({event: event('node:unary', n)})).position.offset);
  }
  const refusal = await publish({event: event('node:*', 0)}).catch((error) => error.code);

  const streamed = await new Promise((resolve, reject) => {
    const offsets = [];
    const stream = publisher.PublishStream();
    stream.on('error', reject);
    stream.on('end', () => resolve(offsets));
    stream.on('data', (response) => {
      if (response.receipts) {
        offsets.push(...response.receipts.receipts.map((item) => item.receipt.position.offset));
      }
    });
    stream.write({hello: {receipt_level: 'RECEIPT_LEVEL_ACCEPTED'}});
    for (let first = 1; first <= count; first += 50) {
      const items = [];
      for (let n = first; n < first + 50 && n <= count; n++) {
        items.push({seq: n, event: event('node:stream', n)});
      }
      stream.write({items: {items}});
    }
    stream.end();
  });
  publisher.close();
  console.log(JSON.stringify({services, unary, streamed, refusal}));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
