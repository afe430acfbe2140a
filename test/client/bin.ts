/** `bin/longwatch.js`, from the sources: for tests of the command line through its process. */
import { runAndExit } from '../../cli/main';

void runAndExit();
