import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import de from "../src/i18n/de/index.ts";
import en from "../src/i18n/en/index.ts";
import { chosenLanguage, startLanguage, t } from "../src/i18n/index.ts";
import { bytes, money, stamp } from "../src/text/format.ts";

type Tree = { [key: string]: string | Tree };

const PLURAL = /_(zero|one|two|few|many|other)$/;
const HOLES = /\{\{\s*([\w.]+)/g;

function flat(tree: Tree, under = ""): Map<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of Object.entries(tree)) {
    if (typeof value === "string") found.set(under + key, value);
    else for (const [inner, text] of flat(value, `${under}${key}.`)) found.set(inner, text);
  }
  return found;
}

const holes = (text: string): string[] => [...text.matchAll(HOLES)].map((m) => m[1] ?? "").sort();
const spaces = Object.keys(en) as (keyof typeof en)[];

describe("the catalogue", () => {
  it("has the same namespaces in every language", () => {
    expect(Object.keys(de).sort()).toEqual([...spaces].sort());
    for (const lang of ["en", "de"]) {
      const files = readdirSync(join(import.meta.dirname, "../src/i18n", lang)).filter((name) => name.endsWith(".json"));
      expect(files.map((name) => name.replace(".json", "")).sort()).toEqual([...spaces].sort());
    }
  });

  it.each(spaces)("%s: every key is translated, with the same holes", (space) => {
    const english = flat(en[space]);
    const german = flat(de[space]);
    const base = (keys: Iterable<string>): string[] => [...new Set([...keys].map((key) => key.replace(PLURAL, "")))].sort();
    expect(base(german.keys())).toEqual(base(english.keys()));
    for (const [key, text] of german) {
      const source = english.get(key) ?? english.get(key.replace(PLURAL, "_other"));
      expect(text, key).not.toBe("");
      expect(holes(text), `${space}:${key}`).toEqual(holes(source ?? ""));
    }
  });

  it("holds no key that nothing asks for", () => {
    const root = join(import.meta.dirname, "../src");
    const code = readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8"))
      .join("\n");
    const asked = (space: string, key: string): boolean => {
      const name = `${space}:${key.replace(PLURAL, "")}`;
      // A key whose last part is computed is written t(`space:group.${name}`).
      const group = name.slice(0, Math.max(name.lastIndexOf("."), name.indexOf(":")) + 1);
      return code.includes(`"${name}"`) || code.includes(`\`${group}\${`);
    };
    const dead = spaces.flatMap((space) => [...flat(en[space]).keys()].filter((key) => !asked(space, key)).map((key) => `${space}:${key}`));
    expect(dead).toEqual([]);
  });
});

describe("the language", () => {
  it.each([
    ["de", ["en-GB"], "de"],
    [null, ["fr-FR", "de-AT", "en"], "de"],
    [null, ["fr"], "en"],
    ["xx", [], "en"],
  ] as const)("kept %s and browser %s make %s", (kept, wanted, expected) => {
    expect(chosenLanguage(kept, wanted)).toBe(expected);
  });

  it("speaks German when asked", async () => {
    await startLanguage("de", []);
    expect(t("common:cancel")).toBe("Abbrechen");
    expect([1, 1200].map((count) => t("words:connections", { count }))).toEqual(["1 Verbindung", "1.200 Verbindungen"]);
    expect([bytes(1_234_000), money(1234.5), stamp("2027-03-01T12:00:00Z").slice(0, 10)]).toEqual(["1,2 MB", "1.234,50\u00a0$", "01.03.2027"]);
    await startLanguage("en", []);
    expect(t("common:cancel")).toBe("Cancel");
    expect([1, 1200].map((count) => t("words:connections", { count }))).toEqual(["1 connection", "1,200 connections"]);
  });
});
