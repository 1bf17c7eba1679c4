/**
 * For the bench alone: the uploader as it is, but for a scanner that reads nothing and checksums that are never computed,
 * so that what verification costs can be measured. No bundle that is deployed is built with it.
 */
import { join, resolve } from 'node:path';

const REPLACED = { 'scanner.ts': 'functions/core/rdb', 'crc64.ts': 'functions/core' };
const REPLACEMENTS = resolve('test/bench/unverified');

export function withoutVerification() {
  return {
    name: 'without-verification',
    setup({ onResolve, onEnd }) {
      const replaced = new Set();
      onResolve({ filter: /\/(scanner|crc64)\.ts$/ }, ({ path, resolveDir }) => {
        if (resolveDir === REPLACEMENTS) return undefined;
        const target = resolve(resolveDir, path);
        const name = Object.keys(REPLACED).find((file) => target === resolve(REPLACED[file], file));
        if (name === undefined) return undefined;
        replaced.add(name);
        return { path: join(REPLACEMENTS, name) };
      });
      onEnd(() => {
        const missed = Object.keys(REPLACED).filter((file) => !replaced.has(file));
        if (missed.length > 0) throw new Error(`without verification: nothing imports ${missed.join(', ')}`);
      });
    },
  };
}
