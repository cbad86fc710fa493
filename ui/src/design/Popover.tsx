import { autoUpdate, flip, offset, shift, size, useFloating } from "@floating-ui/react-dom";
import { type ButtonHTMLAttributes, type KeyboardEvent, type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { useOnLeave } from "../state/router.ts";
import { moved, useTypeAhead } from "./roving.ts";

export interface AnchorAttributes {
  "aria-expanded": boolean;
  "aria-haspopup": "menu" | undefined;
  onClick: () => void;
}

interface PopoverProps {
  /** Renders what opens it; spread the attributes onto a button. */
  anchor: (attributes: AnchorAttributes) => ReactNode;
  children: (close: () => void) => ReactNode;
  label: string;
  end?: boolean;
  menu?: boolean;
}

const EDGE = 8;
const ITEMS = "[role^=menuitem]:not([aria-disabled=true], :disabled)";

/** Lies beside its button, wherever there is room; on a phone at the lower edge, where the thumb is. Escape and a press
 * outside close it and give the focus back. As a menu it has one stop for Tab, arrows and letters. */
export function Popover({ anchor, children, label, end, menu }: PopoverProps): ReactNode {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const body = useRef<HTMLDivElement | null>(null);
  const typed = useTypeAhead();
  const { refs, floatingStyles, isPositioned } = useFloating({
    open,
    strategy: "fixed",
    transform: false,
    placement: end ? "bottom-end" : "bottom-start",
    middleware: [
      offset(6), flip({ padding: EDGE }), shift({ padding: EDGE }),
      size({ padding: EDGE, apply: ({ availableHeight, elements }) => elements.floating.style.setProperty("--room", `${availableHeight}px`) }),
    ],
    whileElementsMounted: autoUpdate,
  });
  const close = useCallback((): void => {
    // The focus goes back only where it was inside: a press elsewhere has its own.
    if (root.current?.contains(document.activeElement)) root.current.querySelector<HTMLElement>("button, a")?.focus();
    setOpen(false);
  }, []);
  useOnLeave(close);
  useEffect(() => {
    if (!open) return undefined;
    const outside = (event: PointerEvent): void => {
      if (event.target instanceof Node && !root.current?.contains(event.target)) setOpen(false);
    };
    const key = (event: globalThis.KeyboardEvent): void => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      event.preventDefault();
      close();
    };
    document.addEventListener("pointerdown", outside);
    document.addEventListener("keydown", key, true);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("keydown", key, true);
    };
  }, [open, close]);
  useEffect(() => {
    if (open && menu && isPositioned) body.current?.querySelector<HTMLElement>(ITEMS)?.focus();
  }, [open, menu, isPositioned]);
  const keyDown = (event: KeyboardEvent): void => {
    if (!menu) return;
    const items = [...(body.current?.querySelectorAll<HTMLElement>(ITEMS) ?? [])];
    const at = items.findIndex((item) => item === document.activeElement);
    const next = moved(event.key, at, items.length) ?? typed(event, items.map((item) => item.textContent), at);
    if (event.key === "Tab") close();
    if (next === null) return;
    event.preventDefault();
    items[next]?.focus();
  };
  return (
    <div className="popover-anchor" ref={(element) => { root.current = element; refs.setReference(element); }}>
      {anchor({ "aria-expanded": open, "aria-haspopup": menu ? "menu" : undefined, onClick: () => (open ? close() : setOpen(true)) })}
      {open ? (
        <div ref={(element) => { body.current = element; refs.setFloating(element); }}
          className={menu ? "popover menu" : "popover"} style={floatingStyles} role={menu ? "menu" : "group"}
          aria-label={label} onKeyDown={keyDown}>
          {children(close)}
        </div>
      ) : null}
    </div>
  );
}

interface MenuItemProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  icon: ReactNode;
}

export function MenuItem({ icon, children, className, ...rest }: MenuItemProps): ReactNode {
  return (
    <button type="button" role="menuitem" tabIndex={-1} className={`menu-item ${className ?? ""}`} {...rest}>
      {icon}
      {children}
    </button>
  );
}
