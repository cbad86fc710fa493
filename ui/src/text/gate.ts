import { t } from "../i18n/index.ts";

export const ALWAYS = "always allow";

/** The gate's answers in the reader's language; the daemon is given them as they stand. */
const OPTIONS = {
  "allow once": "session:gate.once", "allow for this session": "session:gate.session", [ALWAYS]: "session:gate.always",
  deny: "session:gate.deny",
} as const;

export const optionWords = (option: string): string => (option in OPTIONS ? t(OPTIONS[option as keyof typeof OPTIONS]) : option);
