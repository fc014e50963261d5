// Checks the documents that `wsctl catalog export` writes:
//   node catalog.mjs asyncapi FILE      with AsyncAPI's own parser
//   node catalog.mjs jsonschema FILE    compiles the schema; then checks each line of standard
//                                       input, a JSON envelope, and prints "true" or "false"
//   node catalog.mjs typescript FILE    compiles the file
// Exits with 1, and says why, if the document is wrong.
import {readFileSync} from 'node:fs';
import {createInterface} from 'node:readline';
import {createRequire} from 'node:module';

const require = createRequire(import.meta.url);
const [format, file] = process.argv.slice(2);
const text = readFileSync(file, 'utf8');

function fail(lines) {
  console.error(lines.join('\n'));
  process.exit(1);
}

async function asyncapi() {
  const {Parser} = require('@asyncapi/parser');
  const {document, diagnostics} = await new Parser().parse(text);
  // 0: an error.
  const errors = diagnostics.filter((one) => one.severity === 0)
      .map((one) => `${one.path.join('.')}: ${one.message}`);
  if (errors.length > 0 || document === undefined) fail(errors);
  console.log(JSON.stringify({
    version: document.version(),
    channels: document.channels().all().length,
    messages: document.components().messages().all().length,
  }));
}

async function jsonschema() {
  const Ajv = require('ajv/dist/2020').default;
  const validate = new Ajv({strict: true, strictTypes: false, strictRequired: false})
                       .compile(JSON.parse(text));
  for await (const line of createInterface({input: process.stdin})) {
    console.log(validate(JSON.parse(line)));
  }
}

function typescript() {
  const ts = require('typescript');
  const program = ts.createProgram([file], {noEmit: true, strict: true, types: []});
  const errors = ts.getPreEmitDiagnostics(program)
      .map((one) => ts.flattenDiagnosticMessageText(one.messageText, '\n'));
  if (errors.length > 0) fail(errors);
}

await {asyncapi, jsonschema, typescript}[format]();
