/** A test keeps it equal to package.json. */
export const VERSION = '0.1.0';

/** What wrote a manifest. */
export const TOOL = { name: 'tairlift', version: VERSION } as const;
