import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parseSync } from "vite";
import { describe, expect, it } from "vitest";

/** What a person reads comes from the catalogue: `t("…")`, never a literal in the code. */

interface Node {
  type: string;
  start: number;
  [key: string]: unknown;
}

const SRC = join(import.meta.dirname, "../src");
/** Attributes and properties whose value is read or heard. */
const READ = /^(aria-(label|description|roledescription|valuetext|placeholder)|title|placeholder|label|alt|heading|hint|words|sentence|action)$/;
/** Functions whose arguments are. */
const SAYS = /^(toast|count|announce|speak)$/;
/** A sentence wherever it stands: a capital, more words, nothing of a pattern or a path. */
const SENTENCE = /^[A-Z][a-z']+,? [A-Za-z]['\w]*[ ,.:?!]|^[A-Z][a-z']+ [a-z]\w+[.:…?!]?$/;
/** Names, keys and codes, which no language changes. */
const SAME = new Set([
  "kaged", "git", "ctrl", "alt", "esc", "tab", "enter", "shift", "home", "end", "pgup", "pgdn", "del", "ins", "yaml", "json", "utf",
  "english", "deutsch",
]);

/** What stays as it is: what the offline model understands, products, a command, and what only developers meet. */
const AS_IS = new Set([
  "Fix the failing test", "Try to escape", "Connect a model", "Anthropic Messages", "OpenAI Chat Completions", "git init",
  "Revert this chunk", "This part belongs inside a session page.",
]);

const isNode = (value: unknown): value is Node => typeof value === "object" && value !== null && "type" in value;
const nodes = (node: Node): Node[] => Object.values(node).flat().filter(isNode);
const nameOf = (node: unknown): string => {
  if (!isNode(node)) return "";
  return String(node["name"] ?? node["value"] ?? (isNode(node["property"]) ? nameOf(node["property"]) : ""));
};

function foreign(text: string): boolean {
  const words = text.replace(/\S*\/\S*/g, "").match(/\p{L}{2,}/gu) ?? [];
  return words.some((word) => !SAME.has(word.toLowerCase()));
}

/** The literals that an expression may come to; what a call makes of its arguments is the call's own. */
function literals(node: unknown): Node[] {
  if (!isNode(node)) return [];
  switch (node.type) {
    case "Literal":
      return typeof node["value"] === "string" ? [node] : [];
    case "TemplateLiteral":
      return [...(node["quasis"] as Node[]), ...(node["expressions"] as Node[]).flatMap(literals)];
    case "ConditionalExpression":
      return [node["consequent"], node["alternate"]].flatMap(literals);
    case "LogicalExpression":
    case "BinaryExpression":
      return ["===", "!==", "in", "<", ">"].includes(String(node["operator"])) ? [] : [node["left"], node["right"]].flatMap(literals);
    case "ArrayExpression":
      return (node["elements"] as Node[]).flatMap(literals);
    case "JSXExpressionContainer":
      return literals(node["expression"]);
    default:
      return [];
  }
}

const textOf = (node: Node): string => {
  const value = node["value"];
  return typeof value === "string" ? value : String((value as { cooked?: string } | undefined)?.cooked ?? "");
};

function read(node: Node): Node[] {
  switch (node.type) {
    case "JSXText":
      return [node];
    case "JSXElement":
    case "JSXFragment":
      return (node["children"] as Node[]).filter((child) => child.type === "JSXExpressionContainer").flatMap(literals);
    case "JSXAttribute":
      return READ.test(nameOf(node["name"])) ? literals(node["value"]) : [];
    case "Property":
      return READ.test(nameOf(node["key"])) ? literals(node["value"]) : [];
    case "CallExpression":
      return SAYS.test(nameOf(node["callee"])) ? (node["arguments"] as Node[]).slice(0, 1).flatMap(literals) : [];
    case "Literal":
      return SENTENCE.test(textOf(node)) ? [node] : [];
    case "TemplateElement":
      return SENTENCE.test(textOf(node)) ? [node] : [];
    default:
      return [];
  }
}

function untranslated(code: string, name = "code.tsx"): string[] {
  const found = new Map<number, string>();
  const walk = (node: Node): void => {
    for (const literal of read(node)) {
      const text = textOf(literal).trim().replace(/\s+/g, " ");
      if (foreign(text) && !AS_IS.has(text)) found.set(literal.start, text);
    }
    nodes(node).forEach(walk);
  };
  walk(parseSync(name, code).program as unknown as Node);
  return [...found].map(([at, text]) => `${code.slice(0, at).split("\n").length}: ${text}`);
}

describe("what a person reads", () => {
  const files = readdirSync(SRC, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));

  it.each(files.map((path) => relative(SRC, path)))("%s: all of it is in the catalogue", (path) => {
    expect(untranslated(readFileSync(join(SRC, path), "utf8"), path)).toEqual([]);
  });

  it.each([
    ["<p>Hello</p>", "Hello"],
    ['<p>{x ? "yes" : t("a:b")}</p>', "yes"],
    ["<p>{`${n} files`}</p>", "files"],
    ['<a title="Open" />', "Open"],
    ['<a aria-label={"Close " + name} />', "Close"],
    ["<Empty title={x && `No ${y}`} />", "No"],
    ['toast("Saved")', "Saved"],
    ['const all = [{ label: "Stop" }]', "Stop"],
    ['const why = broken ? "The file is gone." : ""', "The file is gone."],
  ])("sees what is not: %s", (code, text) => {
    expect(untranslated(code)).toEqual([`1: ${text}`]);
  });

  it.each(['<p className="big one">{t("a:b")}</p>', "<kbd>Ctrl</kbd>", '<b>{x === "left" ? 1 : 2}</b>', "<p>·</p>", 'go("home")'])(
    "lets be: %s", (code) => {
      expect(untranslated(code)).toEqual([]);
    },
  );
});
