/** Built as the functions are (scripts/build.mjs), for left-out.test.ts: the way to the vendor, and its errors. */
export { composeCloud, composeFunctions } from '../../functions/core/compose.ts';
export * as errors from '../../functions/core/errors.ts';
