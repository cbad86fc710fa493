import { describe, expect, it } from "vitest";
import { draftOf, guess, preferred, serverName } from "../src/shell/provider.ts";
import { parse, pathOf, type Place } from "../src/state/router.ts";

describe("router", () => {
  const places: Place[] = [
    { page: "home" },
    { page: "project", project: "a b/c" },
    { page: "session", project: "p", session: "01J", view: "transcript", terminal: null },
    { page: "session", project: "p", session: "01J", view: "terminal", terminal: null },
    { page: "session", project: "p", session: "01J", view: "terminal", terminal: "01T" },
    { page: "terminals", terminal: null },
    { page: "terminals", terminal: "01T" },
    { page: "models" },
    { page: "audit" },
    { page: "system" },
  ];
  it.each(places)("finds the way back to %j", (place) => {
    expect(parse(pathOf(place))).toEqual(place);
  });

  it.each([
    "/nowhere",
    "/models/x",
    "/projects/p/sessions",
    "/projects/p/sessions/s/other",
    "/projects/%E0%A4%A/sessions",
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
