/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
        module: { type: 'commonjs' },
        sourceMaps: 'inline',
      },
    ],
  },
  moduleNameMapper: {
    '^longwatch$': '<rootDir>/exports/index.ts',
    '^longwatch/worker$': '<rootDir>/exports/worker.ts',
    '^longwatch/workflow$': '<rootDir>/exports/workflow.ts',
    '^longwatch/dashboard$': '<rootDir>/exports/dashboard.ts',
    '^longwatch/upstream$': '<rootDir>/exports/upstream.ts',
  },
  modulePathIgnorePatterns: ['<rootDir>/dist'],
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  maxWorkers: 2,
  // No test waits for its end: a machine that is busy has time for the longest.
  testTimeout: 900_000,
};
