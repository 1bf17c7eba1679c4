import { VERSION } from '../../functions/core/version.ts';
import { runCli } from './run-cli.ts';

describe('the command line', () => {
  it('explains itself and its exit codes with --help', async () => {
    const { code, stdout } = await runCli(['--help']);
    for (const command of ['plan', 'backup', 'list', 'inspect', 'verify', 'emulator'])
      expect(stdout).toContain(`  ${command} `);
    expect(stdout).toContain('130  interrupted');
    expect(code).toBe(0);
  });

  it.each(['plan', 'backup', 'list', 'inspect', 'verify', 'emulator'])(
    'gives examples and exit codes in the help of %s',
    async (command) => {
      const { code, stdout } = await runCli([command, '--help']);
      expect(stdout).toMatch(/tairlift (plan|backup|list|inspect|verify)/);
      expect(stdout).toContain('Exit codes:');
      expect(code).toBe(0);
    },
  );

  it('prints its version', async () => {
    expect((await runCli(['--version'])).stdout.trim()).toBe(VERSION);
  });

  it.each([
    ['an unknown command', ['bakcup'], 'Did you mean backup?'],
    ['an unknown option', ['list', '--plann', 'x'], 'Did you mean one of --plan, --plans?'],
    ['a missing argument', ['inspect'], "missing required argument 'file'"],
    ['a number that is none', ['list', '--limit', 'many'], '"many" is not a whole number above 0'],
    ['no plan to back up', ['backup'], "required option '--plan <name>' not specified"],
  ])('refuses %s with exit code 2', async (_name, args, expected) => {
    const { code, stderr } = await runCli(args);
    expect(stderr).toContain(expected);
    expect(code).toBe(2);
  });

  it('names a plans file that is not there', async () => {
    const { code, stderr } = await runCli(['backup', '--plan', 'nightly', '--plans', '/no/plans.yaml']);
    expect(stderr).toContain('CONFIG_INVALID: read /no/plans.yaml: no such file');
    expect(code).toBe(1);
  });

  it('reports an error as JSON when asked for JSON', async () => {
    const { code, stdout } = await runCli([
      'backup',
      '--plan',
      'nightly',
      '--plans',
      '/no/plans.yaml',
      '--json',
    ]);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'CONFIG_INVALID', hint: expect.any(String) } });
    expect(code).toBe(1);
  });
});
