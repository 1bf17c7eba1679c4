/**
 * `npm run synth`: writes what is made from code and stands in the repository. With `--check` it writes nothing, and
 * fails when something there is not as it would be made.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generate } from './generate.ts';

const root = process.cwd();
const isCheck = process.argv.includes('--check');
for (const [path, content] of generate(root)) {
  if (!isCheck) writeFileSync(join(root, path), content);
  else if (readFileSync(join(root, path), 'utf8') !== content) {
    process.stderr.write(`${path} is not as it is made from code now; run \`npm run synth\`\n`);
    process.exitCode = 1;
  }
}
