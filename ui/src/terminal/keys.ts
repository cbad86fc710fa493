/** Keys of the touch bar, and a Ctrl that holds for the next key. Pure. */

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

export const TOUCH_KEYS: readonly { label: string; name: string; data: string }[] = [
  { label: "Esc", name: "Escape", data: "\u001b" },
  { label: "Tab", name: "Tab", data: "\t" },
  { label: "←", name: "Left", data: "\u001b[D" },
  { label: "↑", name: "Up", data: "\u001b[A" },
  { label: "↓", name: "Down", data: "\u001b[B" },
  { label: "→", name: "Right", data: "\u001b[C" },
  { label: "^C", name: "Control C", data: "\u0003" },
];
