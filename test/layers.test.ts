/** The linter refuses imports that the layers forbid: each rule is broken once, in a copy of the tree's shape. */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const ROOT = join(__dirname, '..');

describe('the layers', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tairlift-layers-'));
  beforeAll(() => copyFileSync(join(ROOT, '.oxlintrc.json'), join(folder, '.oxlintrc.json')));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const lint = async (file: string, imported: string): Promise<string> => {
    const path = join(folder, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `import { thing } from '${imported}';\nexport const other = thing;\n`);
    const binary = join(ROOT, 'node_modules', '.bin', 'oxlint');
    // Exit code 1 is what is looked for: the output counts, not the code.
    return promisify(execFile)(binary, [file], { cwd: folder }).then(
      ({ stdout }) => stdout,
      (error: { stdout: string }) => error.stdout,
    );
  };

  it.each([
    ['functions/core/source/a.ts', '../aliyun/oss.ts', 'the vendor stays behind their interfaces'],
    ['functions/core/repository/a.ts', 'ali-oss', 'the vendor stays behind their interfaces'],
    ['functions/core/rdb/a.ts', '../log.ts', 'know bytes only'],
    ['functions/core/transfer/a.ts', '../repository/keys.ts', 'know bytes only'],
    ['functions/core/redis/a.ts', 'ioredis', 'over plain sockets'],
    ['functions/core/compose2.ts', '../../emulator/world.ts', 'never imports its tests, its tools'],
    ['functions/orchestrator/a.ts', '../core/aliyun/tair.ts', 'through compose.ts only'],
    ['functions/orchestrator/b.ts', '../uploader/run-upload.ts', 'Entry points never import each other'],
    ['functions/uploader/a.ts', '../orchestrator/summary.ts', 'Entry points never import each other'],
    ['emulator/a.ts', '../functions/core/crc64.ts', 'must not share code with what it checks'],
    ['cli/a.ts', '../functions/core/aliyun/oss.ts', 'through compose.ts only'],
    ['cli/b.ts', '../test/doubles/memory-store.ts', 'Nothing imports the tests'],
    ['infra/a.ts', '../functions/core/compose.ts', 'nothing of how they work'],
    ['infra/b.ts', '../functions/orchestrator/handler.ts', 'nothing of how they work'],
    ['infra/c.ts', '../emulator/world.ts', 'depends on no tool and no test'],
  ])('%s must not import %s', async (file, imported, because) => {
    expect(await lint(file, imported)).toContain(because);
  });

  it.each([
    ['functions/core/compose.ts', './aliyun/oss.ts'],
    ['functions/core/aliyun/a.ts', 'ali-oss'],
    ['functions/core/repository/b.ts', '../rdb/scanner.ts'],
    ['functions/core/transfer/b.ts', '../errors.ts'],
    ['cli/c.ts', '../functions/orchestrator/orchestrate.ts'],
    ['infra/d.ts', '../functions/core/permissions.ts'],
    ['infra/e.ts', '../functions/core/config.ts'],
  ])('%s may import %s', async (file, imported) => {
    expect(await lint(file, imported)).not.toContain('no-restricted-imports');
  });
});
