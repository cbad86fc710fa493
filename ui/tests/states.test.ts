import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Frame } from "../src/journal/events.ts";
import { fold, foldAll } from "../src/journal/fold.ts";
import { EMPTY, type Transcript } from "../src/journal/model.ts";

/** Journals that the daemon's own store made, with the states it had after each event (tests/sessions/test_states.py). */
type Recorded = [type: string, data: Record<string, unknown>, runs: Record<string, string>, session: string][];
const journals: Recorded[] = JSON.parse(readFileSync(new URL("states.json", import.meta.url), "utf-8"));

const states = (transcript: Transcript): Record<string, string> =>
  Object.fromEntries(
    Object.values(transcript.runs).map(({ id, state }) => [id, state === "success" ? "succeeded" : state]),
  );

test.each(journals.map((journal, number) => [number, journal] as const))("journal %i", (_, journal) => {
  const frames: Frame[] = journal.map(([type, data], index) => ({ channel: "s", seq: index + 1, at: "", type, data }));
  let transcript = EMPTY;
  journal.forEach(([type, , runs, session], index) => {
    transcript = fold(transcript, frames[index] as Frame);
    expect(states(transcript), `after event ${index + 1}, ${type}`).toEqual(runs);
    expect([transcript.archived, transcript.queued]).toEqual([session === "archived", session === "queued"]);
  });
  expect(states(foldAll(EMPTY, frames))).toEqual(states(transcript));
});

test("they visit every state", () => {
  const seen = new Set(journals.flatMap((journal) => journal.flatMap(([, , runs]) => Object.values(runs))));
  expect([...seen].sort()).toEqual(["cancelled", "failed", "interrupted", "running", "succeeded", "waiting"]);
});
