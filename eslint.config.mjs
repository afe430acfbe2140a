import js from '@eslint/js';
import tseslint from 'typescript-eslint';
import importX from 'eslint-plugin-import-x';
import prettier from 'eslint-config-prettier';

/** Imports go client, workers, activities → workflows; workers → activities; never back. */
const zones = [
  { target: './workflows', from: ['./activities', './workers', './client', './examples', './bench', './test'] },
  { target: './activities', from: ['./client', './examples', './bench', './test'] },
  // Activities know the shape of the definitions, and nothing else of the workers.
  {
    target: './activities',
    from: './workers',
    except: ['./config/definition.ts', './config/activity.ts', './config/buffer.ts', './config/population.ts'],
  },
  { target: './workers', from: ['./client', './examples', './bench', './test'] },
  { target: './client', from: ['./examples', './bench', './test'] },
];

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/', '.longwatch/', 'bin/', 'scripts/*.js', '*.js', '*.mjs'] },
  js.configs.recommended,
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { 'import-x': importX },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/require-await': 'off',
      'import-x/no-restricted-paths': ['error', { zones }],
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
  { files: ['test/**/*.ts'], rules: { '@typescript-eslint/unbound-method': 'off' } },
  prettier,
);
