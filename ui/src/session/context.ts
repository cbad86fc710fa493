import { createContext, useContext } from "react";
import type { LiveSession } from "../state/live.ts";

/** What every row of a session may need. */
export interface SessionScope {
  project: string; session: string;
  /** The project's folder; paths below it are shown without it. */
  root: string;
  live: LiveSession;
  /** Why the reader may only look on, and why not decide about the project's policy; null when they may. */
  readOnly: string | null;
  noPolicy: string | null;
}

export const SessionContext = createContext<SessionScope | null>(null);

export function useSession(): SessionScope {
  const scope = useContext(SessionContext);
  if (scope === null) throw new Error("This part belongs inside a session page.");
  return scope;
}
