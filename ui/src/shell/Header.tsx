import type { ReactNode } from "react";
import { IconButton } from "../design/Button.tsx";
import { MenuIcon, SearchIcon } from "../design/icons.tsx";
import { t } from "../i18n/index.ts";
import { useStore } from "../state/store.ts";
import { workspace } from "../state/workspace.ts";
import { drawer, overlay } from "./overlay.ts";

export interface HeaderProps {
  title: ReactNode;
  below?: ReactNode;
  children?: ReactNode;
}

/** The top of every page. Where a narrow screen has no bar of places below, it opens the rail. */
export function Header({ title, below, children }: HeaderProps): ReactNode {
  const waiting = useStore(workspace).attention.length;
  return (
    <header className="header">
      <IconButton label={t("shell:menu")} className="menu-button" onClick={() => drawer.set(true)}>
        <MenuIcon size={18} />
        {waiting === 0 ? null : <span className="menu-mark" aria-hidden />}
      </IconButton>
      <div className="header-words">{typeof title === "string" ? <h1>{title}</h1> : title}{below}</div>
      <IconButton label={t("palette:open")} className="menu-button palette-button" data-testid="open-palette"
        onClick={() => overlay.set({ kind: "palette" })}>
        <SearchIcon size={18} />
      </IconButton>
      <div className="header-acts">{children}</div>
    </header>
  );
}
