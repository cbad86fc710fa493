import { lazy, type ReactNode, Suspense, useCallback, useState } from "react";
import type { Me } from "../api/types.ts";
import { useKeys } from "../design/hooks.ts";
import { Skeleton } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { Bars } from "../offline/Bars.tsx";
import { Page } from "../pages/Pages.tsx";
import { Everywhere } from "../palette/Everywhere.tsx";
import { useOnLeave, usePlace } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { overlay, type Overlay } from "./overlay.ts";
import { LoadFolder } from "./LoadFolder.tsx";
import { ProviderDialog } from "./ProviderDialog.tsx";
import { PhoneBar } from "./PhoneBar.tsx";
import { Rail } from "./Rail.tsx";
import { Shortcuts } from "./Shortcuts.tsx";
import { Warnings } from "./Warnings.tsx";

const TrustReview = lazy(() => import("./TrustReview.tsx"));

/** Rail, page, and what lies over them. */
export function Shell({ me }: { me: Me }): ReactNode {
  const place = usePlace();
  const [drawer, setDrawer] = useState(false);
  const closeDrawer = useCallback(() => setDrawer(false), []);
  useOnLeave(closeDrawer);
  const { page } = place;
  // A composer or a terminal needs the lower edge itself.
  const bar = page !== "session" && page !== "terminals";
  useKeys((event) => {
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
        <Bars />
        <Suspense fallback={<Skeleton lines={5} />}>
          <Page place={place} onMenu={() => setDrawer(true)} />
        </Suspense>
      </main>
      {bar ? <PhoneBar page={page} onMenu={() => setDrawer(true)} /> : null}
      <Over />
      <Everywhere />
    </div>
  );
}

/** Moves the focus, not the address: the router owns that. */
function focusMain(event: { preventDefault(): void }): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
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
