import "./motion.css";
import { Choice } from "./choice.ts";
import { Store } from "./store.ts";

export type Theme = "system" | "dark" | "light";

const wantsDark = window.matchMedia("(prefers-color-scheme: dark)");

export const theme = new Choice<Theme>("kaged.theme", ["system", "dark", "light"]);
/** Whether things move as the system says, or not at all. */
export const motion = new Choice<"system" | "reduced">("kaged.motion", ["system", "reduced"]);
/** What is on the screen now. */
export const shownTheme = new Store<"dark" | "light">("dark");

function apply(): void {
  const choice = theme.get();
  const shown = choice === "system" ? (wantsDark.matches ? "dark" : "light") : choice;
  document.documentElement.dataset["theme"] = shown;
  document.documentElement.dataset["motion"] = motion.get();
  shownTheme.set(shown);
}

export function startTheme(): void {
  apply();
  wantsDark.addEventListener("change", apply);
  theme.watch(apply);
  motion.watch(apply);
}

/** From what is shown to its opposite; back to the system's choice when that is the same. */
export function toggleTheme(): void {
  const next = shownTheme.get() === "dark" ? "light" : "dark";
  const system = wantsDark.matches ? "dark" : "light";
  theme.choose(next === system ? "system" : next);
}
