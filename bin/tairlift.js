#!/usr/bin/env node
const fs = require('node:fs');
const path = require('node:path');

const main = path.join(__dirname, '..', 'dist', 'cli', 'index.js');
if (!fs.existsSync(main)) {
  console.error('tairlift is not built yet: run `npm run build` in its folder first');
  process.exit(1);
}
require(main);
