/** Parts of a file that are made, in a file that is written by hand. */

export interface Marks {
  readonly from: string;
  readonly to: string;
}

/** Replaces the lines between those of the two marks. Throws when one of them is missing. */
export function between(text: string, { from, to }: Marks, made: string): string {
  const lines = text.split('\n');
  const first = lines.findIndex((line) => line.trim() === from);
  const last = lines.findIndex((line, index) => index > first && line.trim() === to);
  if (first < 0 || last < 0) throw new Error(`the lines "${from}" and "${to}" are missing`);
  return [...lines.slice(0, first + 1), made, ...lines.slice(last)].join('\n');
}
