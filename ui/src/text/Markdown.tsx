import type { Token, Tokens } from "marked";
import { Fragment, lazy, memo, type ReactNode, Suspense, useCallback, useRef, useState } from "react";
import { Code, CodeBlock } from "../design/CodeBlock.tsx";
import { t } from "../i18n/index.ts";
import { blocksOf, readOn, type Reading } from "./blocks.ts";
import { decodeEntities } from "./entities.ts";
import { safeHref } from "./links.ts";

const Formula = lazy(() => import("./Formula.tsx"));
const Diagram = lazy(() => import("./Diagram.tsx"));

/**
 * Markdown from a model. Tokens become React elements directly: there is no HTML on the way, so nothing in the
 * text can become markup. Raw HTML shows as the text it is; images become links, nothing is ever fetched.
 * While a text streams, settled blocks are neither read nor rendered again.
 */
export const Markdown = memo(function Markdown({ text, streaming = false }: { text: string; streaming?: boolean }): ReactNode {
  const reading = useRef<Reading | null>(null);
  // Once it is whole it is read whole: what a link at its end refers to may stand at its beginning.
  if (reading.current?.text !== text || !streaming) {
    reading.current = streaming ? readOn(reading.current, text) : { text, blocks: blocksOf(text) };
  }
  const { blocks } = reading.current;
  return (
    <div className="md">
      {blocks.map((token, index) => (
        // Blocks only ever grow at the end, so their position is their identity.
        <Block key={index} raw={token.raw} token={token} open={streaming && index === blocks.length - 1} />
      ))}
    </div>
  );
});

const Block = memo(
  function Block({ token, open }: { raw: string; token: Token; open: boolean }): ReactNode {
    return open && token.type === "code" ? <GrowingCode token={token as Tokens.Code} /> : block(token);
  },
  (before, after) => before.raw === after.raw && before.open === after.open,
);

const PIECE = 40;

/** Code that still comes: coloured in pieces, so that a long file costs no more with each line of it. */
function GrowingCode({ token }: { token: Tokens.Code }): ReactNode {
  const name = (token.lang ?? "").split(/[\s,{]/, 1)[0]?.toLowerCase() ?? "";
  const lines = token.text.split("\n");
  const piece = (at: number): string => lines.slice(at * PIECE, (at + 1) * PIECE).join("\n");
  return (
    <div className="code-block">
      <div className="code-bar">
        <span>{name || t("words:text")}</span>
      </div>
      <pre>
        {Array.from({ length: Math.ceil(lines.length / PIECE) }, (_, at) => (
          <Fragment key={at}>
            {at > 0 ? "\n" : ""}
            <Code text={piece(at)} language={name} />
          </Fragment>
        ))}
      </pre>
    </div>
  );
}

/** A formula; as it was written until it is drawn, and for good when it cannot be. */
function Maths({ text, raw, block = false }: { text: string; raw: string; block?: boolean }): ReactNode {
  const [failed, setFailed] = useState("");
  const onError = useCallback((why: string) => setFailed(why), []);
  const written = <code title={failed || undefined}>{raw.trim()}</code>;
  if (failed !== "") return written;
  return (
    <Suspense fallback={written}>
      <Formula text={text} block={block} onError={onError} />
    </Suspense>
  );
}

function children(tokens: Token[] | undefined, render: (token: Token) => ReactNode): ReactNode {
  return tokens?.map((token, index) => <Fragment key={index}>{render(token)}</Fragment>);
}

function block(token: Token): ReactNode {
  const { tokens } = token as Tokens.Generic;
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "hr":
      return <hr />;
    case "heading":
      return heading(token as Tokens.Heading);
    case "code":
      return code(token as Tokens.Code);
    case "display":
      return <Maths text={token["text"] as string} raw={token.raw} block />;
    case "blockquote":
      return <blockquote>{children(tokens, block)}</blockquote>;
    case "list":
      return list(token as Tokens.List);
    case "table":
      return table(token as Tokens.Table);
    case "paragraph":
      return <p>{children(tokens, inline)}</p>;
    case "text":
      return tokens === undefined ? inline(token) : children(tokens, inline);
    default:
      return <p>{token.raw}</p>;
  }
}

function code({ text, lang = "" }: Tokens.Code): ReactNode {
  const plain = <CodeBlock text={text} language={lang} />;
  if (lang.trim().toLowerCase() !== "mermaid") return plain;
  return (
    <Suspense fallback={plain}>
      <Diagram text={text} />
    </Suspense>
  );
}

function heading(token: Tokens.Heading): ReactNode {
  // The page has its own h1; a model's headings start below it.
  const Tag = token.depth <= 1 ? "h2" : token.depth === 2 ? "h3" : "h4";
  return <Tag className={`md-h${token.depth}`}>{children(token.tokens, inline)}</Tag>;
}

function list(token: Tokens.List): ReactNode {
  const items = token.items.map((item, index) => (
    <li key={index} className={item.task ? "md-task" : undefined}>
      {item.task ? <input type="checkbox" checked={item.checked === true} readOnly disabled /> : null}
      {children(item.tokens.filter((part) => part.type !== "checkbox"), block)}
    </li>
  ));
  if (!token.ordered) return <ul>{items}</ul>;
  return <ol start={typeof token.start === "number" ? token.start : 1}>{items}</ol>;
}

function table(token: Tokens.Table): ReactNode {
  const cell = (entry: Tokens.TableCell, index: number): ReactNode => {
    const Tag = entry.header ? "th" : "td";
    return (
      <Tag key={index} className={entry.align === null ? undefined : `md-${entry.align}`}>
        {children(entry.tokens, inline)}
      </Tag>
    );
  };
  return (
    <div className="md-table">
      <table>
        <thead>
          <tr>{token.header.map(cell)}</tr>
        </thead>
        <tbody>{token.rows.map((row, index) => <tr key={index}>{row.map(cell)}</tr>)}</tbody>
      </table>
    </div>
  );
}

function inline(token: Token): ReactNode {
  const { type: Tag, text, href, tokens } = token as Tokens.Generic & { text: string; href: string };
  switch (Tag) {
    case "strong":
    case "em":
    case "del":
      return <Tag>{children(tokens, inline)}</Tag>;
    case "math":
      return <Maths text={text} raw={token.raw} />;
    case "codespan":
      return <code>{text}</code>;
    case "br":
      return <br />;
    case "link":
      return link(href, children(tokens, inline));
    case "image":
      return link(href, t("words:image", { name: text || href }));
    case "text":
    case "escape":
      return tokens === undefined ? decodeEntities(text) : children(tokens, inline);
    default:
      return token.raw;
  }
}

function link(href: string, label: ReactNode): ReactNode {
  const safe = safeHref(href);
  if (safe === null) return <span title={href}>{label}</span>;
  return (
    <a href={safe} target="_blank" rel="noopener noreferrer nofollow" title={safe}>
      {label}
    </a>
  );
}
