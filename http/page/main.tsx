/** Starts the page: the theme before the first drawing, then the shell. Bundled by `scripts/page.js`. */
import { render } from 'preact';
import { Shell } from './shell';
import { startTheme } from './lib/theme';
import './css/base.css';
import './css/parts.css';
import './css/pages.css';

startTheme();
render(<Shell />, document.getElementById('app')!);
