/** Scores that stand as text: decimals, as servers write them. */

/** The score that was read last. */
export let score: f64 = 0;

const POINT: u32 = 46;
const MINUS: u32 = 45;
/** Up to so many digits the number before the point is put in, there is no overflow. */
const DIGITS_MAX: u32 = 18;
const EXACT_MAX: u64 = (<u64>1) << 53;
/** Powers of ten that a double holds exactly. */
const POWERS: i32 = 23;
const powers = memory.data(23 * 8, 16);
let hasPowers = false;

/** Reads a score; false for everything that is not a plain decimal, or not certain to be rounded as it must be. */
export function readScore(at: usize, bytes: usize): bool {
  const end = at + bytes;
  const isNegative = bytes > 0 && load<u8>(at) == MINUS;
  let digits: u64 = 0;
  let significant: u32 = 0;
  let decimals: i32 = -1;
  let isEmpty = true;
  for (let next = isNegative ? at + 1 : at; next < end; next++) {
    const byte = <u32>load<u8>(next);
    if (byte == POINT && decimals < 0) {
      decimals = 0;
      continue;
    }
    const digit = byte - 48;
    if (digit > 9) return false;
    digits = digits * 10 + digit;
    if (digits > 0) significant += 1;
    if (significant > DIGITS_MAX) return false;
    if (decimals >= 0) decimals += 1;
    isEmpty = false;
  }
  if (isEmpty || decimals == 0 || decimals >= POWERS) return false;
  const value = decimals < 0 ? <f64>digits : divided(digits, powerOfTen(decimals));
  if (isNaN(value)) return false;
  score = isNegative ? -value : value;
  return true;
}

/** The quotient, rounded once; not a number where that is not certain. */
function divided(digits: u64, power: f64): f64 {
  const high = <f64>digits;
  if (digits <= EXACT_MAX) return high / power;
  const low = <f64>(<i64>(digits - <u64>high));
  const quotient = high / power;
  // What quotient * power is more than its rounded value, exactly: after T. J. Dekker.
  const product = quotient * power;
  const quotientHigh = leadingBits(quotient);
  const quotientLow = quotient - quotientHigh;
  const powerHigh = leadingBits(power);
  const powerLow = power - powerHigh;
  const excess =
    quotientHigh * powerHigh - product + quotientHigh * powerLow + quotientLow * powerHigh + quotientLow * powerLow;
  const correction = (high - product - excess + low) / power;
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

function powerOfTen(exponent: i32): f64 {
  if (!hasPowers) {
    let power = 1.0;
    for (let i = 0; i < POWERS; i++, power *= 10.0) store<f64>(powers + (<usize>i << 3), power);
    hasPowers = true;
  }
  return load<f64>(powers + (<usize>exponent << 3));
}
