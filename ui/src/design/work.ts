import { useState } from "react";
import { sentence } from "../api/http.ts";

interface Work {
  busy: boolean;
  /** What went wrong, in a sentence, unless somebody else was told. */
  problem: string | null;
  setProblem: (problem: string | null) => void;
  /** Does it, and says whether it went well. */
  run: (work: () => Promise<unknown>) => Promise<boolean>;
}

/** What a press sets off: whether it is under way, and what went wrong with it, told to `tell` or kept as `problem`. */
export function useWork(tell?: (error: unknown) => void): Work {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const run = async (work: () => Promise<unknown>): Promise<boolean> => {
    setBusy(true);
    setProblem(null);
    try {
      await work();
      return true;
    } catch (error) {
      if (tell === undefined) setProblem(sentence(error));
      else tell(error);
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, problem, setProblem, run };
}
