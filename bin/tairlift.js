#!/usr/bin/env node
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const main = join(__dirname, '..', 'dist', 'cli', 'index.js');
if (!existsSync(main)) {
  console.error('tairlift is not built yet: run `npm run build` in its folder first');
  process.exit(1);
}
require(main);
