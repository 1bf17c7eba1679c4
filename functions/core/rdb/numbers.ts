/** Integers and scores as the servers write them into text, and back. */

import { bytesOf } from './input.ts';

/** Longest text of a 64-bit integer, its sign included. */
export const INTEGER_TEXT_BYTES_MAX = 20;

const DIVISOR = 1_000_000;
const TWO_32 = 2 ** 32;

/**
 * Writes a signed 64-bit integer, given as halves, as decimal text so that it ends at the end of `scratch`;
 * returns where it starts. Only for this it is a function of its own: half of all small values are integers.
 */
export function writeInteger(high: number, low: number, scratch: Uint8Array): number {
  const isNegative = high < 0;
  let top = high >>> 0;
  let bottom = low >>> 0;
  if (isNegative) {
    bottom = (~low + 1) >>> 0;
    top = (~high + (bottom === 0 ? 1 : 0)) >>> 0;
  }
  let at = scratch.length;
  // Above 2^32, six digits at a time, so that every step stays an exact double.
  while (top > 0) {
    const rest = (top % DIVISOR) * TWO_32 + bottom;
    const quotient = Math.floor(rest / DIVISOR);
    let digits = rest - quotient * DIVISOR;
    top = Math.floor(top / DIVISOR) + Math.floor(quotient / TWO_32);
    bottom = quotient % TWO_32;
    for (let i = 0; i < 6; i++) {
      const tenth = (digits / 10) | 0;
      scratch[--at] = 48 + digits - tenth * 10;
      digits = tenth;
    }
  }
  if (bottom > 0 || at === scratch.length) {
    at = writeUnsigned(bottom, scratch, at);
  } else {
    while (scratch[at] === 48) at++;
  }
  if (isNegative) scratch[--at] = 45;
  return at;
}

/** Up to 2^32 - 1, so that it ends at `end`; the shifts keep the division one of integers. Returns where it starts. */
function writeUnsigned(value: number, scratch: Uint8Array, end: number): number {
  let at = end;
  let rest = value >>> 0;
  while (rest > 9) {
    const tenth = (rest / 10) >>> 0;
    scratch[--at] = 48 + rest - tenth * 10;
    rest = tenth;
  }
  scratch[--at] = 48 + rest;
  return at;
}

/** Powers of ten that a double holds exactly. */
const EXACT_POWERS = Array.from({ length: 23 }, (_, exponent) => 10 ** exponent);
/** So many digits may still be a number that a double holds exactly: geographical scores have 16. */
const EXACT_DIGITS_MAX = 16;
/** Longer texts are no scores: servers write at most 17 digits, a sign, a point and an exponent. */
const SCORE_TEXT_BYTES_MAX = 128;

const scoreText = Buffer.alloc(SCORE_TEXT_BYTES_MAX);

/**
 * The score that a text stands for, or undefined if it stands for none. Decimals of up to
 * 16 digits, which most scores are, are one exact division; everything else goes through `parseScore`.
 */
export function readScore(bytes: DataView, start: number, end: number): number | undefined {
  const size = end - start;
  if (size > SCORE_TEXT_BYTES_MAX) return undefined;
  const isNegative = size > 0 && bytes.getUint8(start) === 45;
  let digits = 0;
  let decimals = -1;
  let at = isNegative ? start + 1 : start;
  if (end - at > EXACT_DIGITS_MAX + 1) at = end + 1;
  for (; at < end; at++) {
    const byte = bytes.getUint8(at);
    if (byte >= 48 && byte <= 57) {
      digits = digits * 10 + byte - 48;
      if (decimals >= 0) decimals++;
    } else if (byte === 46 && decimals < 0) {
      decimals = 0;
    } else {
      break;
    }
  }
  if (at !== end || decimals === 0 || digits > Number.MAX_SAFE_INTEGER || size === (isNegative ? 1 : 0)) {
    let isDecimal = size > 0;
    for (let i = 0; i < size; i++) {
      const byte = bytes.getUint8(start + i);
      scoreText[i] = byte;
      if (!isDecimalCharacter(byte)) isDecimal = false;
    }
    const text = scoreText.toString('latin1', 0, size);
    return isDecimal ? unlessNaN(Number(text)) : parseScore(text);
  }
  const value = decimals > 0 ? digits / (EXACT_POWERS[decimals] as number) : digits;
  return isNegative ? -value : value;
}

/** Digits, signs, point and exponent: of these alone nothing is made but decimal numbers. */
function isDecimalCharacter(byte: number): boolean {
  return byte <= 57 ? byte >= 43 && byte !== 44 && byte !== 47 : byte === 101 || byte === 69;
}

function unlessNaN(value: number): number | undefined {
  return Number.isNaN(value) ? undefined : value;
}

const DECIMAL_CHARACTERS = /^[\d.e+-]+$/i;
const INFINITE = /^([+-]?)inf(?:inity)?$/i;

/** The score that a text stands for, or undefined if it stands for none; not-a-number is none. */
export function parseScore(text: string): number | undefined {
  if (DECIMAL_CHARACTERS.test(text)) return unlessNaN(Number(text));
  const infinite = INFINITE.exec(text);
  if (infinite === null) return undefined;
  return infinite[1] === '-' ? -Infinity : Infinity;
}

/** The integer that a canonical decimal text stands for, within what a double holds exactly. */
export function parseInteger(bytes: DataView, start: number, end: number): number | undefined {
  const text = String.fromCharCode(
    ...bytesOf(bytes, start, Math.min(end, start + INTEGER_TEXT_BYTES_MAX + 1)),
  );
  if (!/^(?:0|-?[1-9]\d*)$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}
