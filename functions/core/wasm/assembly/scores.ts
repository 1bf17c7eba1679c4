/** Scores that stand as text: decimals, as servers write them. */

/** The score that was read last. */
export let score: f64 = 0;

const POINT: u32 = 46;
const MINUS: u32 = 45;
/** Below these, one or eight more digits give a number below 10^18, which is exact as an integer of 64 bits. */
const ONE_MORE_MAX: u64 = 100000000000000000;
const EIGHT_MORE_MAX: u64 = 10000000000;
const EXACT_MAX: u64 = (<u64>1) << 53;
/** Powers of ten that a double holds exactly. */
const POWERS: usize = 23;
const powers = memory.data(23 * 8, 16);
const inverses = memory.data(23 * 8, 16);
let hasPowers = false;

/** Reads a score; false for everything that is not a plain decimal, or not certain to be rounded as it must be. */
export function readScore(at: usize, bytes: usize): bool {
  const end = at + bytes;
  const isNegative = bytes > 0 && load<u8>(at) == MINUS;
  const first = isNegative ? at + 1 : at;
  digits = 0;
  let next = readDigits(first, end);
  let decimals: usize = 0;
  if (next < end) {
    if (load<u8>(next) != POINT) return false;
    const point = next;
    next = readDigits(point + 1, end);
    decimals = next - point - 1;
    if (decimals == 0) return false;
  }
  if (next != end || first == end || decimals >= POWERS) return false;
  const value = decimals == 0 ? <f64>digits : divided(digits, decimals);
  if (isNaN(value)) return false;
  score = isNegative ? -value : value;
  return true;
}

let digits: u64 = 0;

/** Adds decimal digits to `digits`, up to the first byte that is none, or the one that would be too many. */
function readDigits(from: usize, end: usize): usize {
  let value = digits;
  let at = from;
  while (at + 8 <= end && value < EIGHT_MORE_MAX) {
    const eight = load<u64>(at);
    if (!areDigits(eight)) break;
    value = value * 100000000 + eightDigits(eight);
    at += 8;
  }
  for (; at < end && value < ONE_MORE_MAX; at++) {
    const digit = <u32>load<u8>(at) - 48;
    if (digit > 9) break;
    value = value * 10 + digit;
  }
  digits = value;
  return at;
}

function areDigits(eight: u64): bool {
  const high: u64 = 0xf0f0f0f0f0f0f0f0;
  return (eight & high) == 0x3030303030303030 && ((eight + 0x0606060606060606) & high) == 0x3030303030303030;
}

/** The number of eight digits, first digit in the lowest byte: pairs, then fours, then all are put together. */
function eightDigits(eight: u64): u64 {
  const ones = eight - 0x3030303030303030;
  const pairs = (ones * 10 + (ones >> 8)) & 0x00ff00ff00ff00ff;
  const fours = (pairs * 100 + (pairs >> 16)) & 0x0000ffff0000ffff;
  return (fours * 10000 + (fours >> 32)) & 0xffffffff;
}

/** The digits with so many decimals, rounded once; not a number where that is not certain. */
function divided(digits: u64, decimals: usize): f64 {
  const power = powerOfTen(decimals);
  const inverse = load<f64>(inverses + (decimals << 3));
  const high = <f64>digits;
  if (digits <= EXACT_MAX) return high / power;
  const low = <f64>(<i64>(digits - <u64>high));
  // Not quite the quotient; the correction takes care of that as well.
  const quotient = high * inverse;
  // What quotient * power is more than its rounded value, exactly: after T. J. Dekker.
  const product = quotient * power;
  const quotientHigh = leadingBits(quotient);
  const quotientLow = quotient - quotientHigh;
  const powerHigh = leadingBits(power);
  const powerLow = power - powerHigh;
  const excess =
    quotientHigh * powerHigh - product + quotientHigh * powerLow + quotientLow * powerHigh + quotientLow * powerLow;
  const correction = (high - product - excess + low) * inverse;
  // The correction itself is right to some fifty bits.
  const doubt = abs(correction) * (1.0 / 70368744177664.0);
  const least = quotient + (correction - doubt);
  return least == quotient + (correction + doubt) ? least : NaN;
}

// @ts-ignore: decorator
@inline
function leadingBits(value: f64): f64 {
  const shifted = value * 134217729.0;
  return shifted - (shifted - value);
}

function powerOfTen(exponent: usize): f64 {
  if (!hasPowers) {
    let power = 1.0;
    for (let i: usize = 0; i < POWERS; i++, power *= 10.0) {
      store<f64>(powers + (i << 3), power);
      store<f64>(inverses + (i << 3), 1.0 / power);
    }
    hasPowers = true;
  }
  return load<f64>(powers + (exponent << 3));
}
