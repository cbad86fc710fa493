import type { ReactNode } from "react";
import { Kbd } from "./parts.tsx";
import { type AnchorAttributes, MenuItem, Popover } from "./Popover.tsx";

export interface MenuEntry {
  id: string;
  label: string;
  icon?: ReactNode;
  /** The key that does the same outside the menu. */
  keys?: string;
  danger?: boolean;
  testid?: string;
  /** Why it cannot be done now; the entry then stays readable and does nothing. */
  lacking?: string | null;
  onSelect: () => void;
}

interface MenuProps {
  label: string;
  anchor: (attributes: AnchorAttributes) => ReactNode;
  /** Groups of entries; a line stands between groups. */
  groups: readonly (readonly MenuEntry[])[];
  end?: boolean;
}

/** Acts behind one button. */
export function Menu({ label, anchor, groups, end = false }: MenuProps): ReactNode {
  return (
    <Popover menu label={label} anchor={anchor} end={end}>
      {(close) =>
        groups.filter((group) => group.length > 0).map((group, place) => (
          <div key={place} role="group" className="menu-group">
            {group.map(({ id, label: words, icon, keys, danger, testid, lacking, onSelect }) => (
              <MenuItem key={id} icon={icon} className={danger ? "danger" : ""} data-testid={testid}
                aria-disabled={lacking ? true : undefined} title={lacking ?? undefined}
                onClick={() => {
                  if (lacking) return;
                  close();
                  onSelect();
                }}>
                <span className="grow">{words}</span>
                {keys === undefined ? null : <Kbd>{keys}</Kbd>}
              </MenuItem>
            ))}
          </div>
        ))
      }
    </Popover>
  );
}
