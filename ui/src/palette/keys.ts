import { useEffect } from "react";
import { isTyping } from "../design/hooks.ts";
import { overlay } from "../shell/overlay.ts";
import { Choice } from "../state/choice.ts";
import { type ActId, actOf, doable } from "./acts.ts";

const SEQUENCE_MS = 1500;
const mac = /mac|iphone|ipad/i.test(globalThis.navigator?.userAgent ?? "");

/** Whether keys without ⌘ or Ctrl do something: who speaks to their computer, or types by accident, turns them off. */
export const plainKeys = new Choice<"on" | "off">("kaged.keys", ["on", "off"]);

type Pressed = Pick<KeyboardEvent, "key" | "metaKey" | "ctrlKey" | "altKey">;

/** A press as the table writes it; null for what is no key of ours: Alt belongs to the browser and the system. */
export function pressOf(event: Pressed): string | null {
  if (event.altKey || event.key.length !== 1 || event.key === " ") return null;
  return event.metaKey || event.ctrlKey ? `mod+${event.key.toLowerCase()}` : event.key;
}

/** The act that a press completes among those given, or whether one may follow. `before` is the press before it. */
export function meant(before: string | null, press: string, ids: Iterable<ActId>): ActId | "more" | null {
  const typed = before === null ? press : `${before} ${press}`;
  const known = [...ids].filter((id) => actOf(id).field !== true);
  const hit = known.find((id) => actOf(id).key === typed);
  if (hit !== undefined) return hit;
  if (known.some((id) => actOf(id).key.startsWith(`${typed} `))) return "more";
  return before === null ? null : meant(null, press, known);
}

/** Whether something lies over the page, or is about to: what is typed then is meant for it. */
function isOver(): boolean {
  return overlay.get() !== null || document.querySelector("dialog[open]") !== null;
}

/** The keys of all acts that can be done now; never while somebody types or a dialog is open. */
export function useActKeys(): void {
  useEffect(() => {
    let before: { press: string; at: number } | null = null;
    const listen = (event: KeyboardEvent): void => {
      const press = pressOf(event);
      if (event.defaultPrevented || press === null || isOver()) return;
      const plain = !press.startsWith("mod+");
      if (plain && (plainKeys.get() === "off" || isTyping(event))) return;
      // A terminal needs every Ctrl+key itself.
      const inTerminal = event.target instanceof Element && event.target.closest(".xterm") !== null;
      if (inTerminal && !event.metaKey) return;
      const held = before !== null && event.timeStamp - before.at < SEQUENCE_MS ? before.press : null;
      const act = meant(held, press, doable.get().keys());
      before = act === "more" ? { press, at: event.timeStamp } : null;
      if (act === null) return;
      event.preventDefault();
      if (act !== "more") doable.get().get(act)?.run();
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);
}

const NAMES: Readonly<Record<string, string>> = { mod: mac ? "⌘" : "Ctrl", Escape: "Esc" };

/** The caps to draw for a key: one list for each press. */
export function capsOf(key: string): string[][] {
  return key.split(" ").map((press) => {
    const parts = press.split("+").map((part) => NAMES[part] ?? part);
    const last = parts.at(-1) ?? "";
    if (parts.length > 1) return [...parts.slice(0, -1), last.length === 1 ? last.toUpperCase() : last];
    return /^[A-Z]$/.test(last) ? ["Shift", last] : [last.length === 1 ? last.toUpperCase() : last];
  });
}
