import { expect, it } from "vitest";
import { EMPTY, type Item, type Transcript } from "../src/journal/model.ts";
import { trimmed } from "../src/offline/trim.ts";

const item = (key: string, size: number): Item => ({ kind: "user", key, at: "", text: "x".repeat(size), actor: "a", steered: false, attachments: [] });
const keys = (transcript: Transcript | undefined): string[] | undefined => transcript?.items.map(({ key }) => key);

it("keeps the end of a transcript and never more than asked for", () => {
  const whole = { ...EMPTY, items: Array.from({ length: 50 }, (_, index) => item(`k${index}`, 100)) };
  const short = trimmed(whole, 1000);
  expect(JSON.stringify(short.items).length).toBeLessThanOrEqual(1100);
  expect(keys(short)?.at(-1)).toBe("k49");
  expect(keys(trimmed(whole))).toHaveLength(50);
  expect(trimmed(whole, 1000).seq).toBe(whole.seq);
  expect(keys(trimmed({ ...EMPTY, items: [item("huge", 5000)] }, 1000))).toEqual([]);
});

it("gives sub-agents what is left", () => {
  const agent = { ...EMPTY, items: [item("a1", 300), item("a2", 300)] };
  const short = trimmed({ ...EMPTY, items: [item("own", 300)], agents: { r: agent } }, 800);
  expect(keys(short)).toEqual(["own"]);
  expect(keys(short.agents["r"])).toEqual(["a2"]);
});
