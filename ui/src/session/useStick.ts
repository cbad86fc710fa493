import { type RefObject, useCallback, useEffect, useRef, useState } from "react";

/** Within this distance of the end the reader follows along. */
const NEAR_PX = 48;

interface Stick {
  scroller: RefObject<HTMLDivElement | null>; content: RefObject<HTMLDivElement | null>; away: boolean;
  jump: () => void;
  /** Stops following the end: the reader looks at something else. */
  stay: () => void;
}

/** Keeps the end in view while the reader is there, and leaves the page alone once they scroll up. */
export function useStick(): Stick {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const [away, setAway] = useState(false);

  const jump = useCallback(() => {
    following.current = true;
    setAway(false);
    const element = scroller.current;
    if (element !== null) element.scrollTop = element.scrollHeight;
  }, []);

  const stay = useCallback(() => {
    following.current = false;
    setAway(true);
  }, []);

  useEffect(() => {
    const [element, inner, end] = [scroller.current, content.current, new AbortController()];
    if (element === null || inner === null) return undefined;
    let lastTop = element.scrollTop;
    const onScroll = (): void => {
      const gap = element.scrollHeight - element.clientHeight - element.scrollTop;
      // Growth moves the end away without moving the page: only a move upwards is the reader's wish.
      if (element.scrollTop < lastTop - 1 && gap > NEAR_PX) following.current = false;
      else if (gap <= NEAR_PX) following.current = true;
      lastTop = element.scrollTop;
      setAway(!following.current);
    };
    const follow = (): void => {
      if (following.current) element.scrollTop = element.scrollHeight;
    };
    const observer = new ResizeObserver(follow);
    observer.observe(inner);
    observer.observe(element);
    element.addEventListener("scroll", onScroll, { passive: true, signal: end.signal });
    follow();
    return () => {
      observer.disconnect();
      end.abort();
    };
  }, []);

  return { scroller, content, away, jump, stay };
}
