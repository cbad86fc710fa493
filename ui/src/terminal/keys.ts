/** Keys of the touch bar, and a Ctrl that holds for the next key. Pure. */

import type { Catalogue } from "../i18n/en/index.ts";

export interface Sticky {
  ctrl: boolean;
}

/** What goes to the program for `data` typed while Ctrl may be held; the hold ends with it. */
export function applySticky(sticky: Sticky, data: string): string {
  if (!sticky.ctrl || data.length !== 1) return data;
  sticky.ctrl = false;
  const code = data.toUpperCase().charCodeAt(0);
  return code >= 0x40 && code <= 0x5f ? String.fromCharCode(code - 0x40) : data;
}

type KeyName = keyof Catalogue["terminal"]["keys"];

export const TOUCH_KEYS: readonly { label: string; name: KeyName; data: string }[] = [
  { label: "Esc", name: "escape", data: "\u001b" },
  { label: "Tab", name: "tab", data: "\t" },
  { label: "←", name: "left", data: "\u001b[D" },
  { label: "↑", name: "up", data: "\u001b[A" },
  { label: "↓", name: "down", data: "\u001b[B" },
  { label: "→", name: "right", data: "\u001b[C" },
  { label: "^C", name: "interrupt", data: "\u0003" },
];
