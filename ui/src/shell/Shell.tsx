import { type ComponentType, lazy, type ReactNode, Suspense } from "react";
import type { Me } from "../api/types.ts";
import { useKeys } from "../design/hooks.ts";
import { Skeleton } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { Bars } from "../offline/Bars.tsx";
import { Page } from "../pages/Pages.tsx";
import { Everywhere } from "../palette/Everywhere.tsx";
import { useOnLeave, usePlace } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { LoadFolder } from "./LoadFolder.tsx";
import { drawer, overlay } from "./overlay.ts";
import { PhoneBar } from "./PhoneBar.tsx";
import { ProviderDialog } from "./ProviderDialog.tsx";
import { Rail } from "./Rail.tsx";
import { Shortcuts } from "./Shortcuts.tsx";
import { Warnings } from "./Warnings.tsx";

const TrustReview = lazy(() => import("./TrustReview.tsx"));
const DIALOGS: Readonly<Record<string, ComponentType<{ onClose: () => void }>>> = {
  load: LoadFolder, provider: ProviderDialog, shortcuts: Shortcuts,
};

const closeDrawer = (): void => drawer.set(false);
const close = (): void => overlay.set(null);

/** Rail, page, and what lies over them. */
export function Shell({ me }: { me: Me }): ReactNode {
  const place = usePlace();
  const open = useStore(drawer);
  const over = useStore(overlay);
  const Over = DIALOGS[over?.kind ?? ""];
  useOnLeave(closeDrawer);
  // A composer or a terminal needs the lower edge itself.
  const bar = place.page !== "session" && place.page !== "terminals";
  useKeys((event) => {
    const ours = event.key === "Escape" && drawer.get();
    if (ours) closeDrawer();
    return ours;
  });
  return (
    <div className="shell" data-drawer={open} data-bar={bar}>
      <a className="skip" href="#main" onClick={focusMain}>{t("shell:skip")}</a>
      <Warnings warnings={me.warnings} />
      <Rail open={open} />
      {open ? <button type="button" className="drawer-scrim" aria-label={t("shell:menu_close")} onClick={closeDrawer} /> : null}
      <main id="main" className="main" tabIndex={-1}>
        <Bars />
        <Suspense fallback={<Skeleton lines={5} />}><Page place={place} /></Suspense>
      </main>
      {bar ? <PhoneBar page={place.page} /> : null}
      {Over === undefined ? null : <Over onClose={close} />}
      <Suspense>{over?.kind === "trust" ? <TrustReview slug={over.slug} onClose={close} /> : null}</Suspense>
      <Everywhere />
    </div>
  );
}

/** Moves the focus, not the address: the router owns that. */
function focusMain(event: { preventDefault(): void }): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}
