import { useCallback, useEffect, useState } from "react";
import { ApiError } from "../api/http.ts";

/** What a page shows: nothing yet, what it asked for, and what went wrong the last time. */
export interface Loaded<T> {
  value: T | null;
  problem: unknown;
  /** An answer is on its way, also when something is shown already. */
  busy: boolean;
  retry: () => void;
}

export type Trouble = "offline" | "forbidden" | "missing" | "error";

export function troubleOf(problem: unknown): Trouble {
  if (!(problem instanceof ApiError)) return "error";
  if (problem.status === 0) return "offline";
  if (problem.status === 403) return "forbidden";
  return problem.status === 404 ? "missing" : "error";
}

const AGAIN_MS = 3000;

/** Asks once for each `load` (keep it the same with useCallback), by itself again while the daemon is away, and when told. */
export function useLoaded<T>(load: () => Promise<T>): Loaded<T> {
  const [state, setState] = useState<Omit<Loaded<T>, "retry">>({ value: null, problem: null, busy: true });
  const [tries, setTries] = useState(0);
  const retry = useCallback(() => setTries((count) => count + 1), []);
  useEffect(() => setState({ value: null, problem: null, busy: true }), [load]);
  useEffect(() => {
    let current = true;
    setState((held) => ({ ...held, busy: true }));
    load().then(
      (value) => current && setState({ value, problem: null, busy: false }),
      (problem: unknown) => current && setState(({ value }) => ({ value, problem, busy: false })),
    );
    return () => {
      current = false;
    };
  }, [load, tries]);
  const away = !state.busy && state.problem !== null && troubleOf(state.problem) === "offline";
  useEffect(() => {
    if (!away) return undefined;
    const timer = setTimeout(retry, AGAIN_MS);
    window.addEventListener("online", retry);
    return () => {
      clearTimeout(timer);
      window.removeEventListener("online", retry);
    };
  }, [away, retry]);
  return { ...state, retry };
}
