import { once, EventEmitter } from 'node:events';
import { startHeartbeat } from '../../functions/uploader/heartbeat.ts';

const QUICK = { firstMs: 1, maxMs: 2 };

describe('the heartbeat', () => {
  it('beats at once, and again and again until it is stopped', async () => {
    const heart = new EventEmitter();
    let beats = 0;
    const heartbeat = startHeartbeat(async () => void heart.emit('beat', ++beats), QUICK);
    expect(beats).toBe(1);
    await once(heart, 'beat');
    await once(heart, 'beat');

    await heartbeat.stop();

    const atStop = beats;
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(beats).toBe(atStop);
  });

  it('waits for a slow beat instead of starting another one, and calls it off when it is stopped', async () => {
    let beats = 0;
    let calledOff = false;
    const heartbeat = startHeartbeat(async (stopping) => {
      beats++;
      await once(stopping, 'abort');
      calledOff = true;
    }, QUICK);
    await new Promise((resolve) => setTimeout(resolve, 10));

    await heartbeat.stop();

    expect(beats).toBe(1);
    expect(calledOff).toBe(true);
  });

  it('keeps no process alive', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const heartbeat = startHeartbeat(async () => undefined, { firstMs: 3600_000, maxMs: 3600_000 });
    await new Promise((resolve) => setImmediate(resolve));

    expect(timers()).toBe(before);
    await heartbeat.stop();
  });
});
