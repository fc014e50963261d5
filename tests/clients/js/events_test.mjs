// The types of the events are what the catalog exports:  node events_test.mjs WSCTL
import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';

const exported = execFileSync(process.argv[2], ['catalog', 'export', '--format', 'typescript'],
    {encoding: 'utf8'});
const file = new URL('../../../clients/js/src/events.d.ts', import.meta.url);
if (readFileSync(file, 'utf8') !== exported) {
  console.error('clients/js/src/events.d.ts is not what the catalog exports.  Run\n' +
      '  build/release/bin/wsctl catalog export --format typescript > clients/js/src/events.d.ts');
  process.exit(1);
}
