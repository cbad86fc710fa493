import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const SRC = join(import.meta.dirname, "../src");
const files = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name));
const code = files.filter((path) => /\.tsx?$/.test(path));

describe("the house", () => {
  it.each(code)("%s hands no text to the HTML parser or to eval", (path) => {
    const text = readFileSync(path, "utf8");
    expect(text).not.toMatch(
      /dangerouslySetInnerHTML|\.(inner|outer)HTML\b|insertAdjacentHTML|document\.write|\beval\(|new Function\(/,
    );
    expect(text).not.toMatch(/: any\b|as any\b|@ts-(ignore|nocheck|expect-error)|console\.\w+\(/);
  });

  it("writes numbers and times in one place, which knows the reader's language", () => {
    const own = code.filter((path) => /\bIntl\.|toLocale(Date|Time)?String/.test(readFileSync(path, "utf8")));
    expect(own.map((path) => path.split("/src/")[1])).toEqual(["text/format.ts"]);
  });

  it("names no other host, in code or styles", () => {
    for (const path of files) {
      const found = readFileSync(path, "utf8").match(/https?:\/\/[\w.-]+/g) ?? [];
      const foreign = found.filter((url) => !/127\.0\.0\.1|www\.w3\.org/.test(url));
      expect(foreign, path).toEqual([]);
    }
  });

  it.each(files)("%s stays small", (path) => {
    expect(readFileSync(path, "utf8").split("\n").length).toBeLessThanOrEqual(500);
  });
});
