import { type KeyboardEvent, type ReactNode, useRef, useState } from "react";
import { linkTo, type Place } from "../state/router.ts";
import { moved } from "./roving.ts";

export interface Tab {
  id: string;
  label: string;
  icon?: ReactNode;
  /** How much is behind it; 0 shows nothing. */
  count?: number;
  /** Its own address: the tab is then a link, which opens elsewhere too. */
  to?: Place;
}

interface TabsProps {
  /** Names this row: the panel of tab `x` is `<TabPanel tabs={id} tab="x">`. */
  id: string;
  label: string;
  tabs: readonly Tab[];
  current: string;
  onSelect?: (tab: string) => void;
  look?: "line" | "segments";
}

/** A row of tabs: one stop for Tab, arrows move, Enter or a click chooses. */
export function Tabs({ id, label, tabs, current, onSelect, look = "line" }: TabsProps): ReactNode {
  const row = useRef<HTMLDivElement>(null);
  const [focused, setFocused] = useState<string | null>(null);
  const stop = tabs.some((tab) => tab.id === focused) ? focused : current;
  const keyDown = (event: KeyboardEvent): void => {
    const next = moved(event.key, tabs.findIndex((tab) => tab.id === stop), tabs.length, "row");
    if (next === null) {
      // A link is pressed by Enter alone; as a tab it takes Space as well.
      if (event.key === " " && event.target instanceof HTMLAnchorElement) event.target.click();
      else return;
    } else row.current?.querySelectorAll<HTMLElement>("[role=tab]")[next]?.focus();
    event.preventDefault();
  };
  return (
    <div ref={row} className={look === "line" ? "tabs" : "segments"} role="tablist" aria-label={label}
      onKeyDown={keyDown} onBlur={() => setFocused(null)}>
      {tabs.map((tab) => {
        const chosen = tab.id === current;
        const shared = {
          role: "tab", id: `${id}-tab-${tab.id}`, className: look === "line" ? "tab" : "segment",
          "aria-selected": chosen, "aria-controls": chosen ? `${id}-panel-${tab.id}` : undefined,
          tabIndex: tab.id === stop ? 0 : -1, onFocus: () => setFocused(tab.id),
        };
        const inner = (
          <>
            {tab.icon}
            {tab.label}
            {tab.count === undefined || tab.count === 0 ? null : <span className="tab-count">{tab.count}</span>}
          </>
        );
        const select = (): void => onSelect?.(tab.id);
        if (tab.to === undefined) return <button key={tab.id} type="button" {...shared} onClick={select}>{inner}</button>;
        const link = linkTo(tab.to);
        return (
          <a key={tab.id} {...shared} {...link} onClick={(event) => { link.onClick(event); select(); }}>
            {inner}
          </a>
        );
      })}
    </div>
  );
}

interface TabPanelProps {
  tabs: string;
  tab: string;
  className?: string;
  children: ReactNode;
}

export function TabPanel({ tabs, tab, className, children }: TabPanelProps): ReactNode {
  return (
    <div className={className ?? "tab-panel"} role="tabpanel" id={`${tabs}-panel-${tab}`} aria-labelledby={`${tabs}-tab-${tab}`}>
      {children}
    </div>
  );
}
