import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TOOL } from '../../functions/core/version.ts';

describe('the tool that manifests name', () => {
  it('is the package, in its version', () => {
    const { name, version } = JSON.parse(readFileSync(join(__dirname, '../../package.json'), 'utf8')) as {
      name: string;
      version: string;
    };

    expect(TOOL).toEqual({ name, version });
  });
});
