import { describe, expect, it } from "vitest";
import { newTool, withOutput } from "../src/journal/draft.ts";
import { parseAnsi } from "../src/text/ansi.ts";
import { parseDiff } from "../src/text/diff.ts";
import { decodeEntities } from "../src/text/entities.ts";
import { bytes, duration, elapsed } from "../src/text/format.ts";
import { highlight } from "../src/text/highlight.ts";
import { groupHits } from "../src/text/hits.ts";
import { numbered } from "../src/text/numbered.ts";
import { shellText } from "../src/text/shell.ts";
import { languageOf, spansOf } from "../src/text/spans.ts";

const plain = (text: string) => parseAnsi(text).map((line) => line.map((run) => run.text).join(""));

describe("parseAnsi", () => {
  it("reads the colours programs use", () => {
    const [line] = parseAnsi("\u001b[1;31mred\u001b[0m \u001b[38;5;208mo\u001b[48;2;1;2;3mb\u001b[m.\u001b[92mg");
    expect(line?.map((run) => [run.text, run.style.fg, run.style.bg, run.style.bold])).toEqual([
      ["red", 1, null, true],
      [" ", null, null, false],
      ["o", "#ff8700", null, false],
      ["b", "#ff8700", "#010203", false],
      [".", null, null, false],
      ["g", 10, null, false],
    ]);
  });

  it("draws over a line after a carriage return, and erases to its end", () => {
    expect(plain("10%\r20%\r100%\n")).toEqual(["100%"]);
    expect(plain("long line\rhi\u001b[K\n")).toEqual(["hi"]);
    expect(plain("ab\bc\n")).toEqual(["ac"]);
    expect(plain("a\tb")).toEqual(["a       b"]);
    expect(plain("win\r\nunix\n\nend")).toEqual(["win", "unix", "", "end"]);
  });

  it("drops titles, clipboard writes, queries and half a sequence at the end", () => {
    expect(plain("\u001b]0;title\u0007a\u001b]52;c;Zm9v\u001b\\b\u001b[?25lc\u001b(Bd\u001b[3")).toEqual(["abcd"]);
    expect(plain("odd \u001b[3\u0001 one\nnext\n")).toEqual(["odd [3 one", "next"]);
    expect(plain("smile 😀!\n")).toEqual(["smile 😀!"]);
  });

  it("carries a style over lines", () => {
    const lines = parseAnsi("\u001b[32mone\ntwo\u001b[0m\n");
    expect(lines.map((line) => line[0]?.style.fg)).toEqual([2, 2]);
  });
});

describe("parseDiff", () => {
  it("keeps what git says between two files out of both", () => {
    const header = "diff --git a/y b/y\nnew file mode 100644\nindex 0000000..975fbec\n--- /dev/null\n+++ b/y\n";
    const files = parseDiff(`--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n${header}@@ -0,0 +1 @@\n+y\n`);
    expect(files.map((file) => [file.path, file.rows.length])).toEqual([
      ["x", 2],
      ["y", 1],
    ]);
  });

  it("numbers lines on both sides and marks the gap between hunks", () => {
    const [file, ...rest] = parseDiff(
      "--- a/x.py\n+++ b/x.py\n@@ -3,3 +3,3 @@ def f():\n same\n-old\n+new\n same\n@@ -20 +20,2 @@\n k\n+--- not a header\n\\ No newline at end of file\n",
    );
    expect(rest).toEqual([]);
    expect(file).toMatchObject({ path: "x.py", added: 2, removed: 1 });
    expect(file?.rows.map((row) => [row.kind, row.before, row.after])).toEqual([
      ["same", 3, 3],
      ["del", 4, null],
      ["add", null, 4],
      ["same", 5, 5],
      ["gap", null, null],
      ["same", 20, 20],
      ["add", null, 21],
    ]);
  });

  it("knows new and deleted files, several of them, and nothing", () => {
    const files = parseDiff(
      "--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+hi\n--- a/old.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-bye\n",
    );
    expect(files.map((file) => file.path)).toEqual(["new.txt", "old.txt"]);
    expect(parseDiff("no diff at all")).toEqual([]);
  });
});

describe("tool results", () => {
  it("groups search hits by file, context lines included", () => {
    expect(groupHits("a.py:3: x = 1\na.py-4- y\nb.py:10: z\n[only the first 2 matching lines are shown]")).toEqual([
      {
        path: "a.py",
        hits: [
          { line: 3, text: "x = 1" },
          { line: 4, text: "y" },
        ],
      },
      { path: "b.py", hits: [{ line: 10, text: "z" }] },
    ]);
    expect(groupHits("No matches.")).toBeNull();
  });

  it("takes line numbers out of a file that was read", () => {
    expect(numbered("     9\tdef f():\n    10\t\treturn 1\n[lines 9 to 10 of 40; go on with offset=11]")).toEqual([
      { number: 9, text: "def f():" },
      { number: 10, text: "\treturn 1" },
    ]);
    expect(numbered("a folder/ holds 3 entries:\nx\ny")).toBeNull();
  });

  it("prefers the live output, and the result when that is all there is", () => {
    const item = { ...newTool("c", "shell", "r", "m", 0), result: "done\n[Exit status 0.]", detail: { bytes: 5 } };
    expect(shellText(withOutput(item, "\u001b[32mdone\n"))).toEqual({ text: "\u001b[32mdone\n", ended: "" });
    expect(shellText(item)).toEqual({ text: "done", ended: "" });
    expect(shellText({ ...withOutput(item, "x"), detail: { bytes: 9_000_000 } })).toEqual({ text: "done", ended: "" });
    expect(shellText({ ...item, result: "(no output)\n[Exit status 0.]" })).toEqual({ text: "", ended: "" });
  });

  it("keeps how a command ended when that is more than a number", () => {
    const item = newTool("c", "shell", "r", "m", 0);
    const result =
      "a\nThe whole output is in /tmp/x (in the cage).\n[Killed: the cage's memory limit was reached.]\ncage: No network.";
    const detail = { bytes: 1, output_note: "The whole output is in /tmp/x (in the cage)." };
    expect(shellText({ ...item, result, detail })).toEqual({
      text: "a",
      ended: "Killed: the cage's memory limit was reached.",
    });
  });
});

describe("highlighting", () => {
  it("comes out as spans whose text is the source, whatever the source holds", () => {
    const source = 'def f(a: str) -> str:\n    return f"<b>&amp;{a}</b>" # <script>alert(1)</script>\n';
    const spans = spansOf(highlight(source, "python") ?? "");
    expect(spans.map((span) => span.text).join("")).toBe(source);
    expect(spans.some((span) => span.className.includes("hljs-keyword"))).toBe(true);
  });

  it("knows languages by a file's ending only", () => {
    expect([languageOf("src/a.py"), languageOf("x.YML"), languageOf("Makefile")]).toEqual(["py", "yml", ""]);
    expect(highlight("x", "klingon")).toBeNull();
  });

  it("decodes references and leaves the rest", () => {
    expect(decodeEntities("&lt;a&gt; &amp;amp; &#39;&#x41; &nope; &#99999999;")).toBe(
      "<a> &amp; 'A &nope; &#99999999;",
    );
  });
});

describe("format", () => {
  it("says durations, sizes and numbers as people do", () => {
    expect([duration(8), duration(1234), duration(59_960), duration(185_000), duration(4_320_000)]).toEqual([
      "8 ms",
      "1.2 s",
      "1 m 00 s",
      "3 m 05 s",
      "1 h 12 m",
    ]);
    expect([elapsed(-5), elapsed(4900), elapsed(75_000)]).toEqual(["0 s", "4 s", "1 m 15 s"]);
    expect([bytes(900), bytes(1500), bytes(2_400_000)]).toEqual(["900 B", "1.5 KB", "2.4 MB"]);
  });
});
