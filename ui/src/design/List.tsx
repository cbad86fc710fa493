import type { ReactNode } from "react";
import { linkTo, type Place } from "../state/router.ts";

/** Lines below each other, with a rule between and no box around: the page's own column is the frame. */
export function List({ label, boxed, children }: { label: string; boxed?: boolean; children: ReactNode }): ReactNode {
  return <ul role="list" className={boxed ? "card list" : "list"} aria-label={label}>{children}</ul>;
}

interface LineProps {
  /** Where it leads; without it the line is only read. */
  to?: Place;
  lead?: ReactNode;
  title: ReactNode;
  /** Said more quietly, below the title. */
  below?: ReactNode;
  children?: ReactNode;
  testid?: string;
}

export function Line({ to, lead, title, below, children, testid }: LineProps): ReactNode {
  const inner = (
    <>
      {lead === undefined ? null : <span className="line-lead">{lead}</span>}
      <span className="grow">
        <span className="line-title ellipsis">{title}</span>
        {below === undefined ? null : <span className="line-below ellipsis">{below}</span>}
      </span>
      {children}
    </>
  );
  return (
    <li data-testid={testid}>
      {to === undefined ? <div className="list-line">{inner}</div> : <a className="list-line" {...linkTo(to)}>{inner}</a>}
    </li>
  );
}
