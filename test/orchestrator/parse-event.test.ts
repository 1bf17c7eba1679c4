import { BackupError } from '../../functions/core/errors.ts';
import { parseEvent } from '../../functions/orchestrator/parse-event.ts';

const NOW = Date.parse('2026-11-20T18:00:07Z');
const parse = (event: unknown) =>
  parseEvent(Buffer.from(typeof event === 'string' ? event : JSON.stringify(event)), NOW);

describe('an event', () => {
  it('from the timer names its run by the time it was triggered for', () => {
    const event = {
      triggerTime: '2026-11-20T18:00:00Z',
      triggerName: 'every-night',
      payload: '{"plan":"nightly"}',
    };

    expect(parse(event)).toEqual({
      plan: 'nightly',
      runId: '20261120T180000Z-nightly',
      isNamed: false,
      dryRun: false,
      retryFailed: false,
    });
    expect(parseEvent(Buffer.from(JSON.stringify(event)), NOW + 3600_000).runId).toBe(
      '20261120T180000Z-nightly',
    );
  });

  it('by hand names its run by now', () => {
    expect(parse({ plan: 'nightly', instances: ['r-a', 'r-a', 'r-b'], dryRun: true })).toEqual({
      plan: 'nightly',
      runId: '20261120T180007Z-nightly',
      isNamed: false,
      instances: ['r-a', 'r-b'],
      dryRun: true,
      retryFailed: false,
    });
  });

  it('with a run id resumes that run, whose plan it need not repeat', () => {
    expect(parse({ runId: '20261101T000000Z-weekly', retryFailed: true })).toMatchObject({
      plan: 'weekly',
      runId: '20261101T000000Z-weekly',
      isNamed: true,
      retryFailed: true,
    });
  });

  it.each([
    ['nothing', '', 'the event is empty'],
    ['garbage', 'hello', 'the event is not JSON'],
    ['a list', [], 'the event is not a JSON object'],
    ['no plan', {}, '"plan" must be the name of a plan'],
    ['a number for a plan', { plan: 7 }, '"plan" must be the name of a plan'],
    ['a misspelt field', { plan: 'nightly', dryrun: true }, 'unknown field "dryrun"; did you mean "dryRun"?'],
    ['a text for a flag', { plan: 'nightly', dryRun: 'yes' }, '"dryRun" must be true or false'],
    ['a text for a list', { plan: 'nightly', instances: 'r-a' }, '"instances" must be a list'],
    ['an empty list', { plan: 'nightly', instances: [] }, '"instances" must be a list'],
    ['a bad run id', { plan: 'nightly', runId: 'today' }, '"runId" must look like'],
    [
      "another plan's run id",
      { plan: 'nightly', runId: '20261101T000000Z-weekly' },
      'belongs to the plan "weekly"',
    ],
    ['a retry of no run', { plan: 'nightly', retryFailed: true }, '"retryFailed" needs the "runId"'],
    [
      'a timer without a payload',
      { triggerTime: '2026-11-20T18:00:00Z', triggerName: 't' },
      'the payload of the timer "t" is missing',
    ],
    [
      'a timer with an empty payload',
      { triggerTime: '2026-11-20T18:00:00Z', triggerName: 't', payload: '' },
      'the payload of the timer "t" is empty',
    ],
    [
      'a timer with garbage',
      { triggerTime: '2026-11-20T18:00:00Z', triggerName: 't', payload: 'nightly' },
      'the payload of the timer "t" is not JSON',
    ],
    ['a timer without a time', { triggerName: 't', payload: '{"plan":"nightly"}' }, 'no usable triggerTime'],
  ])('with %s is refused, saying what is wrong and what is expected', (_what, event, message) => {
    const attempt = (): unknown => parse(event);

    expect(attempt).toThrow(BackupError);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        hint: expect.stringContaining('{"plan":"<name>"}') as string,
      }) as Error,
    );
  });

  it('with several mistakes names them all', () => {
    expect(() => parse({ plan: 7, dryRun: 1, extra: true })).toThrow(/extra.*"plan".*"dryRun"/);
  });
});
