import { list, num, record, str } from "./events.ts";

/** A tool call that waits to be approved: what it is, whose rule asks, what speaks against it. */
export interface Approval {
  tool: string; rule: string;
  /** The command or path; of a long one its beginning, `more` counts the characters that are left out. */
  subject: string;
  more: number; diff: string;
  /** 0 (nothing known) to 3. */
  level: number;
  words: string[];
  /** Why it is asked again. */
  why: string;
  expiresAt: string;
}

export const ONCE = "approve once";
export const DENY = "deny";

/** Null for what is no such call: a question, a connection. */
export function approvalOf(value: unknown): Approval | null {
  const data = record(value);
  if (str(data, "tool") === "") return null;
  const risk = record(data["risk"]);
  return {
    tool: str(data, "tool"),
    rule: str(data, "rule"),
    subject: str(data, "subject"),
    more: num(data, "more"),
    diff: str(data, "diff"),
    level: num(risk, "level"),
    words: list(risk, "words").filter((word) => typeof word === "string"),
    why: str(data, "why"),
    expiresAt: str(data, "expires_at"),
  };
}
