import { lazy, type ReactNode, Suspense, useEffect } from "react";
import { copyText } from "../design/CopyButton.tsx";
import { t } from "../i18n/index.ts";
import { reachable } from "../pages/Pages.tsx";
import { tabsOf } from "../pages/ProjectPage.tsx";
import { overlay } from "../shell/overlay.ts";
import { useStart } from "../shell/RailProject.tsx";
import { lacks } from "../state/rights.ts";
import { go, pathOf, type Place, type Section, usePlace } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { toggleTheme } from "../state/theme.ts";
import { toast } from "../state/toasts.ts";
import { findProject, me, workspace } from "../state/workspace.ts";
import { urlOf } from "../base.ts";
import { useActs } from "./acts.ts";
import { useActKeys } from "./keys.ts";
import { SessionActs } from "./SessionActs.tsx";

const load = (): Promise<typeof import("./Palette.tsx")> => import("./Palette.tsx");
const Palette = lazy(load);

const PRELOAD_MS = 2000;

/** What can be done on every page, the keys for it, and the palette that lists it. */
export function Everywhere(): ReactNode {
  const place = usePlace();
  const open = useStore(overlay);
  const self = useStore(me);
  const admin = self?.role === "admin";
  const to = (next: Place) => (): void => go(next);
  const section = (name: Section) => admin && to({ page: "settings", section: name });
  // There when it is asked for, and never in the way of the first page.
  useEffect(() => {
    const timer = setTimeout(() => void load().catch(() => {}), PRELOAD_MS);
    return () => clearTimeout(timer);
  }, []);
  useActKeys();
  useActs({
    palette: () => overlay.set({ kind: "palette" }),
    shortcuts: () => overlay.set({ kind: "shortcuts" }),
    home: to({ page: "home" }),
    approvals: to({ page: "approvals" }),
    terminals: to({ page: "terminals", terminal: null }),
    users: reachable("users", self) && to({ page: "users" }),
    audit: reachable("audit", self) && to({ page: "audit" }),
    models: section("models"),
    browsers: section("browsers"),
    system: section("system"),
    appearance: to({ page: "settings", section: "appearance" }),
    about: to({ page: "settings", section: "about" }),
    loadFolder: admin && (() => overlay.set({ kind: "load" })),
    connectModel: admin && (() => overlay.set({ kind: "provider" })),
    theme: toggleTheme,
    copyLink: () => {
      void copyText(urlOf(pathOf(place)).href).then((done) => done && toast(t("palette:copied")));
    },
    signOut: (self?.logout_url ?? "") !== "" && (() => window.location.assign(self?.logout_url ?? "")),
  });
  return (
    <>
      {"project" in place ? <ProjectActs key={place.project} slug={place.project} /> : null}
      {place.page === "session" ? <SessionActs key={place.session} place={place} /> : null}
      <Suspense>{open?.kind === "palette" ? <Palette onClose={() => overlay.set(null)} /> : null}</Suspense>
    </>
  );
}

function ProjectActs({ slug }: { slug: string }): ReactNode {
  const project = findProject(useStore(workspace), slug);
  const self = useStore(me);
  const { start, busy } = useStart();
  const may = project !== null && lacks(project, "editor") === null && !busy;
  const shown = project === null ? [] : tabsOf(project, self);
  const tabs = shown.map((tab) => [tab === "terminals" ? "projectTerminals" : tab, () => go({ page: "project", project: slug, tab })]);
  useActs({
    newSession: may && (() => start(slug)),
    newApart: may && (() => start(slug, "worktree")),
    reviewTrust: project !== null && (() => overlay.set({ kind: "trust", slug })),
    ...Object.fromEntries(tabs),
  });
  return null;
}
