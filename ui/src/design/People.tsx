import type { ReactNode } from "react";
import { initials } from "../state/rights.ts";

interface Person {
  id: string;
  name: string | null;
  email?: string | null;
}

/** Name first where there is one, the id always and whole: it is what counts. */
export function Who({ who }: { who: Person }): ReactNode {
  const minor = [who.name === null ? null : who.id, who.email === who.id ? null : who.email].filter(Boolean);
  return (
    <span className="who grow">
      <span>{who.name ?? who.id}</span>
      {minor.length === 0 ? null : <span className="muted">{minor.join(" · ")}</span>}
    </span>
  );
}

export function Face({ who }: { who: Person }): ReactNode {
  return <span className="face" aria-hidden>{initials(who)}</span>;
}
