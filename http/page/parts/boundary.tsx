/** Keeps what goes wrong in the drawing of one page from taking all others away. */
import { Component, type ComponentChildren } from 'preact';
import { Trouble } from './text';

interface Props {
  /** Another place draws anew. */
  place: string;
  children: ComponentChildren;
}

interface Failed {
  words?: string;
  place?: string;
}

export class Boundary extends Component<Props, Failed> {
  override state: Failed = {};

  override componentDidCatch(error: unknown): void {
    // For who looks into the browser's console: the page itself says it in a sentence.
    console.error(error);
    this.setState({ words: error instanceof Error ? error.message : String(error), place: this.props.place });
  }

  override render({ children, place }: Props, { words, place: failedAt }: Failed): ComponentChildren {
    if (words === undefined || failedAt !== place) return children;
    const again = (): void => this.setState({ words: undefined });
    return <Trouble words={`this page could not be drawn: ${words}`} again={again} />;
  }
}
