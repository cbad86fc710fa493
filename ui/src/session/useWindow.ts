import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";

/** Rows drawn at first, and added each time the reader comes near the beginning of what is drawn. */
const FIRST = 60;
const MORE = 100;
/** More than this above a reader who follows the end is taken away again. */
const MOST = 300;

interface Window {
  /** Index of the first row that is drawn. */
  start: number;
  /** Marks the beginning of what is drawn. */
  top: RefObject<HTMLDivElement | null>;
  /** Draws the row with this index and those after it. */
  reveal: (index: number) => void;
}

/**
 * Long transcripts open at their end: earlier rows are drawn when the reader scrolls up to them, and taken away again
 * while they follow the end, so that a page that stays open for days stays small. Rows only ever join or go at the
 * ends, so what is on the screen stays where it is.
 */
export function useWindow(count: number, ready: boolean, away: boolean, scroller: RefObject<HTMLDivElement | null>): Window {
  const top = useRef<HTMLDivElement>(null);
  const [start, setStart] = useState<number | null>(null);
  const height = useRef(0);
  const shown = start ?? Math.max(0, count - FIRST);

  useEffect(() => {
    if (!ready) return;
    setStart((held) => (held === null || (!away && count - held > MOST) ? Math.max(0, count - FIRST) : held));
  }, [ready, count, away]);

  useEffect(() => {
    const mark = top.current;
    if (mark === null || start === null || start === 0) return undefined;
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (entry?.isIntersecting !== true) return;
        height.current = scroller.current?.scrollHeight ?? 0;
        setStart(Math.max(0, start - MORE));
      },
      { root: scroller.current, rootMargin: "1200px 0px 0px 0px" },
    );
    observer.observe(mark);
    return () => observer.disconnect();
  }, [start, scroller]);

  useLayoutEffect(() => {
    const element = scroller.current;
    // Browsers that anchor scrolling themselves have kept the place already.
    if (element === null || height.current === 0 || CSS.supports("overflow-anchor", "auto")) return;
    element.scrollTop += element.scrollHeight - height.current;
    height.current = 0;
  }, [start, scroller]);

  const reveal = useCallback((index: number) => setStart((held) => Math.min(held ?? index, Math.max(0, index - 5))), []);
  return { start: shown, top, reveal };
}
