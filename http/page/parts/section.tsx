/** A part of a page, under its head; with a number of things and a link to all of them where it has one. */
import type { ComponentChildren } from 'preact';
import { count as counted } from '../lib/format';

interface Props {
  title: string;
  count?: number;
  /** The noun for what is counted, where it is not the title. */
  counted?: string;
  link?: string;
  /** It is the page's own head. */
  main?: boolean;
  /** Stands at the right of the head. */
  beside?: ComponentChildren;
  children: ComponentChildren;
}

export function Section({ title, count, counted: noun, link, main, beside, children }: Props) {
  const id = `section-${title.toLowerCase().replace(/\W+/g, '-')}`;
  return (
    <section class={main ? 'part main' : 'part'} aria-labelledby={id}>
      <header>
        {main ? <h1 id={id}>{title}</h1> : <h2 id={id}>{link ? <a href={link}>{title}</a> : title}</h2>}
        {count !== undefined && (
          <span class="quiet">
            {counted(count)}
            {noun ? ` ${noun}` : ''}
          </span>
        )}
        {beside && <span class="beside">{beside}</span>}
      </header>
      {children}
    </section>
  );
}
