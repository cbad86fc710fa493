import type { ReactNode } from "react";
import { ApprovalIcon, HomeIcon, MenuIcon, TerminalIcon } from "../design/icons.tsx";
import { t } from "../i18n/index.ts";
import { linkTo, type Place } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { workspace } from "../state/workspace.ts";
import { drawer } from "./overlay.ts";

const PLACES: readonly { to: Place; name: "home" | "waiting" | "terminals"; icon: ReactNode }[] = [
  { to: { page: "home" }, name: "home", icon: <HomeIcon size={19} /> },
  { to: { page: "approvals" }, name: "waiting", icon: <ApprovalIcon size={19} /> },
  { to: { page: "terminals", terminal: null }, name: "terminals", icon: <TerminalIcon size={19} /> },
];

/** Under the thumb on narrow screens, on pages that do not need the lower edge themselves. */
export function PhoneBar({ page }: { page: Place["page"] }): ReactNode {
  const waiting = useStore(workspace).attention.length;
  return (
    <nav className="phone-bar" aria-label={t("shell:bar")}>
      {PLACES.map(({ to, name, icon }) => (
        <a key={name} aria-current={page === to.page ? "page" : undefined} {...linkTo(to)}>
          {icon}
          {t(`shell:${name}`)}
          {name === "waiting" && waiting > 0 ? <span className="count accent">{waiting}</span> : null}
        </a>
      ))}
      <button type="button" onClick={() => drawer.set(true)}><MenuIcon size={19} />{t("shell:menu")}</button>
    </nav>
  );
}
