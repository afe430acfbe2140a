import js from '@eslint/js';
import tseslint from 'typescript-eslint';
import prettier from 'eslint-config-prettier';

/** A rule of our own: whoever switches a rule off says why in the same comment, behind `--`. */
const reasonBeside = {
  create: (context) => ({
    Program() {
      for (const comment of context.sourceCode.getAllComments()) {
        const { 1: reason } = /^\s*eslint-disable[^]*?(?:--\s*([^]*))?$/.exec(comment.value) ?? [, 'not one'];
        if (!reason || /^(as|see) above/.test(reason)) {
          context.report({
            loc: comment.loc,
            message: 'Say in this comment, behind `--`, why the rule does not hold here.',
          });
        }
      }
    },
  }),
};

const longwatch = { rules: { 'reason-beside': reasonBeside } };

export default tseslint.config(
  {
    ignores: [
      'dist/',
      'node_modules/',
      'coverage/',
      '.longwatch/',
      'bin/',
      'scripts/*.js',
      '*.js',
      '*.mjs',
      '*.cjs',
      '.*.cjs',
    ],
  },
  js.configs.recommended,
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    // Deterministic code: itself, Temporal's workflow API, and nothing of Node.
    files: ['workflows/**/*.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^(?!\\.{1,2}/|@temporalio/(workflow|common)$)',
              message: 'Workflow code imports only itself, @temporalio/workflow and @temporalio/common.',
            },
          ],
        },
      ],
      'no-restricted-globals': ['error', 'process', 'Buffer', 'require', 'setImmediate', 'fetch'],
    },
  },
  {
    // The sources: a function that is read without scrolling, a file that is about one thing. The few that are longer say why beside it.
    files: ['{workflows,config,activities,workers,client,http,cli,exports,scripts}/**/*.ts'],
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    plugins: { longwatch },
    rules: {
      'max-lines-per-function': ['error', { max: 60 }],
      'max-lines': ['error', { max: 350 }],
      'longwatch/reason-beside': 'error',
    },
  },
  {
    // What is done for each fetch, turn, batch, page and durable call. V8 keeps an object literal with an accessor by a hidden class of its own,
    // in the old generation, and with it all that the accessor sees, until a full collection: a quarter of what a fetch allocated was moved each time.
    files: ['activities/**/*.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        {
          selector: 'ObjectExpression > Property[kind=/^[gs]et$/]',
          message: 'A class, not an object with accessors: each of those is kept until a full collection.',
        },
      ],
    },
  },
  {
    // The page: the same, where a component is a function that says what is on the screen.
    files: ['http/page/**/*.{ts,tsx}'],
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    plugins: { longwatch },
    rules: {
      'max-lines-per-function': ['error', { max: 60 }],
      'max-lines': ['error', { max: 350 }],
      'longwatch/reason-beside': 'error',
    },
  },
  { files: ['test/**/*.ts'], rules: { '@typescript-eslint/unbound-method': 'off' } },
  {
    // Tests too are about one thing a file; what several share stands in a file of its own.
    files: ['{test,bench,examples}/**/*.ts'],
    plugins: { longwatch },
    rules: { 'max-lines': ['error', { max: 350 }], 'longwatch/reason-beside': 'error' },
  },
  {
    // The simulated nodes and their store: each change works on the same rows, and is held against all promises at once.
    files: ['test/tracker/{world,member}/{world,store}.ts'],
    rules: { 'max-lines': ['error', { max: 400 }] },
  },
  {
    // They have grown with the cluster and the budget, and are to be split by what they decide.
    files: ['test/client/{nodes,audited}.test.ts', 'test/upstream/budget/account.test.ts'],
    rules: { 'max-lines': ['error', { max: 600 }] },
  },
  prettier,
);
