/** Puts the demo's own output into README.md: `npm run demo > demo.txt && node scripts/update-transcript.mjs demo.txt`. */
import { readFile, writeFile } from 'node:fs/promises';

const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('usage: node scripts/update-transcript.mjs FILE');
const output = (await readFile(path, 'utf8'))
  .split('\n')
  .filter((line) => !line.startsWith('> '))
  .join('\n')
  // Where the server was found says nothing about the reader's machine.
  .replace(/^redis-server: .*$/m, 'redis-server: …/redis-server')
  .trim();
const readme = await readFile('README.md', 'utf8');
const start = readme.indexOf('<!-- transcript: npm run demo -->');
const end = readme.indexOf('```\n', readme.indexOf('```\n', start) + 4);
if (start < 0 || end < 0) throw new Error('README.md has no place for the transcript');
await writeFile(
  'README.md',
  `${readme.slice(0, start)}<!-- transcript: npm run demo -->\n\`\`\`\n${output}\n${readme.slice(end)}`,
);
