import { lazy, type ReactNode, Suspense, useCallback, useState } from "react";
import type { Me } from "../api/types.ts";
import { isTyping, useKeys } from "../design/hooks.ts";
import { Skeleton } from "../design/parts.tsx";
import { ApprovalsPage } from "../pages/Attention.tsx";
import { Home } from "../pages/Home.tsx";
import { Lost } from "../pages/Lost.tsx";
import { ModelsPage } from "../pages/Models.tsx";
import { ProjectPage } from "../pages/ProjectPage.tsx";
import { SessionPage } from "../session/SessionPage.tsx";
import { t } from "../i18n/index.ts";
import { go, useOnLeave, usePlace } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { overlay, type Overlay } from "./overlay.ts";
import { LoadFolder } from "./LoadFolder.tsx";
import { ProviderDialog } from "./ProviderDialog.tsx";
import { PhoneBar } from "./PhoneBar.tsx";
import { Rail } from "./Rail.tsx";
import { Shortcuts } from "./Shortcuts.tsx";
import { Warnings } from "./Warnings.tsx";

const TrustReview = lazy(() => import("./TrustReview.tsx"));
const AuditPage = lazy(() => import("../pages/Audit.tsx"));
const LogsPage = lazy(() => import("../logs/LogsPage.tsx"));
const TracePage = lazy(() => import("../traces/TracePage.tsx"));
const UsagePage = lazy(() => import("../usage/UsagePage.tsx"));
const SystemPage = lazy(() => import("../pages/System.tsx"));
const UsersPage = lazy(() => import("../pages/Users.tsx"));
const TerminalsPage = lazy(() => import("../pages/Terminals.tsx"));

/** Rail, page, and what lies over them. */
export function Shell({ me }: { me: Me }): ReactNode {
  const [drawer, setDrawer] = useState(false);
  const closeDrawer = useCallback(() => setDrawer(false), []);
  useOnLeave(closeDrawer);
  const { page } = usePlace();
  // A composer or a terminal needs the lower edge itself.
  const bar = page !== "session" && page !== "terminals";
  useKeys((event) => {
    if (event.key === "?" && !isTyping(event)) {
      overlay.set({ kind: "shortcuts" });
      return true;
    }
    if (event.key === "w" && !isTyping(event) && !event.metaKey && !event.ctrlKey && !event.altKey) {
      go({ page: "approvals" });
      return true;
    }
    if (event.key === "Escape" && drawer) {
      setDrawer(false);
      return true;
    }
    return false;
  });
  return (
    <div className="shell" data-drawer={drawer} data-bar={bar}>
      <a className="skip" href="#main" onClick={focusMain}>
        {t("shell:skip")}
      </a>
      <Warnings warnings={me.warnings} />
      <Rail open={drawer} onClose={closeDrawer} />
      {drawer ? (
        <button type="button" className="drawer-scrim" aria-label={t("shell:menu_close")} onClick={closeDrawer} />
      ) : null}
      <main id="main" className="main" tabIndex={-1}>
        <Suspense fallback={<Skeleton lines={5} />}>
          <Page onMenu={() => setDrawer(true)} />
        </Suspense>
      </main>
      {bar ? <PhoneBar page={page} onMenu={() => setDrawer(true)} /> : null}
      <Over />
    </div>
  );
}

/** Moves the focus, not the address: the router owns that. */
function focusMain(event: { preventDefault(): void }): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Page({ onMenu }: { onMenu: () => void }): ReactNode {
  const place = usePlace();
  switch (place.page) {
    case "home":
      return <Home onMenu={onMenu} />;
    case "project":
      return <ProjectPage key={place.project} slug={place.project} onMenu={onMenu} />;
    case "session":
      return <SessionPage key={place.session} place={place} onMenu={onMenu} />;
    case "approvals":
      return <ApprovalsPage onMenu={onMenu} />;
    case "terminals":
      return <TerminalsPage terminal={place.terminal} onMenu={onMenu} />;
    case "models":
      return <ModelsPage onMenu={onMenu} />;
    case "audit":
      return <AuditPage onMenu={onMenu} />;
    case "usage":
      return <UsagePage onMenu={onMenu} />;
    case "logs":
      return <LogsPage onMenu={onMenu} />;
    case "trace":
      return <TracePage key={place.run} {...place} onMenu={onMenu} />;
    case "users":
      return <UsersPage onMenu={onMenu} />;
    case "system":
      return <SystemPage onMenu={onMenu} />;
    default:
      return <Lost path={place.path} onMenu={onMenu} />;
  }
}

function Over(): ReactNode {
  const open: Overlay | null = useStore(overlay);
  const close = useCallback(() => overlay.set(null), []);
  switch (open?.kind) {
    case "load":
      return <LoadFolder onClose={close} />;
    case "provider":
      return <ProviderDialog onClose={close} />;
    case "shortcuts":
      return <Shortcuts onClose={close} />;
    case "trust":
      return (
        <Suspense fallback={null}>
          <TrustReview slug={open.slug} onClose={close} />
        </Suspense>
      );
    default:
      return null;
  }
}
