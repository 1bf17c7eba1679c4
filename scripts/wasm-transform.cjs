/** Gives tests what a bundle gets of an imported file of WebAssembly: its bytes. */
const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');

module.exports = {
  process: (_text, path) => ({
    code: `module.exports = Uint8Array.from(Buffer.from('${readFileSync(path, 'base64')}', 'base64'));`,
  }),
  // The text that comes with the path has lost what is not UTF-8.
  getCacheKey: (_text, path) => createHash('sha256').update(readFileSync(path)).digest('hex'),
};
