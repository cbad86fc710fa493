import { renderToStaticMarkup } from "react-dom/server";
import { afterAll, describe, expect, it } from "vitest";
import { startLanguage } from "../src/i18n/index.ts";
import { foldAll } from "../src/journal/fold.ts";
import { EMPTY } from "../src/journal/model.ts";
import { asText } from "../src/journal/text.ts";
import { commandIn, wordAt, type Command } from "../src/session/composer/line.ts";
import { filesTouched } from "../src/session/inspector/files.ts";
import { rowNamed } from "../src/session/place.ts";
import { blocksOf, readOn, type Reading } from "../src/text/blocks.ts";
import { pairsOf } from "../src/design/pairs.ts";
import { parseDiff } from "../src/text/diff.ts";
import { bytes, deniedWords, duration, tokens } from "../src/text/format.ts";
import { Markdown } from "../src/text/Markdown.tsx";
import { nextSaying } from "../src/text/speech.ts";
import { Script } from "./frames.ts";

const DOCUMENTS = [
  "# A\n\nText with **bold** and `code`.\n\n- a\n\n2. b\n- c\n  - d\n\n    deep\n\n> quote\nlazy\n\n```py\nx = 1\n\ny = 2\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nend\n===\n",
  "one\n\n    code\n\ntwo\n\n1. x\n\n2. y\n\n3\n\n$$\na + b\n$$\n\nlast $x$ line\n\n---\n\n<div>\n\nhtml\n</div>\n",
  "windows\r\n\r\n- a\r\n- b\r\n\r\n\ttab\r\n\r\n```\r\nc\r\n```\r\nend",
];

describe("a text that grows", () => {
  it.each(DOCUMENTS)("is read on as if it were read whole, at every cut (%#)", (text) => {
    for (const step of [1, 3, 17]) {
      let reading: Reading | null = null;
      for (let cut = 0; cut <= text.length; cut += step) {
        reading = readOn(reading, text.slice(0, cut));
        expect(reading.blocks.map(({ type, raw }) => [type, raw])).toEqual(
          blocksOf(text.slice(0, cut)).map(({ type, raw }) => [type, raw]),
        );
      }
    }
  });

  it("keeps the identity of settled blocks, so that they are not drawn again", () => {
    const before = readOn(null, "# A\n\none\n\ntwo\n\nthree");
    const after = readOn(before, "# A\n\none\n\ntwo\n\nthree and more");
    expect(after.blocks[0]).toBe(before.blocks[0]);
    expect(after.blocks[2]).toBe(before.blocks[2]);
    expect(readOn(after, "something else").blocks).toHaveLength(1);
  });
});

describe("maths and diagrams", () => {
  const html = (text: string) => renderToStaticMarkup(<Markdown text={text} />);
  it("knows formulas, and leaves money and shell variables alone", () => {
    const kinds = (text: string) => JSON.stringify(blocksOf(text)).match(/"type":"(math|display)"/g)?.length ?? 0;
    for (const text of ["$x^2$", "\\(a\\)", "$$\na\n$$", "\\[a\n+b\\]", "so $a_1$, then"]) expect(kinds(text), text).toBe(1);
    for (const text of ["$5 and $6", "from $5-$6", "costs $5", "`$x$`", "echo $HOME and $PATH", "```\n$$a$$\n```"]) expect(kinds(text), text).toBe(0);
  });

  it("shows the source of both until they are drawn", () => {
    expect(html("$x^2$")).toContain("$x^2$");
    expect(html("```mermaid\ngraph TD\n```")).toContain("graph TD");
  });
});

describe("what a screen reader is told", () => {
  it("says whole sentences, each once, and the rest at the end", () => {
    const text = "First one. Second **bold** one! And a th";
    const first = nextSaying(text, 0, false);
    expect(first.words).toBe("First one. Second bold one!");
    expect(nextSaying(`${text}ird`, first.upTo, false).words).toBe("");
    expect(nextSaying(`${text}ird.`, first.upTo, true).words).toBe("And a third.");
  });

  it("leaves code and tables out, also across calls", () => {
    const text = "Look here:\n\n```py\nprint('no.') \nx = 1. \n```\n\n| a | b |\n|---|---|\n\nDone.";
    expect(nextSaying(text, 0, true).words).toBe("Look here: Done.");
    const inside = nextSaying(text, text.indexOf("x = 1"), true);
    expect(inside.words).toBe("Done.");
  });

  it("never says more than can be listened to", () => {
    const flood = Array.from({ length: 500 }, (_, n) => `Sentence number ${n}.`).join(" ");
    const { words, upTo } = nextSaying(flood, 0, true);
    expect(words.length).toBeLessThan(300);
    expect(words).toContain("Sentence number 499.");
    expect(upTo).toBe(flood.length);
  });
});

describe("the composer's words", () => {
  const commands: Command[] = [
    { name: "rename", words: "", argument: "title", run: () => {} },
    { name: "help", words: "", run: () => {} },
  ];
  it("takes a whole line for a command, and a path or a sentence for a message", () => {
    expect(commandIn("/rename  A new name ", commands)).toMatchObject({ command: { name: "rename" }, argument: "A new name" });
    expect(commandIn("/help", commands)?.command.name).toBe("help");
    for (const text of ["/help me with this", "/etc/hosts", "/renamed", "say /help", "/help\nme"]) expect(commandIn(text, commands), text).toBeNull();
  });

  it("finds what is being typed before the caret", () => {
    expect(wordAt("/re", 3)).toEqual({ kind: "command", from: 0, word: "re" });
    expect(wordAt("look at @src/a and", 14)).toEqual({ kind: "file", from: 8, word: "src/a" });
    expect(wordAt("@", 1)).toEqual({ kind: "file", from: 0, word: "" });
    for (const [text, caret] of [["me@example.com", 14], ["a /re", 5], ["@a b", 4]] as const) expect(wordAt(text, caret)).toBeNull();
  });
});

describe("rows by address", () => {
  const script = new Script().begin();
  script.end("m1", [{ kind: "text", text: "hi" }, { kind: "tool_call", call_id: "c1", tool: "ask", args: {} }]).call("c1", "ask", {});
  script.add("attention.required", { attention_id: "A1", run_id: "r1", call_id: "c1", kind: "ask", question: "?", options: [] });
  const transcript = foldAll(EMPTY, script.frames);

  it("stamps each row with the event it began with", () => {
    expect(transcript.items.map(({ kind, seq }) => [kind, seq])).toEqual([["user", 1], ["text", 3], ["tool", 3]]);
  });

  it("finds the question and the number that an address names", () => {
    expect(rowNamed(transcript, { attention: "A1" })?.key).toBe("call:c1");
    expect(rowNamed(transcript, { seq: 2 })?.key).toBe("user:u-r1");
    expect(rowNamed(transcript, { seq: 5 })?.key).toBe("call:c1");
    for (const named of [{}, { seq: 0 }, { attention: "other" }]) expect(rowNamed(transcript, named)).toBeNull();
  });
});

describe("what the inspector counts", () => {
  it("sums the changes of a file, the newest first, without what was rolled back or refused", () => {
    const diff = (path: string) => `--- a/${path}\n+++ b/${path}\n@@ -1 +1,2 @@\n-a\n+b\n+c\n`;
    const script = new Script().begin();
    ["x", "y", "x"].forEach((path, n) => {
      script.end(`m${n}`, [{ kind: "tool_call", call_id: `c${n}`, tool: "file.edit", args: {} }]).call(`c${n}`, "file.edit", {}, `m${n}`);
      script.add("tool.result", { run_id: "r1", call_id: `c${n}`, tool: "file.edit", ok: n < 3, output: "", duration_ms: 1, detail: { diff: diff(path) } });
    });
    const transcript = foldAll(EMPTY, script.frames);
    expect(filesTouched(transcript)).toEqual([
      { path: "x", added: 4, removed: 2, key: "call:c2" },
      { path: "y", added: 2, removed: 1, key: "call:c1" },
    ]);
    expect(filesTouched({ ...transcript, away: new Set(["call:c2"]) })[1]).toMatchObject({ path: "x", added: 2 });
  });

  it("knows how full the context is: the last call, not the sum", () => {
    const script = new Script().begin();
    for (const input of [100, 300]) script.add("usage.recorded", { run_id: "r1", input_tokens: input, output_tokens: 5, cache_read_tokens: 50 });
    expect(foldAll(EMPTY, script.frames)).toMatchObject({ context: 355, usage: { input: 400, output: 10 } });
  });

  it("shows what came with a message, and in the copied text its name", () => {
    const file = { name: "n.txt", type: "text/plain", data: "x" };
    const frames = new Script().add("message.user", { message_id: "u", text: "look", actor: "local", attachments: [file] }).frames;
    const transcript = foldAll(EMPTY, frames);
    expect(transcript.items[0]).toMatchObject({ attachments: [file] });
    expect(asText(transcript)).toContain("*n.txt*");
  });
});

describe("a diff side by side", () => {
  it("sets what went beside what came in its place", () => {
    const [file] = parseDiff("--- a/x\n+++ b/x\n@@ -1,4 +1,4 @@\n same\n-old1\n-old2\n+new1\n same\n+added\n");
    expect(pairsOf(file?.rows ?? []).map(({ before, after }) => [before?.text ?? null, after?.text ?? null])).toEqual([
      ["same", "same"],
      ["old1", "new1"],
      ["old2", null],
      ["same", "same"],
      [null, "added"],
    ]);
  });
});

describe("numbers in the reader's language", () => {
  afterAll(() => startLanguage("en", []));
  it("are English in English and German in German", async () => {
    expect([tokens(12_345), duration(4200), bytes(2_100_000), deniedWords(4, "no")]).toEqual(["12.3K", "4.2 s", "2.1 MB", "denied 4 times: no"]);
    await startLanguage("de", []);
    expect([tokens(9_876), duration(4200), bytes(2_100_000), deniedWords(1234, "nein")]).toEqual(["9.876", "4,2 s", "2,1 MB", "1.234 Mal abgelehnt: nein"]);
  });
});
