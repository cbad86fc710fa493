import { type RefObject, useEffect, useRef, useState } from "react";
import { agentOf, type Item, openQuestion, type Transcript } from "../journal/model.ts";
import { useOnLeave } from "../state/router.ts";

/** The row that `?attention=<id>` or `?seq=<number>` names; a sub-agent's is the one of its call. Null without one. */
export function rowNamed(transcript: Transcript, search: string): { index: number; key: string } | null {
  const asked = new URLSearchParams(search);
  const [attention, seq] = [asked.get("attention"), Number(asked.get("seq"))];
  const at = (items: readonly Item[]): number => {
    if (attention !== null) {
      return items.findIndex((item) => (item.kind === "tool" || item.kind === "gate") && item.attention?.id === attention);
    }
    return seq > 0 ? items.findLastIndex((item) => (item.seq ?? Number.POSITIVE_INFINITY) <= seq) : -1;
  };
  const index = at(transcript.items);
  if (index !== -1) return { index, key: transcript.items[index]?.key ?? "" };
  if (attention === null) return null;
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

export function slotOf(key: string): HTMLElement | null {
  return document.querySelector<HTMLElement>(`[data-key="${CSS.escape(key)}"]`);
}

/** Shows a row and gives it the focus, so that keys and screen readers go on from there. */
export function goTo(key: string): boolean {
  const slot = slotOf(key);
  if (slot === null) return false;
  slot.tabIndex = -1;
  slot.scrollIntoView({ block: "center" });
  slot.focus({ preventScroll: true });
  return true;
}

/** Follows the address to the row it names, once the transcript is there, and again when the address changes. */
export function useDeepLink(transcript: Transcript, ready: boolean, reveal: (index: number) => void, stay: () => void): void {
  const [search, setSearch] = useState(window.location.search);
  const done = useRef("");
  useOnLeave(useState(() => () => setTimeout(() => setSearch(window.location.search)))[0]);
  useEffect(() => {
    if (!ready || search === "" || done.current === search) return undefined;
    const row = rowNamed(transcript, search);
    if (row === null) return undefined;
    done.current = search;
    stay();
    reveal(row.index);
    // Heights above are guesses until they are drawn: look again once they are.
    const timers = [0, 80, 300].map((ms) => setTimeout(() => goTo(row.key), ms));
    return () => {
      if (done.current !== search) timers.forEach(clearTimeout);
    };
  }, [transcript, ready, search, reveal, stay]);
}

/** A card that changes may take away what had the focus: then the focus goes to its row, not to nowhere. */
export function useFocusKeeper(root: RefObject<HTMLElement | null>, fallback: (inside: HTMLElement) => HTMLElement | null): void {
  const last = useRef<HTMLElement | null>(null);
  useEffect(() => {
    const element = root.current;
    if (element === null) return undefined;
    const held = (event: FocusEvent): void => {
      last.current = event.target instanceof HTMLElement ? fallback(event.target) : null;
    };
    // Whoever points somewhere else has left of their own will.
    const left = (): void => {
      last.current = null;
    };
    const gone = new MutationObserver(() => {
      if (document.activeElement === document.body && last.current?.isConnected) last.current.focus({ preventScroll: true });
    });
    element.addEventListener("focusin", held);
    document.addEventListener("pointerdown", left, true);
    gone.observe(element, { childList: true, subtree: true });
    return () => {
      element.removeEventListener("focusin", held);
      document.removeEventListener("pointerdown", left, true);
      gone.disconnect();
    };
  }, [root, fallback]);
}
