import de from "../i18n/de/notifications.json";
import en from "../i18n/en/notifications.json";

/** What a push message says (docs/adr/0010): which question, never what it asks. */
export interface Message {
  kind: "ask" | "checkpoint" | "approval_gate" | "network" | "closed" | "test";
  id: string;
  project?: string;
  title?: string;
  /** Below the console's root. */
  url?: string;
}

interface Note {
  title: string;
  body: string;
  /** One question has one notification: a later message takes the place of an earlier one. */
  tag: string;
  quiet: boolean;
  url: string;
}

/** A notification in the reader's language: t(`notifications:push.${kind}`), which no worker has. Pure. */
export function noteOf(message: Message, language: string): Note {
  const words = (language === "de" ? de : en).push;
  const { kind, id, project = "", title = "", url = "" } = message;
  const quiet = kind === "closed";
  return { title: words[kind], body: [title, project].filter(Boolean).join(" · "), tag: id, quiet, url };
}
