import fuzzysort from "fuzzysort";
import { Fragment, type ReactNode } from "react";

export const SECTIONS = ["recent", "acts", "places", "projects", "sessions", "terminals"] as const;
export type SectionName = (typeof SECTIONS)[number];

/** One line of the palette. */
export interface Item {
  id: string;
  section: SectionName;
  words: string;
  about: string;
  key?: string;
  run: () => void;
}

export interface Hit {
  item: Item;
  /** The words, the matched letters marked. */
  shown: ReactNode;
}

const RECENT = 5;
const MOST = 40;
/** Of each kind while nothing is asked for: the rest is a letter away. */
const FIRST = 8;

/** What fits the query, best first in its section; without one, first what was used last. */
export function found(items: readonly Item[], query: string, recent: readonly string[]): Hit[] {
  if (query.trim() === "") {
    const last = recent.flatMap((id) => items.filter((item) => item.id === id)).slice(0, RECENT);
    const rest = SECTIONS.flatMap((section) => {
      const own = items.filter((item) => item.section === section && !last.some(({ id }) => id === item.id));
      return section === "sessions" || section === "terminals" ? own.slice(0, FIRST) : own;
    });
    const first: Item[] = last.map((item) => ({ ...item, section: "recent" }));
    return [...first, ...rest].map((item) => ({ item, shown: item.words }));
  }
  const scored = fuzzysort.go(query, items, {
    keys: ["words", "about"],
    limit: MOST,
    threshold: 0.2,
    // What one is called weighs more than what is said about it; what was used last, a little more.
    scoreFn: (result) => {
      const own = Math.max(result[0]?.score ?? 0, (result[1]?.score ?? 0) * 0.6);
      return own === 0 ? 0 : own + (recent.includes(result.obj.id) ? 0.05 : 0);
    },
  });
  const hits = scored.map(({ obj, 0: words }): Hit => {
    const marked = words && words.score > 0 ? words.highlight((letters) => <mark>{letters}</mark>) : [obj.words];
    return { item: obj, shown: marked.map((part, index) => <Fragment key={index}>{part}</Fragment>) };
  });
  // The list is drawn by section, and the keys go through it as it is drawn.
  return SECTIONS.flatMap((section) => hits.filter(({ item }) => item.section === section));
}
