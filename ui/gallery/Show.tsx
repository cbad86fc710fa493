import type { ReactNode } from "react";

/** One thing on show, with its name; `row` sets its states beside each other. */
export function Show({ name, row, children }: { name: string; row?: boolean; children: ReactNode }): ReactNode {
  return (
    <div className="show">
      <h3>{name}</h3>
      <div className={row ? "show-row" : "show-body"}>{children}</div>
    </div>
  );
}
