import { type RefObject, useEffect, useRef } from "react";
import { t } from "../i18n/index.ts";
import { agentOf, type Item, openQuestion, type Transcript } from "../journal/model.ts";
import { toast } from "../state/toasts.ts";

/** What an address may name within a session. */
export interface Named {
  attention?: string | undefined; seq?: number | undefined;
}

/** The row of a question or of an event by its number; a sub-agent's is the one of its call. Null without one. */
export function rowNamed(transcript: Transcript, { attention, seq = 0 }: Named): { index: number; key: string } | null {
  const at = (items: readonly Item[]): number => {
    if (attention === undefined) return seq > 0 ? items.findLastIndex((item) => (item.seq ?? Number.POSITIVE_INFINITY) <= seq) : -1;
    return items.findIndex((item) => (item.kind === "tool" || item.kind === "gate") && item.attention?.id === attention);
  };
  const index = at(transcript.items);
  if (index !== -1) return { index, key: transcript.items[index]?.key ?? "" };
  if (attention === undefined) return null;
  for (const [outer, item] of transcript.items.entries()) {
    const within = (call: string): Item | undefined => {
      const items = agentOf(transcript.agents, call)?.items ?? [];
      const own = items[at(items)];
      return own ?? items.map((row) => (row.kind === "tool" ? within(row.callId) : undefined)).find(Boolean);
    };
    const found = item.kind === "tool" ? within(item.callId) : undefined;
    if (found !== undefined) return { index: outer, key: openQuestion(found) === null ? item.key : found.key };
  }
  return null;
}

/** Shows a row, or the card of a question in it, and gives it the focus: keys and screen readers go on from there. */
export function goTo(key: string, attention?: string): void {
  const find = (name: string, value: string): HTMLElement | null => document.querySelector(`[data-${name}="${CSS.escape(value)}"]`);
  const found = (attention === undefined ? null : find("attention", attention)) ?? find("key", key);
  if (found === null) return;
  found.tabIndex = -1;
  found.scrollIntoView({ block: "center" });
  found.focus({ preventScroll: true });
}

/** A question may come a moment after the link to it. */
const PATIENCE_MS = 3000;

/** Follows the address to what it names, once the transcript is there, and says when the question is not in it. */
export function useDeepLink(transcript: Transcript, ready: boolean, named: Named, reveal: (index: number) => void, stay: () => void): void {
  const done = useRef<Named | null>(null);
  useEffect(() => {
    if (!ready || done.current === named || (named.attention === undefined && named.seq === undefined)) return undefined;
    const row = rowNamed(transcript, named);
    const gone = (): void => {
      done.current = named;
      toast(t("inbox:gone"));
    };
    if (row === null) {
      const timer = named.attention === undefined ? undefined : setTimeout(gone, PATIENCE_MS);
      return () => clearTimeout(timer);
    }
    done.current = named;
    stay();
    reveal(row.index);
    // Heights above are guesses until they are drawn: look again once they are.
    const timers = [0, 80, 300].map((ms) => setTimeout(() => goTo(row.key, named.attention), ms));
    return () => {
      if (done.current !== named) timers.forEach(clearTimeout);
    };
  }, [transcript, ready, named, reveal, stay]);
}

/** A card that changes may take away what had the focus: then the focus goes to its row, not to nowhere. */
export function useFocusKeeper(root: RefObject<HTMLElement | null>, fallback: (inside: HTMLElement) => HTMLElement | null): void {
  const last = useRef<HTMLElement | null>(null);
  useEffect(() => {
    const element = root.current;
    if (element === null) return undefined;
    const end = new AbortController();
    const held = ({ target }: FocusEvent): void => {
      last.current = target instanceof HTMLElement ? fallback(target) : null;
    };
    const gone = new MutationObserver(() => {
      if (document.activeElement === document.body && last.current?.isConnected) last.current.focus({ preventScroll: true });
    });
    element.addEventListener("focusin", held, { signal: end.signal });
    // Whoever points somewhere else has left of their own will.
    document.addEventListener("pointerdown", () => void (last.current = null), { capture: true, signal: end.signal });
    gone.observe(element, { childList: true, subtree: true });
    return () => {
      end.abort();
      gone.disconnect();
    };
  }, [root, fallback]);
}
