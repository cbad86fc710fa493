import { type ReactNode, useEffect, useRef, useState } from "react";
import { t } from "../i18n/index.ts";
import { currentRun, type TextItem, type Transcript } from "../journal/model.ts";
import { nextSaying } from "../text/speech.ts";
import { runWords } from "./runWords.ts";

/** A screen reader is given something new no more often than this. */
const EVERY_MS = 4000;

/**
 * The one live region of a transcript: the newest answer sentence by sentence, what the run came to, and nothing of the
 * output of tools. Whatever is already there when the page opens is not read out.
 */
export function Speaker({ transcript, ready }: { transcript: Transcript; ready: boolean }): ReactNode {
  const [words, setWords] = useState("");
  const said = useRef<{ key: string; upTo: number; run: string } | null>(null);
  const lastAt = useRef(0);
  const answer = transcript.items.findLast((item): item is TextItem => item.kind === "text");
  const run = currentRun(transcript);
  const state = `${run?.id} ${run?.state}`;
  useEffect(() => {
    if (!ready) return undefined;
    said.current ??= { key: answer?.key ?? "", upTo: answer?.streaming === true ? 0 : (answer?.text.length ?? 0), run: state };
    const held = said.current;
    const speak = (): void => {
      const fresh = answer !== undefined && answer.key !== held.key ? 0 : held.upTo;
      const next = answer === undefined ? { words: "", upTo: 0 } : nextSaying(answer.text, Math.min(fresh, answer.text.length), !answer.streaming);
      const parts = [next.words, held.run === state ? "" : `${runWords(run).label}.`].filter(Boolean);
      Object.assign(held, { key: answer?.key ?? "", upTo: next.upTo, run: state });
      if (parts.length === 0) return;
      lastAt.current = Date.now();
      setWords(parts.join(" "));
    };
    const wait = EVERY_MS - (Date.now() - lastAt.current);
    if (wait <= 0) speak();
    const timer = wait <= 0 ? undefined : setTimeout(speak, wait);
    return () => clearTimeout(timer);
  }, [answer, run, state, ready]);
  return (
    <div className="hidden-text" role="status" aria-live="polite" aria-label={t("session:spoken")} data-testid="spoken">
      {words}
    </div>
  );
}
