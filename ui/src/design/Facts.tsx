import type { ReactNode } from "react";

/** Names and what they stand for. */
export function Facts({ rows, mono = false }: { rows: readonly (readonly [string, ReactNode])[]; mono?: boolean }): ReactNode {
  return (
    <dl className={mono ? "card facts mono-facts" : "card facts"} data-testid="facts">
      {rows.map(([name, value]) => (
        <div key={name} className="fact">
          <dt className="fact-name">{name}</dt>
          <dd className="fact-value">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
