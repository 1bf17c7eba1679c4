import { MAX_ASYNC_EVENT_BYTES, encodeEvent, toTaskId } from '../../functions/core/invoker.ts';

describe('a task id', () => {
  it.each(['20261120T180000Z-nightly-r-bp1abc-1', 'plan.with.dots', 'x'.repeat(300), '备份', ''])(
    'made of %j is one that the platform takes',
    (text) => {
      expect(toTaskId(text)).toMatch(/^[A-Za-z_][\w-]{0,127}$/);
      expect(toTaskId(text)).toBe(toTaskId(text));
    },
  );

  it('stays different for different texts', () => {
    const long = 'x'.repeat(200);
    const ids = ['a.b', 'a_b', 'a-b', `${long}1`, `${long}2`].map(toTaskId);

    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('an event', () => {
  it('that is larger than the platform takes is refused before it is sent', () => {
    expect(() => encodeEvent({ text: 'x'.repeat(MAX_ASYNC_EVENT_BYTES) })).toThrow(
      expect.objectContaining({ code: 'INVOKE_FAILED' }) as Error,
    );
  });
});
