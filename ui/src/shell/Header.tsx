import type { ReactNode } from "react";
import { IconButton } from "../design/Button.tsx";
import { MenuIcon } from "../design/icons.tsx";

interface HeaderProps {
  title: ReactNode;
  below?: ReactNode;
  children?: ReactNode;
  onMenu: () => void;
}

/** The top of every page; on narrow screens it opens the rail. */
export function Header({ title, below, children, onMenu }: HeaderProps): ReactNode {
  return (
    <header className="header">
      <IconButton label="Menu" className="menu-button" onClick={onMenu}>
        <MenuIcon size={18} />
      </IconButton>
      <div className="header-words">
        {typeof title === "string" ? <h1>{title}</h1> : title}
        {below}
      </div>
      <div className="header-acts">{children}</div>
    </header>
  );
}
