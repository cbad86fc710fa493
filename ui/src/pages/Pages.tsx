import { type ComponentType, lazy, type ReactNode } from "react";
import type { Me } from "../api/types.ts";
import { Approvals } from "../inbox/List.tsx";
import { SessionPage } from "../session/SessionPage.tsx";
import { useArrival } from "../state/arrival.ts";
import { pathOf, type Place, type Plain } from "../state/router.ts";
import { Home } from "./Home.tsx";
import { Lost } from "./Lost.tsx";
import { ProjectPage } from "./ProjectPage.tsx";

const TerminalsPage = lazy(() => import("./Terminals.tsx"));
const TracePage = lazy(() => import("../traces/TracePage.tsx"));
const SettingsPage = lazy(() => import("./Settings.tsx"));

/** The pages of one word; one that is not here is not found. A line adds one, and a line in `ACTS` its key. */
const PAGES: { readonly [page in Plain]?: ComponentType } = {
  approvals: Approvals,
  audit: lazy(() => import("./Audit.tsx")),
  logs: lazy(() => import("../logs/LogsPage.tsx")),
  usage: lazy(() => import("../usage/UsagePage.tsx")),
  users: lazy(() => import("./Users.tsx")),
};

/** Whether there is such a page for this reader. */
export function reachable(page: Plain, self: Me | null): boolean {
  if (PAGES[page] === undefined) return false;
  if (page === "users") return self?.role === "admin" && self.mode === "system";
  return page === "approvals" || page === "usage" || self?.role === "admin";
}

export function Page({ place }: { place: Place }): ReactNode {
  useArrival(place);
  if (place.page === "home") return <Home />;
  if (place.page === "project") return <ProjectPage key={place.project} place={place} />;
  if (place.page === "session") return <SessionPage key={place.session} place={place} />;
  if (place.page === "terminals") return <TerminalsPage terminal={place.terminal} />;
  if (place.page === "trace") return <TracePage key={place.run} {...place} />;
  if (place.page === "settings") return <SettingsPage section={place.section} />;
  if (place.page === "lost") return <Lost path={place.path} />;
  const Plain = PAGES[place.page];
  return Plain === undefined ? <Lost path={pathOf(place)} /> : <Plain />;
}
