/** Tests run the TypeScript sources; scenarios run the built bundles, so `npm test` builds first. */
const { availableParallelism } = require('node:os');

module.exports = {
  // Most tests wait for processes, clocks and connections: three at once even where there are two cores.
  maxWorkers: Math.max(3, availableParallelism() - 1),
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  globalSetup: '<rootDir>/scripts/build-wasm.mjs',
  transform: {
    '\\.wasm$': '<rootDir>/scripts/wasm-transform.cjs',
    '\\.(ts|js|mjs)$': [
      '@swc/jest',
      { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } },
    ],
  },
  // Packages that ship only ES modules go through the transform like our own code.
  transformIgnorePatterns: ['/node_modules/(?!(p-limit|yocto-queue)/)', '/dist/'],
  testTimeout: 60_000,
};
