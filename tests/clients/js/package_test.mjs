// The package as npm would ship it: its files, size, metadata and types, and the documents' code.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from
    'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {after, before, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {gzipSync} from 'node:zlib';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, '../../..');
const MODULES = join(ROOT, 'tests/integration/node/node_modules');
const {default: ts} = await import(join(MODULES, 'typescript/lib/typescript.js'));
const {publint} = await import(join(MODULES, 'publint/src/index-node.js'));

let folder;
let shipped;  // the package's folder, within a node_modules

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'fanwire-client-'));
  const out = execFileSync('npm', ['pack', '--json', '--pack-destination', folder, '--cache',
    join(folder, 'cache'), '--offline'], {cwd: join(ROOT, 'clients/js'), encoding: 'utf8'});
  execFileSync('tar', ['-xf', join(folder, JSON.parse(out)[0].filename), '-C', folder]);
  shipped = join(folder, 'node_modules/fanwire-client');
  mkdirSync(join(folder, 'node_modules'));
  cpSync(join(folder, 'package'), shipped, {recursive: true});
  // The types of ws, as far as the documents and the test use them.
  mkdirSync(join(folder, 'node_modules/ws'));
  writeFileSync(join(folder, 'node_modules/ws/package.json'), JSON.stringify(
      {name: 'ws', version: '8.0.0', exports: {types: './index.d.mts', default: './index.mjs'}}));
  writeFileSync(join(folder, 'node_modules/ws/index.d.mts'), `
    export default class WebSocket {
      constructor(address: string, protocols?: string[], options?: {headers?: object});
      readonly readyState: 0 | 1 | 2 | 3;
      onopen: ((event: object) => void) | null;
      onmessage: ((event: {data: string | Uint8Array}) => void) | null;
      onclose: ((event: {code: number; reason: string}) => void) | null;
      onerror: ((event: {message: string}) => void) | null;
      send(data: string | Uint8Array): void;
      close(code?: number, reason?: string): void;
    }`);
});

after(() => rmSync(folder, {recursive: true, force: true}));

test('it ships the sources with their types, and nothing else', () => {
  assert.deepEqual(readdirSync(shipped).sort(), ['README.md', 'package.json', 'src']);
  assert.deepEqual(readdirSync(join(shipped, 'src')).sort(), ['client.js', 'connection.js',
    'emitter.js', 'errors.js', 'events.d.ts', 'feed.js', 'index.d.ts', 'index.js',
    'subscription.js']);
});

// As it reaches a browser at worst: a bundle that nobody has minified, only without the comments.
test('all modules together, without comments, are at most 10 KiB with gzip', () => {
  const compilerOptions = {target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext,
    removeComments: true};
  const modules = readdirSync(join(shipped, 'src')).filter((name) => name.endsWith('.js'));
  const bundle = modules.map((name) => ts.transpileModule(
      readFileSync(join(shipped, 'src', name), 'utf8'), {compilerOptions}).outputText).join('');
  const bytes = gzipSync(bundle, {level: 9}).length;
  console.log(`${bytes} bytes`);
  assert.equal(bytes > 5000 && bytes <= 10 * 1024, true, `${bytes} bytes`);
});

test('publint finds nothing', async () => {
  const {messages} = await publint({pkgDir: shipped, pack: false, strict: true});
  assert.deepEqual(messages, []);
});

test('it needs no package, and has no side effects', () => {
  const about = JSON.parse(readFileSync(join(shipped, 'package.json'), 'utf8'));
  assert.equal(about.dependencies, undefined);
  assert.deepEqual([about.sideEffects, about.type], [false, 'module']);
  assert.deepEqual(about.peerDependenciesMeta, {ws: {optional: true}});
  const project = readFileSync(join(ROOT, 'CMakeLists.txt'), 'utf8');
  assert.equal(about.version, /project\(fanwire VERSION (\S+)/.exec(project)[1]);
  for (const name of readdirSync(join(shipped, 'src')).filter((one) => one.endsWith('.js'))) {
    const text = readFileSync(join(shipped, 'src', name), 'utf8');
    for (const [, from] of text.matchAll(/(?:from|import)\s*\(?'([^']+)'/g)) {
      assert.match(from, /^\.\//, name);
    }
  }
});

test('it is imported by its name, and exports what the types promise', () => {
  writeFileSync(join(folder, 'main.mjs'), `
    import * as all from 'fanwire-client';
    console.log(JSON.stringify(Object.keys(all).sort()));`);
  const exported = JSON.parse(execFileSync('node', ['main.mjs'], {cwd: folder, encoding: 'utf8'}));
  const types = readFileSync(join(shipped, 'src/index.d.ts'), 'utf8');
  const promised = [...types.matchAll(/^export (?:class|function|const) (\w+)/gm)];
  assert.deepEqual(exported, promised.map(([, name]) => name).sort());
  assert.deepEqual(exported, ['Client', 'FanwireError', 'Subscription']);
});

/** What the compiler says of files in the folder. */
function compile(files, options) {
  const program = ts.createProgram(files.map((name) => join(folder, name)), {
    target: ts.ScriptTarget.ES2022, lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'], strict: true,
    noEmit: true, types: [], skipDefaultLibCheck: true, ...options});
  return ts.getPreEmitDiagnostics(program).map(({file, start, messageText}) => {
    const place = file && file.getLineAndCharacterOfPosition(start);
    return (place ? `${file.fileName}:${place.line + 1}: ` : '') +
        ts.flattenDiagnosticMessageText(messageText, '\n');
  });
}

const {ModuleKind, ModuleResolutionKind} = ts;
for (const [name, options] of [
  ['a bundler', {module: ModuleKind.ESNext, moduleResolution: ModuleResolutionKind.Bundler}],
  ['Node', {module: ModuleKind.NodeNext, moduleResolution: ModuleResolutionKind.NodeNext}]]) {
  test(`the types, as ${name} finds them, allow what is right and nothing else`, () => {
    cpSync(join(HERE, 'types_test.ts'), join(folder, 'types_test.mts'));
    assert.deepEqual(compile(['types_test.mts'], options), []);
  });
}

test("the documents' code is right by the types", () => {
  const blocks = [];
  for (const document of ['docs/clients.md', 'clients/js/README.md']) {
    const text = readFileSync(join(ROOT, document), 'utf8');
    for (const [, language, code] of text.matchAll(/^```(js|ts)\n(.*?)^```$/gms)) {
      // A block without a client of its own goes on from another.
      const begin = !code.includes('client.') || code.includes('new Client') ? '' :
          "import {Client} from 'fanwire-client';\nconst client = new Client('ws://x');\n";
      const name = `block${blocks.length}.${language === 'ts' ? 'mts' : 'mjs'}`;
      writeFileSync(join(folder, name), `${begin}${code}\nexport {};\n`);
      blocks.push(name);
    }
  }
  assert.equal(blocks.length >= 4, true);
  assert.deepEqual(compile(blocks, {module: ModuleKind.NodeNext, allowJs: true, checkJs: true,
    noImplicitAny: false, moduleResolution: ModuleResolutionKind.NodeNext}), []);
});
