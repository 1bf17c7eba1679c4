import { BackupError } from '../../functions/core/errors.ts';
import { createLog } from '../../functions/core/log.ts';

function logged(write: (log: ReturnType<typeof createLog>) => void): Record<string, unknown> {
  const lines: string[] = [];
  write(createLog((line) => lines.push(line)));
  expect(lines).toHaveLength(1);
  return JSON.parse(lines[0] ?? '') as Record<string, unknown>;
}

describe('the log', () => {
  it('writes one JSON line with time, severity, text and fields', () => {
    const line = logged((log) => log.with({ runId: 'r' }).info('the file is stored', { bytes: 5 }));
    expect(line).toEqual({
      at: expect.stringMatching(/^\d{4}-.*Z$/),
      level: 'info',
      message: 'the file is stored',
      runId: 'r',
      bytes: 5,
    });
  });

  it('lets no field stand in for its severity or text', () => {
    expect(logged((log) => log.warn('text', { level: 'parsed', message: 'other' }))).toMatchObject({
      level: 'warn',
      message: 'text',
    });
  });

  it.each([
    ['an address in quotes', 'got "https://h/a?Signature=s3cr3t" back', 'got "https://h/a?<redacted>" back'],
    ['a header in quotes', 'sent Signature="s3cr3t", twice', 'sent Signature="<redacted>", twice'],
    ['JSON', '{"SecurityToken":"s3cr3t","a":1}', '{"SecurityToken":"<redacted>","a":1}'],
  ])('stays one line of JSON when a text has a secret in %s', (_what, text, shown) => {
    expect(logged((log) => log.info('text', { reason: text, more: [{ text }] }))).toMatchObject({
      reason: shown,
      more: [{ text: shown }],
    });
    expect(logged((log) => log.error('failed', { error: new Error(text) }))).toMatchObject({
      error: { message: shown },
    });
  });

  it('shows no field that is a secret by its name', () => {
    expect(
      logged((log) => log.info('text', { securityToken: 's3cr3t', deep: { password: 'x' } })),
    ).toMatchObject({
      securityToken: '<redacted>',
      deep: { password: '<redacted>' },
    });
  });

  it('writes errors as records, and no secret of theirs', () => {
    const line = logged((log) =>
      log.error('failed', { error: new BackupError('URL_EXPIRED', 'get https://h/a?Signature=s') }),
    );
    expect(line['error']).toEqual({
      code: 'URL_EXPIRED',
      message: 'get https://h/a?<redacted>',
      retryable: false,
    });
  });
});
