import { type ComponentType, lazy, type ReactNode } from "react";
import type { Me } from "../api/types.ts";
import { t } from "../i18n/index.ts";
import { AttentionList } from "../inbox/List.tsx";
import { NotificationSettings } from "../notifications/NotificationSettings.tsx";
import { SessionPage } from "../session/SessionPage.tsx";
import { Header } from "../shell/Header.tsx";
import { useArrival } from "../state/arrival.ts";
import { pathOf, type Place, type Plain } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { workspace } from "../state/workspace.ts";
import { Home } from "./Home.tsx";
import { Lost } from "./Lost.tsx";
import { ProjectPage } from "./ProjectPage.tsx";

const TerminalsPage = lazy(() => import("./Terminals.tsx"));
const TracePage = lazy(() => import("../traces/TracePage.tsx"));
const SettingsPage = lazy(() => import("./Settings.tsx"));

interface PageProps {
  onMenu: () => void;
}

/** The pages of one word; one that is not here is not found. A line adds one, and a line in `ACTS` its key. */
const PAGES: { readonly [page in Plain]?: ComponentType<PageProps> } = {
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

export function Page({ place, onMenu }: PageProps & { place: Place }): ReactNode {
  useArrival(place);
  switch (place.page) {
    case "home":
      return <Home onMenu={onMenu} />;
    case "project":
      return <ProjectPage key={place.project} place={place} onMenu={onMenu} />;
    case "session":
      return <SessionPage key={place.session} place={place} onMenu={onMenu} />;
    case "terminals":
      return <TerminalsPage terminal={place.terminal} onMenu={onMenu} />;
    case "trace":
      return <TracePage key={place.run} {...place} onMenu={onMenu} />;
    case "settings":
      return <SettingsPage section={place.section} onMenu={onMenu} />;
    case "lost":
      return <Lost path={place.path} onMenu={onMenu} />;
    default: {
      const Plain = PAGES[place.page];
      return Plain === undefined ? <Lost path={pathOf(place)} onMenu={onMenu} /> : <Plain onMenu={onMenu} />;
    }
  }
}

function Approvals({ onMenu }: PageProps): ReactNode {
  return (
    <>
      <Header title={t("places:page.approvals")} onMenu={onMenu} />
      <AttentionList space={useStore(workspace)}>
        <NotificationSettings />
      </AttentionList>
    </>
  );
}
