/** Places for instances at work. Who waits for something else than work gives his place up meanwhile. */
export interface Slots {
  /** Resolves when there is a place, in the order in which they were asked for. Each one taken has to be left. */
  take(): Promise<void>;
  leave(): void;
}

export function createSlots(count: number): Slots {
  let free = count;
  const waiting: (() => void)[] = [];
  return {
    take: async () => {
      if (free > 0) free--;
      else await new Promise<void>((resolve) => waiting.push(resolve));
    },
    leave: () => {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    },
  };
}
