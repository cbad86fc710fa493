import { Store } from "../state/store.ts";

/** What lies over the session page, or is being done to its head. Menus, commands and rows ask for it alike. */
export type Panel =
  | { kind: "checkpoints"; id: string | null; compare?: boolean }
  | { kind: "rename" }
  | { kind: "archive" };

export const panel = new Store<Panel | null>(null);

const KEPT = "kaged.inspector";
const WIDE = 1600;

function atFirst(): boolean {
  const kept = localStorage.getItem(KEPT);
  return kept === null ? window.innerWidth >= WIDE : kept === "open" && window.innerWidth >= 1100;
}

/** Whether the inspector is open: as it was left, else where there is room to spare. */
export const inspector = new Store<boolean>(typeof window === "undefined" ? false : atFirst());

export function toggleInspector(): void {
  inspector.set((open) => !open);
  if (window.innerWidth >= 1100) localStorage.setItem(KEPT, inspector.get() ? "open" : "closed");
}
