import { inspect } from 'node:util';
import {
  asBackupError,
  BackupError,
  describe as describeError,
  redact,
  toErrorRecord,
  toFunctionError,
} from '../../functions/core/errors.ts';

describe('redact', () => {
  it.each([
    [
      'a signed URL',
      'GET https://b.oss.aliyuncs.com/a.rdb?Expires=1&Signature=abc failed',
      'GET https://b.oss.aliyuncs.com/a.rdb?<redacted> failed',
    ],
    ['a session key id', 'key STS.NTabcdefghijklmnop', 'key STS<redacted>'],
    ['an access key id', 'LTAI5tAbcdefghijklmnop', 'LTAI<redacted>'],
    ['a token in JSON', '{"SecurityToken":"CAIS+x/y=="}', '{"SecurityToken":"<redacted>"}'],
    [
      'a token in the text that a service has signed',
      'is:POST&%2F&AccessKeyId%3DNTabc%26SecurityToken%3DCAIS%252Bx end',
      'is:POST&%2F&AccessKeyId%3D<redacted> end',
    ],
    [
      'a token behind another encoded parameter',
      'Format%3DJSON%26SecurityToken%253DCAIS%252Bx',
      'Format%3DJSON%26SecurityToken%253D<redacted>',
    ],
    ['an authorization header', 'Authorization: OSS4-HMAC-SHA256', 'Authorization: <redacted>'],
    [
      'an older one',
      'Authorization: OSS LTAI5tAbcdefghijklmnop:c2lnbmVk, ok',
      'Authorization: <redacted>, ok',
    ],
  ])('takes out %s', (_name, text, expected) => {
    expect(redact(text)).toBe(expected);
  });

  it('leaves links into the OSS console alone', () => {
    const link = 'https://oss.console.aliyun.com/bucket/oss-cn-hangzhou/my-backups/object?path=Backup_r-1%2F';
    expect(redact(link)).toBe(link);
  });

  it('changes nothing when it is applied again', () => {
    const once = redact('https://h/a?b=c LTAI5tAbcdefghijklmnop signature=xyz');
    expect(redact(once)).toBe(once);
  });

  it('leaves instance ids, keys and paths alone', () => {
    const text =
      'Backup_r-bp1abc/2026-11-20/20261120T180000Z-nightly/hins1_data_20261121020000.rdb at byte 10485760';
    expect(redact(text)).toBe(text);
  });
});

describe('error records', () => {
  it('tell the chain of causes once, without secrets', () => {
    const cause = new Error('connect https://h/a?Signature=s');
    const error = new BackupError('UPLOAD_FAILED', 'upload part 3', {
      cause,
      retryable: true,
      hint: 'try again',
      details: { part: 3 },
    });
    expect(toErrorRecord(error)).toEqual({
      code: 'UPLOAD_FAILED',
      message: 'upload part 3: connect https://h/a?<redacted>',
      retryable: true,
      details: { part: 3 },
      hint: 'try again',
    });
  });

  it('call anything unknown a defect, and keep it as the cause', () => {
    const thrown = new TypeError('x is not a function');
    expect(asBackupError(thrown)).toMatchObject({ code: 'INTERNAL', cause: thrown });
    expect(describeError({ odd: 1 })).toBe('{"odd":1}');
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    for (const odd of [undefined, Symbol('odd'), circular, 1n])
      expect(asBackupError(odd)).toMatchObject({ code: 'INTERNAL' });
  });
});

describe('what a function throws at its platform', () => {
  const secret = 'https://h/a?Signature=abc';

  it('has the causes in its words, and no cause that could be printed as it is', () => {
    const cause = new Error(`connect ${secret}`);
    const thrown = toFunctionError(
      new BackupError('UPLOAD_FAILED', 'upload part 3', { cause, hint: 'wait' }),
    );

    expect(thrown.message).toBe('UPLOAD_FAILED: upload part 3: connect https://h/a?<redacted> (wait)');
    expect(inspect(thrown)).not.toContain('Signature');
  });

  it('says where something happened that nobody has foreseen', () => {
    const unforeseen = (): Error => new Error(`no such thing at ${secret}`);

    const thrown = toFunctionError(asBackupError(unforeseen()));

    expect(thrown.stack).toMatch(
      /^Error: INTERNAL: no such thing at https:\/\/h\/a\?<redacted>\n\s+at unforeseen/,
    );
    expect(inspect(thrown)).not.toContain('Signature');
  });
});
