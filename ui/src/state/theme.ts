import { Store } from "./store.ts";

export type Theme = "system" | "dark" | "light";

const STORAGE = "kaged.theme";
const wantsDark = window.matchMedia("(prefers-color-scheme: dark)");

function stored(): Theme {
  const value = localStorage.getItem(STORAGE);
  return value === "dark" || value === "light" ? value : "system";
}

export const theme = new Store<Theme>(stored());
/** What is on the screen now. */
export const shownTheme = new Store<"dark" | "light">("dark");

function apply(): void {
  const choice = theme.get();
  const shown = choice === "system" ? (wantsDark.matches ? "dark" : "light") : choice;
  document.documentElement.dataset["theme"] = shown;
  shownTheme.set(shown);
}

export function startTheme(): void {
  apply();
  wantsDark.addEventListener("change", apply);
  theme.watch(apply);
}

/** From what is shown to its opposite; back to the system's choice when that is the same. */
export function toggleTheme(): void {
  const next = shownTheme.get() === "dark" ? "light" : "dark";
  const system = wantsDark.matches ? "dark" : "light";
  const choice: Theme = next === system ? "system" : next;
  if (choice === "system") localStorage.removeItem(STORAGE);
  else localStorage.setItem(STORAGE, choice);
  theme.set(choice);
}
