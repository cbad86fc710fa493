import { type MouseEvent, useEffect } from "react";
import { routePath, urlOf } from "../base.ts";
import { Store, useStore } from "./store.ts";

export type View = "transcript" | "terminal";

export type Place =
  | { page: "home" }
  | { page: "project"; project: string }
  | { page: "session"; project: string; session: string; view: View; terminal: string | null }
  | { page: "approvals" }
  | { page: "terminals"; terminal: string | null }
  | { page: "models" }
  | { page: "audit" }
  | { page: "usage" }
  | { page: "logs" }
  | { page: "trace"; project: string; session: string; run: string }
  | { page: "users" }
  | { page: "system" }
  | { page: "lost"; path: string };

/** The place an address names; unknown addresses are a place too, which says so. */
export function parse(path: string): Place {
  const parts = path.split("/").filter(Boolean).map(decode);
  const [first, second, third, fourth, fifth, sixth] = parts;
  if (first === undefined) return { page: "home" };
  if (first === "terminals" && parts.length <= 2) return { page: "terminals", terminal: second ?? null };
  if (parts.length === 1 && (first === "approvals" || first === "models" || first === "audit" || first === "usage" || first === "logs" || first === "users" || first === "system"))
    return { page: first };
  if (first === "projects" && second !== undefined) {
    if (parts.length === 2) return { page: "project", project: second };
    if (third === "sessions" && fourth !== undefined && fifth === "runs" && sixth !== undefined)
      return { page: "trace", project: second, session: fourth, run: sixth };
    if (third === "sessions" && fourth !== undefined && (fifth === undefined || fifth === "terminal")) {
      const view: View = fifth === undefined ? "transcript" : "terminal";
      return { page: "session", project: second, session: fourth, view, terminal: sixth ?? null };
    }
  }
  return { page: "lost", path };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function pathOf(place: Place): string {
  const seg = encodeURIComponent;
  switch (place.page) {
    case "home":
      return "/";
    case "project":
      return `/projects/${seg(place.project)}`;
    case "session": {
      const base = `/projects/${seg(place.project)}/sessions/${seg(place.session)}`;
      if (place.view === "transcript") return base;
      return place.terminal === null ? `${base}/terminal` : `${base}/terminal/${seg(place.terminal)}`;
    }
    case "terminals":
      return place.terminal === null ? "/terminals" : `/terminals/${seg(place.terminal)}`;
    case "trace":
      return `/projects/${seg(place.project)}/sessions/${seg(place.session)}/runs/${seg(place.run)}`;
    case "lost":
      return place.path;
    default:
      return `/${place.page}`;
  }
}

export function sessionPlace(project: string, session: string): Place {
  return { page: "session", project, session, view: "transcript", terminal: null };
}

const place = new Store<Place>({ page: "home" });
const leavers = new Set<() => void>();

export function startRouter(): void {
  const read = (): void => place.set(parse(routePath(window.location)));
  window.addEventListener("popstate", () => {
    for (const run of leavers) run();
    read();
  });
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
    history.pushState(null, "", href);
    for (const run of leavers) run();
  } else history.replaceState(null, "", href);
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
