import { language, t } from "../i18n/index.ts";

/** Numbers, times and sizes for people, in the language they chose. */

const made = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat>();

function kept<F extends Intl.NumberFormat | Intl.DateTimeFormat>(locale: string, options: object, make: () => F): F {
  const key = `${locale} ${JSON.stringify(options)}`;
  const held = made.get(key) ?? make();
  made.set(key, held);
  return held as F;
}

const numbers = (options: Intl.NumberFormatOptions = {}): Intl.NumberFormat =>
  kept(language(), options, () => new Intl.NumberFormat(language(), options));

/** Empty for what is no time. */
function written(date: Date, options: Intl.DateTimeFormatOptions, locale = own()): string {
  if (Number.isNaN(date.getTime())) return "";
  return kept(locale, { ...options, date: true }, () => new Intl.DateTimeFormat(locale, options)).format(date);
}

/** The reader's own way of writing times where it speaks the same language (`en-GB` for English), else the language's. */
function own(): string {
  const wanted = typeof navigator === "undefined" ? [] : (navigator.languages ?? []);
  return wanted.find((tag) => tag.split("-")[0] === language()) ?? language();
}

export function whole(amount: number): string {
  return numbers().format(amount);
}

export function tokens(amount: number): string {
  return amount < 10_000 ? whole(amount) : numbers({ notation: "compact", maximumFractionDigits: 1 }).format(amount);
}

/** `denied: reason`, `denied 4 times: reason`. */
export function deniedWords(times: number, reason: string): string {
  const words = times > 1 ? t("words:deniedTimes", { count: times }) : t("words:denied");
  return `${words}${reason === "" ? "" : `: ${reason}`}`;
}

/** What went through, the greater part of it: `2.1 MB down`. */
export function traffic(up: number, down: number): string {
  const parts = [up > down ? t("words:up", { size: bytes(up) }) : "", down > 0 ? t("words:down", { size: bytes(down) }) : ""];
  return parts.filter(Boolean).join(" · ");
}

const fixed = (value: number, digits: number): string =>
  numbers({ minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

/** `850 ms`, `4.2 s`, `3 m 05 s`, `1 h 12 m`: SI units, the same in every language. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 59_950) return `${fixed(ms / 1000, 1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, "0")} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} m`;
}

/** A running clock: whole seconds only, so that it ticks and does not flicker. */
export function elapsed(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return seconds < 60 ? `${seconds} s` : duration(seconds * 1000);
}

const CLOCK: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit" };
const DAY: Intl.DateTimeFormatOptions = { day: "numeric", month: "short" };

export const time = (iso: string): string => written(new Date(iso), CLOCK);

/** To the second. */
export const moment = (iso: string): string => written(new Date(iso), { timeStyle: "medium" });

/** `14:03:27`. */
export const clockSeconds = (iso: string): string => written(new Date(iso), { timeStyle: "medium", hourCycle: "h23" }, language());

/** A day with its year, as the reader's language writes it. */
export const date = (iso: string): string => written(new Date(iso), { dateStyle: "medium" }, language());

/** `27 Nov` of an ISO day. */
export const shortDay = (iso: string): string => written(new Date(`${iso}T12:00:00`), DAY, language());

/** Day and time. */
export const stamp = (iso: string): string => written(new Date(iso), { dateStyle: "medium", timeStyle: "medium" });

export function when(iso: string, now = new Date()): string {
  const date = new Date(iso);
  return written(date, date.toDateString() === now.toDateString() ? CLOCK : DAY);
}

const UNITS = [["day", 86_400], ["hour", 3600], ["minute", 60]] as const;

/** `3 hours ago`; older than a month, the day. */
export function ago(iso: string, now = Date.now()): string {
  const seconds = (Date.parse(iso) - now) / 1000;
  if (Number.isNaN(seconds) || seconds < -30 * 86_400) return date(iso);
  const relative = new Intl.RelativeTimeFormat(language(), { numeric: "auto" });
  const [unit, size] = UNITS.find(([, each]) => -seconds >= each) ?? ["second", 60];
  return unit === "second" ? relative.format(0, "second") : relative.format(Math.trunc(seconds / size), unit);
}

export function bytes(value: number): string {
  let [size, unit] = [value, 0];
  for (; size >= 1000 && unit < 3; unit += 1) size /= 1000;
  return `${size >= 10 || unit === 0 ? whole(Math.round(size)) : fixed(size, 1)} ${["B", "KB", "MB", "GB"][unit]}`;
}

/** US dollars: whole cents, and as much more as a small sum needs to be told from nothing. */
export function money(value: number): string {
  const digits = value > 0 && value < 0.1 ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return numbers({ style: "currency", currency: "USD", ...digits }).format(value);
}
