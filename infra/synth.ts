/** `npm run synth`: writes what is made from code and stands in the repository. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generate } from './generate.ts';

const root = process.cwd();
for (const [path, content] of generate(root)) writeFileSync(join(root, path), content);
