import { type ButtonHTMLAttributes, type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { useOnLeave } from "../state/router.ts";

interface PopoverProps {
  /** Renders what opens it; spread the attributes onto a button. */
  anchor: (attributes: { "aria-expanded": boolean; onClick: () => void }) => ReactNode;
  children: (close: () => void) => ReactNode;
  label: string;
  end?: boolean;
  menu?: boolean;
}

export function Popover({ anchor, children, label, end, menu }: PopoverProps): ReactNode {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const close = useCallback(() => setOpen(false), []);
  useOnLeave(close);
  useEffect(() => {
    if (!open) return undefined;
    const outside = (event: PointerEvent): void => {
      if (event.target instanceof Node && !root.current?.contains(event.target)) close();
    };
    const key = (event: KeyboardEvent): void => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
      root.current?.querySelector("button")?.focus();
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("keydown", key, true);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("keydown", key, true);
    };
  }, [open, close]);
  const className = ["popover", end ? "end" : "", menu ? "menu" : ""].filter(Boolean).join(" ");
  return (
    <div className="popover-anchor" ref={root}>
      {anchor({ "aria-expanded": open, onClick: () => setOpen(!open) })}
      {open ? (
        <div className={className} role={menu ? "menu" : "group"} aria-label={label}>
          {children(close)}
        </div>
      ) : null}
    </div>
  );
}

interface MenuItemProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  icon: ReactNode;
}

export function MenuItem({ icon, children, ...rest }: MenuItemProps): ReactNode {
  return (
    <button type="button" role="menuitem" className="menu-item" {...rest}>
      {icon}
      {children}
    </button>
  );
}
