import { type MouseEvent, useEffect } from "react";
import { routePath, urlOf } from "../base.ts";
import { Store, useStore } from "./store.ts";

export type View = "transcript" | "terminal";

/** Pages that are one word of the address and nothing more. */
export const PLAIN = ["approvals", "audit", "logs", "usage", "users"] as const;
export const TABS = ["sessions", "tasks", "terminals", "files", "changes", "prompts", "policy", "members"] as const;
export const SECTIONS = ["models", "appearance", "notifications", "browsers", "system", "about"] as const;
export type Plain = (typeof PLAIN)[number];
export type Tab = (typeof TABS)[number];
export type Section = (typeof SECTIONS)[number];

/** A file of a project, and a line in it. */
export interface FileSpot {
  path: string; line?: number;
}

export type Place =
  | { page: "home" }
  | { page: Plain }
  | { page: "project"; project: string; tab?: Tab; file?: FileSpot }
  /** `attention` is a question and `seq` an event to go to. */
  | { page: "session"; project: string; session: string; view: View; terminal: string | null; attention?: string; seq?: number }
  | { page: "trace"; project: string; session: string; run: string }
  | { page: "terminals"; terminal: string | null }
  | { page: "settings"; section?: Section }
  | { page: "lost"; path: string };

/** Addresses of earlier versions, which stay good. */
const MOVED: Readonly<Record<string, string>> = { "/models": "/settings/models", "/system": "/settings/system" };

type Asked = URLSearchParams;
type Reader = (rest: string[], asked: Asked) => Place | null;

/** The places by the first word of their address. */
const READERS: Readonly<Record<string, Reader>> = {
  ...Object.fromEntries(PLAIN.map((page): [string, Reader] => [page, (rest) => (rest.length === 0 ? { page } : null)])),
  terminals: ([terminal = null, ...more]) => (more.length === 0 ? { page: "terminals", terminal } : null),
  settings: ([word, ...more]) => {
    if (word === undefined) return { page: "settings" };
    const section = oneOf(SECTIONS, word);
    return section === undefined || more.length > 0 ? null : { page: "settings", section };
  },
  projects: ([project, word, ...rest], asked) => {
    if (project === undefined) return null;
    if (word === undefined) return { page: "project", project };
    if (word === "sessions" && rest.length > 0) return session(project, rest, asked);
    const tab = oneOf(TABS, word);
    if (tab === undefined || (rest.length > 0 && tab !== "files")) return null;
    if (rest.length === 0) return { page: "project", project, tab };
    return { page: "project", project, tab, file: { path: rest.join("/"), ...number(asked, "line") } };
  },
};

function session(project: string, words: string[], asked: Asked): Place | null {
  const [id = "", view, terminal, ...more] = words;
  if (view === "runs" && terminal !== undefined && more.length === 0) return { page: "trace", project, session: id, run: terminal };
  if ((view !== undefined && view !== "terminal") || more.length > 0) return null;
  const attention = asked.get("attention");
  const where = { ...(attention ? { attention } : {}), ...number(asked, "seq") };
  return { page: "session", project, session: id, view: view ?? "transcript", terminal: terminal ?? null, ...where };
}

function oneOf<T extends string>(known: readonly T[], word: string): T | undefined {
  return known.find((each) => each === word);
}

function number<K extends string>(asked: Asked, name: K): { [key in K]?: number } {
  const text = asked.get(name) ?? "";
  return /^\d{1,15}$/.test(text) ? ({ [name]: Number(text) } as { [key in K]?: number }) : {};
}

/** The place an address names; unknown addresses are a place too, which says so. */
export function parse(address: string): Place {
  const [path = "", query = ""] = address.split(/\?(.*)/s);
  const [first, ...rest] = (MOVED[path] ?? path).split("/").filter(Boolean).map(decode);
  if (first === undefined) return { page: "home" };
  const reader = Object.hasOwn(READERS, first) ? READERS[first] : undefined;
  return reader?.(rest, new URLSearchParams(query)) ?? { page: "lost", path: address };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function pathOf(place: Place): string {
  switch (place.page) {
    case "home":
      return "/";
    case "project": {
      const file = place.tab === "files" ? place.file : undefined;
      const base = join("projects", place.project, place.tab, ...(file?.path.split("/") ?? []));
      return base + query({ line: file?.line });
    }
    case "session": {
      const view = place.view === "transcript" ? [] : ["terminal", place.terminal];
      return (
        join("projects", place.project, "sessions", place.session, ...view) +
        query({ attention: place.attention, seq: place.seq })
      );
    }
    case "terminals":
      return join("terminals", place.terminal);
    case "settings":
      return join("settings", place.section);
    case "trace":
      return join("projects", place.project, "sessions", place.session, "runs", place.run);
    case "lost":
      return place.path;
    default:
      return `/${place.page}`;
  }
}

function join(...parts: (string | null | undefined)[]): string {
  return parts.flatMap((part) => (part ? [`/${encodeURIComponent(part)}`] : [])).join("");
}

function query(asked: Record<string, string | number | undefined>): string {
  const given = Object.entries(asked).flatMap(([key, value]) => (value === undefined ? [] : [[key, String(value)]]));
  return given.length === 0 ? "" : `?${new URLSearchParams(given).toString()}`;
}

/** With a question's id: at the card that it waits in. */
export function sessionPlace(project: string, session: string, attention?: string): Place {
  const place = { page: "session", project, session, view: "transcript", terminal: null } as const;
  return attention === undefined ? place : { ...place, attention };
}

const place = new Store<Place>({ page: "home" });
const leavers = new Set<() => void>();
/** How far the page of each entry of the history was scrolled, by the number that the entry keeps. */
const scrolls = new Map<number, number>();
let entry = 0;
let returned: number | null = null;

/** What scrolls on a page; the transcript keeps its own place. */
export function scroller(): Element | null {
  return document.querySelector("#main .page");
}

/** Where the page was when the reader left it, once, after a step back or forward. */
export function takeScroll(): number | null {
  const found = returned;
  returned = null;
  return found;
}

function leave(): void {
  scrolls.set(entry, scroller()?.scrollTop ?? 0);
  for (const run of leavers) run();
}

function numberOf(state: unknown): number {
  const found = (state as { entry?: unknown } | null)?.entry;
  return typeof found === "number" ? found : 0;
}

export function startRouter(): void {
  const read = (): void => {
    entry = numberOf(history.state);
    const here = parse(routePath(window.location));
    // An address that has moved shows where to.
    const href = urlOf(pathOf(here)).href;
    if (here.page !== "lost" && href !== window.location.href) history.replaceState(history.state, "", href);
    place.set(here);
  };
  window.addEventListener("popstate", (event) => {
    leave();
    returned = scrolls.get(numberOf(event.state)) ?? null;
    read();
  });
  history.scrollRestoration = "manual";
  read();
}

export function usePlace(): Place {
  return useStore(place);
}

/** `replace` is a page's own doing: the reader has not left, and a dialog that they opened meanwhile stays. */
export function go(next: Place, how: "push" | "replace" = "push"): void {
  const href = urlOf(pathOf(next)).href;
  if (href === window.location.href) return;
  if (how === "push") {
    leave();
    entry = Math.max(entry, ...scrolls.keys()) + 1;
    history.pushState({ entry }, "", href);
  } else history.replaceState({ entry }, "", href);
  place.set(next);
}

/** Runs when the reader goes somewhere else, e.g. to close what lies over the page. */
export function useOnLeave(run: () => void): void {
  useEffect(() => {
    leavers.add(run);
    return () => {
      leavers.delete(run);
    };
  }, [run]);
}

/** Attributes of a link that moves within the console but can still be opened in a tab of its own. */
export function linkTo(next: Place): { href: string; onClick: (event: MouseEvent) => void } {
  return {
    href: urlOf(pathOf(next)).href,
    onClick: (event) => {
      if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      go(next);
    },
  };
}
