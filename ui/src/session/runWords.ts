import { t } from "../i18n/index.ts";
import type { Run, RunState } from "../journal/model.ts";

interface Words {
  label: string; tone: "accent" | "ok" | "bad" | null; dot: string;
}

const LOOKS: Readonly<Record<RunState, Omit<Words, "label">>> = {
  running: { tone: "accent", dot: "running" },
  waiting: { tone: "accent", dot: "waiting" },
  interrupted: { tone: "bad", dot: "interrupted" },
  success: { tone: "ok", dot: "ok" },
  failed: { tone: "bad", dot: "failed" },
  cancelled: { tone: null, dot: "idle" },
};

export function runWords(run: Run | null): Words {
  if (run === null) return { label: t("words:run.ready"), tone: null, dot: "idle" };
  return { label: t(`words:run.${run.state}`), ...LOOKS[run.state] };
}
