import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { draftOf, guess, preferred, serverName } from "../src/shell/provider.ts";
import { parse, pathOf, type Place, PLAIN, SECTIONS, TABS } from "../src/state/router.ts";

const word = fc.string({ minLength: 1, unit: "grapheme" });
const path = fc.array(word.filter((each) => !each.includes("/")), { minLength: 1, maxLength: 4 }).map((all) => all.join("/"));
const nat = fc.nat();
const places: fc.Arbitrary<Place> = fc.oneof(
  fc.constant<Place>({ page: "home" }),
  fc.record({ page: fc.constantFrom(...PLAIN) }),
  fc.record({ page: fc.constant("settings" as const), section: fc.constantFrom(...SECTIONS) }, { requiredKeys: ["page"] }),
  fc.record({ page: fc.constant("terminals" as const), terminal: fc.option(word) }),
  fc.record({ page: fc.constant("project" as const), project: word, tab: fc.constantFrom(...TABS) }, { requiredKeys: ["page", "project"] }),
  fc.record({
    page: fc.constant("project" as const), project: word, tab: fc.constant("files" as const),
    file: fc.record({ path, line: nat }, { requiredKeys: ["path"] }),
  }),
  fc
    .record(
      {
        page: fc.constant("session" as const), project: word, session: word, view: fc.constantFrom("transcript" as const, "terminal" as const),
        terminal: fc.option(word), attention: word, seq: nat,
      },
      { requiredKeys: ["page", "project", "session", "view", "terminal"] },
    )
    .map((place) => (place.view === "transcript" ? { ...place, terminal: null } : place)),
);

describe("router", () => {
  it("finds the way back to every place", () => {
    fc.assert(
      fc.property(places, (place) => {
        expect(parse(pathOf(place))).toEqual(place);
      }),
      { numRuns: 1000 },
    );
  });

  it("knows some place for every address, and shows it under one that leads there again", () => {
    const piece = fc.oneof(fc.constantFrom("projects", "sessions", "terminals", "settings", "files", "models", "?", "seq=1", "%E0"), fc.string());
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 7 }), (pieces) => {
        const place = parse(`/${pieces.join("/")}`);
        expect(parse(pathOf(place))).toEqual(place);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ["/projects/p/files/src/a%20b.ts?line=12", { page: "project", project: "p", tab: "files", file: { path: "src/a b.ts", line: 12 } }],
    ["/projects/p/sessions/s/terminal/t", { page: "session", project: "p", session: "s", view: "terminal", terminal: "t" }],
    ["/projects/p/sessions/s?attention=01A&seq=7", { page: "session", project: "p", session: "s", view: "transcript", terminal: null, attention: "01A", seq: 7 }],
    ["/projects/p/sessions/s?seq=-1", { page: "session", project: "p", session: "s", view: "transcript", terminal: null }],
    ["/models", { page: "settings", section: "models" }],
    ["/system", { page: "settings", section: "system" }],
  ])("reads %s", (path, place) => {
    expect(parse(path)).toEqual(place);
  });

  it.each([
    "/nowhere",
    "/models/x",
    "/settings/x",
    "/constructor",
    "/projects/p/nothing",
    "/projects/p/tasks/x",
    "/projects/p/sessions/s/other",
    "/projects/%E0%A4%A/nothing",
  ])("says that it does not know %s", (path) => {
    expect(parse(path)).toEqual({ page: "lost", path });
  });
});

describe("connecting a model", () => {
  it("guesses the provider from what was pasted", () => {
    expect(guess(" sk-ant-abc ")).toMatchObject({ driver: "anthropic", name: "anthropic" });
    expect(guess("sk-proj-abc")).toMatchObject({ driver: "openai", name: "openai" });
    expect(guess("http://127.0.0.1:11434/v1")).toMatchObject({ kind: "server", name: "ollama" });
    expect(guess("something else")).toBeNull();
  });

  it("names servers as local.toml allows", () => {
    for (const address of [
      "https://api.Example.com/v1",
      "http://[::1]:8000",
      "http://localhost:8000/v1",
      "http://",
      "https://--x--.example.com",
    ]) {
      expect(serverName(address)).toMatch(/^[a-z0-9][a-z0-9-]{0,39}$/);
    }
    expect(serverName("https://api.example.com/v1")).toBe("example-com");
  });

  it("sends an address as an address and a key as a key", () => {
    const empty = { driver: "openai", baseUrl: "", key: "" } as const;
    expect(draftOf({ ...empty, pasted: " http://h:1/v1 " })).toEqual({ driver: "openai", base_url: "http://h:1/v1" });
    expect(draftOf({ ...empty, pasted: "http://h:1/v1", key: " k " })).toEqual({
      driver: "openai",
      base_url: "http://h:1/v1",
      api_key: "k",
    });
    expect(draftOf({ ...empty, pasted: "sk-x", baseUrl: "http://g/v1" })).toEqual({
      driver: "openai",
      base_url: "http://g/v1",
      api_key: "sk-x",
    });
  });

  it("offers a model that can talk", () => {
    expect(preferred(["text-embedding-3", "whisper-1", "llama3"])).toBe("llama3");
    expect(preferred(["nomic-embed"])).toBe("nomic-embed");
    expect(preferred([])).toBe("");
  });
});
