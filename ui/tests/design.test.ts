import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ApiError } from "../src/api/http.ts";
import { troubleOf } from "../src/design/loaded.ts";
import { pairsOf } from "../src/design/pairs.ts";
import { deskOf } from "../src/pages/desk.ts";
import { matching } from "../src/shell/matching.ts";
import { parseDiff } from "../src/text/diff.ts";
import type { Project, Question, Session } from "../src/api/types.ts";
import { contrast, distance, eyes, rgb } from "./colour.ts";

const SRC = join(import.meta.dirname, "../src");
const TOKENS = join(SRC, "styles/tokens.css");
const styles = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith(".css"))
  .map((entry) => join(entry.parentPath, entry.name));
const text = (path: string): string => readFileSync(path, "utf8").replace(/\/\*[\s\S]*?\*\//g, "");

/** Every colour token in both themes. */
const tokens = new Map<string, [light: string, dark: string]>();
for (const [, name = "", light = "", dark] of text(TOKENS).matchAll(/--([\w-]+): (?:light-dark\()?(#\w{6})(?:, (#\w{6})\))?;/g))
  tokens.set(name, [light, dark ?? light]);

const of = (name: string, theme: 0 | 1): ReturnType<typeof rgb> => {
  const found = tokens.get(name);
  if (found === undefined) throw new Error(`tokens.css has no colour --${name}`);
  return rgb(found[theme]);
};
const THEMES = [["light", 0], ["dark", 1]] as const;
const LAYERS = ["bg", "bg-rail", "surface", "surface-2", "raised"] as const;

describe("colours", () => {
  it.each(styles.filter((path) => path !== TOKENS))("%s names none itself", (path) => {
    const raw = /#[0-9a-f]{3,8}\b|\b(?:rgba?|hsla?|hwb|lab|lch|oklab|oklch)\(|:[^;{]*\b(?:white|black|red|green|blue|gr[ae]y|orange|yellow)\b/gi;
    const values = text(path).match(/:[^;{}]+;/g) ?? [];
    expect(values.flatMap((value) => value.match(raw) ?? [])).toEqual([]);
  });

  it("of tokens in use exist", () => {
    const known = new Set([...text(TOKENS).matchAll(/--([\w-]+):/g)].map((match) => match[1]));
    const local = ["room", "keyboard"]; // Set by code, on the element itself.
    const used = styles.flatMap((path) => [...text(path).matchAll(/var\(--([\w-]+)/g)].map((match) => match[1] ?? ""));
    expect(used.filter((name) => !known.has(name) && !local.includes(name))).toEqual([]);
  });

  const pairs: [string, string][] = [
    ...LAYERS.flatMap((layer) => ["text", "text-2", "text-3", "accent-text", "ok", "bad"].map((name): [string, string] => [name, layer])),
    ["text", "surface-3"], ["text-2", "surface-3"], ["on-accent", "accent"], ["on-accent", "accent-hover"],
    ["accent-text", "accent-soft"], ["text", "accent-soft"], ["text-2", "accent-soft"], ["ok", "ok-soft"], ["text", "ok-soft"],
    ["bad", "bad-soft"], ["text", "bad-soft"], ["text", "code-bg"], ["text-3", "code-bg"],
    ...Array.from({ length: 16 }, (_, at): [string, string] => [`ansi-${at}`, "code-bg"]),
  ];
  it.each(THEMES)("of text are AA on every ground it stands on, %s", (_name, theme) => {
    const low = pairs
      .map(([front, back]) => [`${front} on ${back}`, contrast(of(front, theme), of(back, theme))] as const)
      .filter(([, ratio]) => ratio < 4.5);
    expect(low).toEqual([]);
  });

  it.each(THEMES)("of focus and plots stand out from every layer, %s", (_name, theme) => {
    const marks = ["focus", ...Array.from({ length: 6 }, (_, at) => `chart-${at + 1}`)];
    const low = marks.flatMap((mark) => LAYERS.map((layer) => [mark, layer, contrast(of(mark, theme), of(layer, theme))] as const))
      .filter(([mark, layer, ratio]) => ratio < 3 && (mark === "focus" || layer === "bg" || layer === "surface"));
    expect(low).toEqual([]);
  });

  it.each(THEMES)("of plots are apart for every kind of eye, %s", (_name, theme) => {
    const series = Array.from({ length: 6 }, (_, at) => of(`chart-${at + 1}`, theme));
    for (const eye of eyes)
      series.forEach((one, at) =>
        series.slice(at + 1).forEach((two, after) => {
          expect(distance(one, two, eye), `${eye}: ${at + 1} and ${at + after + 2}`).toBeGreaterThan(0.1);
        }),
      );
  });
});

describe("trouble", () => {
  it.each([
    [new ApiError(0, "offline", "…"), "offline"],
    [new ApiError(403, "forbidden", "…"), "forbidden"],
    [new ApiError(404, "not_found", "…"), "missing"],
    [new ApiError(500, "internal", "…"), "error"],
    [new TypeError("…"), "error"],
  ] as const)("%o is told as %s", (problem, kind) => {
    expect(troubleOf(problem)).toBe(kind);
  });
});

describe("a diff side by side", () => {
  const rows = parseDiff("--- a/x\n+++ b/x\n@@ -1,5 +1,5 @@\n a\n-b\n-c\n+B\n d\n+e\n-f\n@@ -9 +9 @@\n-g\n+G\n+H\n")[0]?.rows ?? [];

  it("has every line of both sides, in order", () => {
    const pairs = pairsOf(rows);
    expect(pairs.flatMap(({ before }) => before ?? [])).toEqual(rows.filter(({ kind }) => kind !== "add"));
    expect(pairs.flatMap(({ after }) => after ?? [])).toEqual(rows.filter(({ kind }) => kind !== "del"));
  });

  it("sets a changed line beside what it became", () => {
    const words = pairsOf(rows).map(({ before, after }) => [before?.text ?? null, after?.text ?? null]);
    expect(words).toContainEqual(["b", "B"]);
    expect(words).toContainEqual(["c", null]);
    expect(words).toContainEqual(["g", "G"]);
    expect(words).toContainEqual([null, "H"]);
  });
});

const session = (id: string, more: Partial<Session> = {}): Session => ({
  id, project: "shop", title: id, state: "idle", run: null, head: 0, created_at: "", updated_at: id, created_by: "", workspace: "project", ...more,
});
const run = (state: string): Session["run"] => ({ id: "r", state, model: null, provider: null });
const desk = (items: Session[], attention: Partial<Question>[] = []): ReturnType<typeof deskOf> =>
  deskOf({ sessions: { shop: { items, next: null } }, attention: attention as Question[] });

describe("the desk", () => {
  it("is fresh until something ran", () => {
    expect(desk([session("1")]).fresh).toBe(true);
    expect(desk([]).fresh).toBe(true);
    expect(desk([session("1", { run: run("succeeded") })]).fresh).toBe(false);
    expect(desk([session("1", { state: "queued" })]).fresh).toBe(false);
  });

  it("tells of each session once, the newest first", () => {
    const { running, ended } = desk(
      [
        session("1", { state: "running", run: run("running") }), session("2", { run: run("failed") }),
        session("3", { state: "waiting", run: run("waiting") }), session("4", { run: run("succeeded") }), session("5"),
        session("6", { state: "queued" }), session("7", { run: run("interrupted") }),
      ],
      [{ session: "3" }, { session: "7" }],
    );
    expect(running.map(({ id }) => id)).toEqual(["6", "1"]);
    expect(ended.map(({ id }) => id)).toEqual(["4", "2"]);
  });
});

describe("the search of the rail", () => {
  const projects = [{ slug: "shop" }, { slug: "bread" }, { slug: "new" }] as Project[];
  const sessions = { shop: { items: [session("Fix the till"), session("Paint")], next: "x" }, bread: { items: [session("Bake")], next: null } };
  const names = (wanted: string): string[] =>
    matching(projects, sessions, wanted).map(({ project, page }) => `${project.slug}: ${page?.items.map(({ title }) => title).join(", ")}`);

  it.each([
    ["", ["shop: Fix the till, Paint", "bread: Bake", "new: undefined"]],
    ["new", ["new: undefined"]],
    ["TILL fix", ["shop: Fix the till"]],
    ["shop", ["shop: Fix the till, Paint"]],
    ["shop paint", ["shop: Paint"]],
    ["nothing", []],
  ])("%o finds %o", (wanted, expected) => {
    expect(names(wanted)).toEqual(expected);
  });
});
