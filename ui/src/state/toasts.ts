import { sentence } from "../api/http.ts";
import { Store } from "./store.ts";

export interface Toast {
  id: number; tone: "info" | "ok" | "bad"; text: string;
  /** The one thing to do about it, e.g. undo. */
  act?: { label: string; run: () => void };
}

export const toasts = new Store<Toast[]>([]);
let next = 1;

export function toast(text: string, tone: Toast["tone"] = "info", act?: Toast["act"]): void {
  const id = next++;
  const entry: Toast = act === undefined ? { id, tone, text } : { id, tone, text, act };
  toasts.set((list) => [...list.filter((known) => known.text !== text).slice(-3), entry]);
}

/** For how long it stays while nobody looks at it, in milliseconds. */
export function stays({ tone, act }: Toast): number {
  return tone === "bad" || act !== undefined ? 12_000 : 5_000;
}

export function toastError(error: unknown): void {
  toast(sentence(error), "bad");
}

export function dismiss(id: number): void {
  toasts.set((list) => list.filter((entry) => entry.id !== id));
}
