import { type ReactNode, useEffect, useRef } from "react";
import { linkTo, type Place } from "../state/router.ts";

interface StripProps<T extends string> {
  label: string;
  items: readonly T[];
  current: T;
  words: (item: T) => string;
  placeOf: (item: T) => Place;
}

/** The parts of a page that have addresses of their own: links, of which one is the page. */
export function Strip<T extends string>({ label, items, current, words, placeOf }: StripProps<T>): ReactNode {
  const list = useRef<HTMLElement>(null);
  useEffect(() => {
    list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [current]);
  return (
    <nav className="strip" aria-label={label} ref={list} data-testid="strip">
      {items.map((item) => (
        <a key={item} className="strip-link" aria-current={item === current ? "page" : undefined} {...linkTo(placeOf(item))}>
          {words(item)}
        </a>
      ))}
    </nav>
  );
}
