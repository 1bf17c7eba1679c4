import { createWorkspace } from '../../functions/core/wasm/workspace.ts';

const MIB = 1024 * 1024;

describe('the workspace', () => {
  it('has slots of the size that was asked for, none of which overlap', () => {
    const { slots } = createWorkspace(3, 10_001);
    expect(slots.map((slot) => slot.length)).toEqual([10_001, 10_001, 10_001]);
    for (const [index, slot] of slots.entries()) slot.fill(index + 1);
    expect(slots.map((slot) => slot.every((byte) => byte === slot[0]))).toEqual([true, true, true]);
    expect(slots.map((slot) => slot[0])).toEqual([1, 2, 3]);
  });

  it('leaves the bytes of its slots alone while the loops run', () => {
    const workspace = createWorkspace(2, MIB);
    const { slots } = workspace;
    for (const slot of slots) slot.fill(7);
    const sums = workspace.checksums();
    sums.update(Buffer.alloc(3 * MIB, 1));
    sums.xz();
    sums.jones();
    expect(slots.every((slot) => slot.every((byte) => byte === 7))).toBe(true);
  });

  it('may be made without slots, for bytes that come from elsewhere', () => {
    const sums = createWorkspace(0, 0).checksums();
    sums.update(Buffer.from('123456789'));
    expect(sums.xz().toString(16)).toBe('995dc9bbdf1939fa');
  });

  it('costs no memory before its slots are used', () => {
    const before = process.memoryUsage().rss;
    const { slots } = createWorkspace(8, 64 * MIB);
    // What earlier tests left behind may be collected as it is made; nothing is while a slot is filled.
    const unused = process.memoryUsage().rss;
    slots[3]?.fill(1);
    const used = process.memoryUsage().rss;
    expect(unused - before).toBeLessThan(16 * MIB);
    expect(used - unused).toBeGreaterThan(48 * MIB);
  });

  it('of more than 4 GiB is refused by name', () => {
    expect(() => createWorkspace(8, 512 * MIB)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', hint: expect.any(String) as string }),
    );
  });
});
