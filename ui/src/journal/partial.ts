import { parse } from "partial-json";
import { record } from "./events.ts";

/** A JSON object that is still arriving, as far as it can be read; `{}` when not even that can be. For display only. */
export function partialObject(text: string): Record<string, unknown> {
  try {
    return record(parse(text));
  } catch {
    return {};
  }
}
