import { sentence } from "../api/http.ts";
import { Store } from "./store.ts";

export interface Toast {
  id: number;
  tone: "info" | "bad";
  text: string;
}

export const toasts = new Store<Toast[]>([]);
let next = 1;

export function toast(text: string, tone: Toast["tone"] = "info"): void {
  const id = next++;
  toasts.set((list) => [...list.filter((entry) => entry.text !== text).slice(-3), { id, tone, text }]);
  setTimeout(() => dismiss(id), tone === "bad" ? 12_000 : 5_000);
}

export function toastError(error: unknown): void {
  toast(sentence(error), "bad");
}

export function dismiss(id: number): void {
  toasts.set((list) => list.filter((entry) => entry.id !== id));
}
