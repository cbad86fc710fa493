import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";
import { safeHref } from "../src/text/links.ts";
import { Markdown } from "../src/text/Markdown.tsx";

const html = (text: string) => renderToStaticMarkup(<Markdown text={text} />);

describe("Markdown", () => {
  it("renders what models write", () => {
    const out = html(
      "# Title\n\nSome **bold** and `code` & more.\n\n- one\n- [x] two\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n> quote\n\n1. first\n",
    );
    for (const part of [
      "<h2",
      "<strong>bold</strong>",
      "<code>code</code>",
      "<li>",
      'type="checkbox"',
      "<table>",
      "<blockquote>",
      "<ol",
    ]) {
      expect(out).toContain(part);
    }
  });

  it("shows raw HTML as the text it is", () => {
    const out = html(
      'Hi <img src=x onerror=alert(1)> <b>x</b>\n\n<script>alert(1)</script>\n\n<iframe src="//example.com"></iframe>',
    );
    expect(out).not.toMatch(/<(img|script|iframe|b)\b/);
    expect(out).toContain("&lt;script&gt;");
  });

  it("turns images into links and fetches nothing", () => {
    const out = html("![chart](https://example.com/a.png?secret=1)\n\n![][r]\n\n[r]: https://example.com/b.png");
    expect(out).not.toContain("<img");
    expect(out).not.toMatch(/\bsrc(set)?=/);
    expect(out).toContain('href="https://example.com/a.png?secret=1"');
    expect(out).toContain('rel="noopener noreferrer nofollow"');
  });

  it.each([
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "/relative",
    "\u0001javascript:x",
  ])("makes no link of %j", (href) => {
    expect(safeHref(href)).toBeNull();
    expect(html(`[x](<${href}>)`)).not.toContain("<a");
  });

  it("survives every prefix of a document, as it streams", () => {
    const text =
      "## A\n\n```python\nprint('<b>')\n```\n\n| a |\n|---|\n| **b** |\n\n- [link](https://example.com) _x_\n  1. y\n";
    for (let cut = 0; cut <= text.length; cut++) expect(html(text.slice(0, cut))).toContain('class="md"');
  });
});
