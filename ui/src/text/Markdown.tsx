import { lexer, type Token, type Tokens } from "marked";
import { Fragment, memo, type ReactNode, useMemo } from "react";
import { CodeBlock } from "../design/CodeBlock.tsx";
import { decodeEntities } from "./entities.ts";
import { safeHref } from "./links.ts";

/**
 * Markdown from a model. Tokens become React elements directly: there is no HTML on the way, so nothing in the
 * text can become markup. Raw HTML shows as the text it is; images become links, nothing is ever fetched.
 * Blocks that did not change are not rendered again while the last one grows.
 */
export const Markdown = memo(function Markdown({ text }: { text: string }): ReactNode {
  const tokens = useMemo(() => lexer(text, { gfm: true }), [text]);
  return (
    <div className="md">
      {tokens.map((token, index) => (
        // Blocks only ever grow at the end, so their position is their identity.
        <Block key={index} raw={token.raw} token={token} />
      ))}
    </div>
  );
});

const Block = memo(
  function Block({ token }: { raw: string; token: Token }): ReactNode {
    return block(token);
  },
  (before, after) => before.raw === after.raw,
);

function children(tokens: Token[] | undefined, render: (token: Token) => ReactNode): ReactNode {
  return tokens?.map((token, index) => <Fragment key={index}>{render(token)}</Fragment>);
}

function block(token: Token): ReactNode {
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "hr":
      return <hr />;
    case "heading":
      return heading(token as Tokens.Heading);
    case "code":
      return <CodeBlock text={token["text"] as string} language={(token as Tokens.Code).lang ?? ""} />;
    case "blockquote":
      return <blockquote>{children(token["tokens"] as Token[], block)}</blockquote>;
    case "list":
      return list(token as Tokens.List);
    case "table":
      return table(token as Tokens.Table);
    case "paragraph":
      return <p>{children(token["tokens"] as Token[], inline)}</p>;
    case "text":
      return token["tokens"] === undefined ? inline(token) : children(token["tokens"] as Token[], inline);
    default:
      return <p>{token.raw}</p>;
  }
}

function heading(token: Tokens.Heading): ReactNode {
  // The page has its own h1 and h2; a model's headings start below them.
  const Tag = token.depth <= 1 ? "h3" : token.depth === 2 ? "h4" : "h5";
  return <Tag className={`md-h${token.depth}`}>{children(token.tokens, inline)}</Tag>;
}

function list(token: Tokens.List): ReactNode {
  const items = token.items.map((item, index) => (
    <li key={index} className={item.task ? "md-task" : undefined}>
      {item.task ? <input type="checkbox" checked={item.checked === true} readOnly disabled /> : null}
      {children(
        item.tokens.filter((part) => part.type !== "checkbox"),
        block,
      )}
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
        <tbody>
          {token.rows.map((row, index) => (
            <tr key={index}>{row.map(cell)}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function inline(token: Token): ReactNode {
  switch (token.type) {
    case "strong":
      return <strong>{children(token["tokens"] as Token[], inline)}</strong>;
    case "em":
      return <em>{children(token["tokens"] as Token[], inline)}</em>;
    case "del":
      return <del>{children(token["tokens"] as Token[], inline)}</del>;
    case "codespan":
      return <code>{token["text"] as string}</code>;
    case "br":
      return <br />;
    case "link":
      return link(token["href"] as string, children(token["tokens"] as Token[], inline));
    case "image":
      return link(token["href"] as string, <>image: {(token["text"] as string) || (token["href"] as string)}</>);
    case "html":
    case "tag":
      return token.raw;
    case "text":
    case "escape":
      if (token.type === "text" && "tokens" in token) return children(token["tokens"] as Token[], inline);
      return decodeEntities(token["text"] as string);
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
