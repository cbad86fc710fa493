import { useRef } from "react";

/** One stop for Tab, arrows within: where keys move in a column of entries. Pure but for the hook. */

/** The entry a key leads to, round at both ends; null when the key is none of ours. */
export function moved(key: string, at: number, count: number): number | null {
  if (count === 0) return null;
  if (key === "ArrowDown") return (at + 1) % count;
  if (key === "ArrowUp") return at <= 0 ? count - 1 : at - 1;
  if (key === "Home") return 0;
  return key === "End" ? count - 1 : null;
}

/** The next entry that begins with what was typed; one letter again and again goes through all of its entries. */
export function found(typed: string, labels: readonly string[], at: number): number | null {
  const same = [...typed].every((letter) => letter === typed[0]);
  const wanted = (same ? typed.slice(0, 1) : typed).toLocaleLowerCase();
  const from = same ? at + 1 : Math.max(at, 0);
  for (let step = 0; step < labels.length; step += 1) {
    const index = (from + step) % labels.length;
    if (labels[index]?.trim().toLocaleLowerCase().startsWith(wanted)) return index;
  }
  return null;
}

/** Letters typed within this many milliseconds are one word. */
const WORD_MS = 600;

/** Gathers typed letters; gives the entry they lead to. Space counts only within a word, since it also presses. */
export function useTypeAhead(): (event: TypedKey, labels: readonly string[], at: number) => number | null {
  const word = useRef({ text: "", at: 0 });
  return (event, labels, at) => {
    if (event.key.length !== 1 || event.ctrlKey || event.metaKey || event.altKey) return null;
    const now = Date.now();
    const going = now - word.current.at < WORD_MS;
    if (event.key === " " && !going) return null;
    word.current = { text: (going ? word.current.text : "") + event.key, at: now };
    return found(word.current.text, labels, at);
  };
}

type TypedKey = Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey">;
