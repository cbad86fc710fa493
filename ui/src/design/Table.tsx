import type { ReactNode } from "react";

interface TableProps {
  heads: readonly string[];
  className?: string;
  testid?: string;
  /** The rows. */
  children: ReactNode;
}

/** Columns with a name each, in a frame; on a narrow screen a record is two lines (`cell-*`). */
export function Table({ heads, className = "", testid, children }: TableProps): ReactNode {
  return (
    <div className="card table-frame">
      <table className={`table ${className}`} data-testid={testid}>
        <thead><tr>{heads.map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
