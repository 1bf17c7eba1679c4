import { InvalidArgumentError } from 'commander';

/** Parser of options that are counts. Ends in commander's own usage error. */
export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError(`"${text}" is not a whole number above 0.`);
  return value;
}
