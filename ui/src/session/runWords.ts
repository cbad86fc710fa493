import type { Run, RunState } from "../journal/model.ts";

interface Words {
  label: string;
  tone: "accent" | "ok" | "bad" | null;
  dot: string;
}

const WORDS: Readonly<Record<RunState, Words>> = {
  running: { label: "Running", tone: "accent", dot: "running" },
  waiting: { label: "Waiting for you", tone: "accent", dot: "waiting" },
  interrupted: { label: "Interrupted", tone: "bad", dot: "interrupted" },
  success: { label: "Done", tone: "ok", dot: "ok" },
  failed: { label: "Failed", tone: "bad", dot: "failed" },
  cancelled: { label: "Stopped", tone: null, dot: "idle" },
};

export function runWords(run: Run | null): Words {
  return run === null ? { label: "Ready", tone: null, dot: "idle" } : WORDS[run.state];
}
