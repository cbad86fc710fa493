import i18next, { type TFunction } from "i18next";
import type { Catalogue } from "./en/index.ts";
import en from "./en/index.ts";

export const LANGUAGES = { en: "English", de: "Deutsch" } as const;
export type Language = keyof typeof LANGUAGES;

const KEPT = "kaged.language";

/** Every string that a person reads: `t("session:interrupt")`, `t("queue:waiting", { count })`. */
export const t: TFunction<(keyof Catalogue)[]> = i18next.t;

/** What the reader chose, else the first of the browser's languages that there is, else English. */
export function chosenLanguage(kept: string | null, wanted: readonly string[]): Language {
  const known = [kept, ...wanted].map((tag) => tag?.split("-")[0]);
  return known.find((tag): tag is Language => tag !== undefined && tag in LANGUAGES) ?? "en";
}

export function language(): Language {
  return i18next.language as Language;
}

/** Before the first render: a page never shows itself in two languages. English comes with the script, others on demand. */
export async function startLanguage(kept = localStorage.getItem(KEPT), wanted = navigator.languages): Promise<void> {
  const lng = chosenLanguage(kept, wanted);
  const resources = lng === "de" ? { en, de: (await import("./de/index.ts")).default } : { en };
  await i18next.init({
    lng, resources, fallbackLng: "en", ns: Object.keys(en), defaultNS: "common",
    initAsync: false, interpolation: { escapeValue: false }, returnNull: false,
  });
  if (typeof document !== "undefined") document.documentElement.lang = lng;
}

/** Strings are read while a page draws itself, so another language is another page load; drafts are kept. */
export function chooseLanguage(next: Language): void {
  localStorage.setItem(KEPT, next);
  window.location.reload();
}
