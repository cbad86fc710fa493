import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError } from "../api/http.ts";

/** What a page shows: nothing yet, what it asked for, and what went wrong the last time. */
export interface Loaded<T> {
  value: T | null;
  problem: unknown;
  /** An answer is on its way, also when something is shown already. */
  busy: boolean;
  retry: () => Promise<void>;
  /** Does something and asks again; what goes wrong with it is said in place of what is loaded. */
  act: (work: Promise<unknown>) => Promise<void>;
}

export type Trouble = "offline" | "forbidden" | "missing" | "error";

export function troubleOf(problem: unknown): Trouble {
  if (!(problem instanceof ApiError)) return "error";
  if (problem.status === 0) return "offline";
  if (problem.status === 403) return "forbidden";
  return problem.status === 404 ? "missing" : "error";
}

const AGAIN_MS = 3000;

/** Asks once for each `about`, by itself again while the daemon is away, and when told. */
export function useLoaded<T>(load: () => Promise<T>, about: unknown = null): Loaded<T> {
  const [state, setState] = useState<Omit<Loaded<T>, "retry" | "act">>({ value: null, problem: null, busy: true });
  const turn = useRef(0);
  const said = useCallback((problem: unknown) => setState(({ value }) => ({ value, problem, busy: false })), []);
  // `about` stands for all that `load` takes.
  const retry = useCallback(async (): Promise<void> => {
    turn.current += 1;
    const mine = turn.current;
    setState((held) => ({ ...held, busy: true }));
    await load().then(
      (value) => mine === turn.current && setState({ value, problem: null, busy: false }),
      (problem: unknown) => mine === turn.current && said(problem),
    );
  }, [about, said]);
  useEffect(() => {
    setState({ value: null, problem: null, busy: true });
    void retry();
    return () => {
      turn.current += 1;
    };
  }, [retry]);
  const act = async (work: Promise<unknown>): Promise<void> => {
    let failed: unknown = null;
    await work.catch((error: unknown) => (failed = error));
    await retry();
    if (failed !== null) said(failed);
  };
  const away = !state.busy && state.problem !== null && troubleOf(state.problem) === "offline";
  useEffect(() => {
    if (!away) return undefined;
    const again = (): void => void retry();
    const timer = setTimeout(again, AGAIN_MS);
    window.addEventListener("online", again);
    return () => {
      clearTimeout(timer);
      window.removeEventListener("online", again);
    };
  }, [away, retry]);
  return { ...state, retry, act };
}
