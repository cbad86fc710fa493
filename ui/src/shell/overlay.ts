import { Store } from "../state/store.ts";

/** The dialog that is open, if any. Pages ask for one; the shell shows it. */
export type Overlay = { kind: "load" | "provider" | "shortcuts" | "palette" } | { kind: "trust"; slug: string };

export const overlay = new Store<Overlay | null>(null);

/** Whether the rail is out, where it is a drawer. */
export const drawer = new Store(false);

/** Counts up whenever providers or aliases changed, so pages that show models look again. */
export const modelsChanged = new Store(0);
