import { createContext, useContext } from "react";
import type { LiveSession } from "../state/live.ts";

/** What every row of a session may need. */
export interface SessionScope {
  project: string;
  session: string;
  /** The project's folder; paths below it are shown without it. */
  root: string;
  live: LiveSession;
}

export const SessionContext = createContext<SessionScope | null>(null);

export function useSession(): SessionScope {
  const scope = useContext(SessionContext);
  if (scope === null) throw new Error("This part belongs inside a session page.");
  return scope;
}
