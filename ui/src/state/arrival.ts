import { useEffect, useRef } from "react";
import { t } from "../i18n/index.ts";
import { type Place, scroller, takeScroll } from "./router.ts";
import { nameTab } from "./title.ts";

const PATIENCE_MS = 1500;

/** What the tab is called; a session names it itself, once it knows its title. */
function titleOf(place: Place): string {
  switch (place.page) {
    case "home":
    case "session":
      return "";
    case "project":
      return place.tab === undefined ? place.project : `${t(`places:tab.${place.tab}`)} · ${place.project}`;
    case "trace":
      return t("traces:title");
    case "settings": {
      const settings = t("places:page.settings");
      return place.section === undefined ? settings : `${t(`places:section.${place.section}`)} · ${settings}`;
    }
    default:
      return t(`places:page.${place.page}`);
  }
}

/** Tabs of one thing are one page: the reader stays at what they pressed. */
function pageKey(place: Place): string {
  const of = "project" in place ? place.project : "";
  return [place.page, of, place.page === "session" ? place.session : ""].join(" ");
}

/** After a move: the tab's title, the focus on the page's heading, and the page as far down as it was left. */
export function useArrival(place: Place): void {
  const key = pageKey(place);
  const before = useRef(key);
  useEffect(() => {
    if (place.page !== "session") nameTab(titleOf(place));
  }, [place]);
  useEffect(() => {
    if (before.current === key) return undefined;
    before.current = key;
    return whenThere(focusHeading);
  }, [key]);
  useEffect(() => {
    const top = takeScroll();
    return top === null || top === 0 ? undefined : whenThere(() => scrollTo(top));
  }, [place]);
}

function focusHeading(): boolean {
  const [main, now] = [document.getElementById("main"), document.activeElement];
  // The page has put the focus where one works, or a dialog has it.
  if (now !== null && now !== main && (main?.contains(now) || now.closest("dialog") !== null)) return true;
  const heading = main?.querySelector("h1");
  if (!heading) return false;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  return true;
}

function scrollTo(top: number): boolean {
  const page = scroller();
  if (page === null || page.scrollHeight - page.clientHeight < top) return false;
  page.scrollTop = top;
  return true;
}

/** Tries with each frame, because pages come and fill in pieces; gives up after a while. */
function whenThere(done: () => boolean): () => void {
  const end = performance.now() + PATIENCE_MS;
  let frame = 0;
  const look = (): void => {
    if (!done() && performance.now() < end) frame = requestAnimationFrame(look);
  };
  look();
  return () => cancelAnimationFrame(frame);
}
