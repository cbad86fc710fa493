import { type ReactNode, useState } from "react";
import { AnsiText } from "../../design/AnsiText.tsx";
import { Button } from "../../design/Button.tsx";
import { Code } from "../../design/CodeBlock.tsx";
import { CopyButton } from "../../design/CopyButton.tsx";
import { Sentence } from "../../design/Sentence.tsx";
import { t } from "../../i18n/index.ts";
import { num, str } from "../../journal/events.ts";
import type { ToolItem } from "../../journal/model.ts";
import type { FileDiff } from "../../text/diff.ts";
import { bytes } from "../../text/format.ts";
import { groupHits } from "../../text/hits.ts";
import { numbered } from "../../text/numbered.ts";
import { LIVE_LIMIT, shellText } from "../../text/shell.ts";
import { languageOf } from "../../text/spans.ts";
import { Changes } from "./Changes.tsx";
import { argsOf } from "./describe.tsx";

const TAIL_LINES = 12;

/** Arguments that the head has no room for. */
export function Facts({ rest, long }: { rest: [string, string][]; long: string }): ReactNode {
  if (rest.length === 0 && long === "") return null;
  return (
    <>
      {long === "" ? null : <pre className="tool-command" tabIndex={0}>{long}</pre>}
      {rest.length === 0 ? null : (
        <dl className="tool-facts">
          {rest.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
        </dl>
      )}
    </>
  );
}

/** A text with the button that copies the whole of it, and below it what else there is to say. */
function Frame({ text, label, foot, children }: { text: string; label?: string; foot: ReactNode; children: ReactNode }): ReactNode {
  return (
    <>
      <div className="output-frame">
        {children}
        <CopyButton text={() => text} {...(label === undefined ? {} : { label })} />
      </div>
      {foot ? <div className="output-foot">{foot}</div> : null}
    </>
  );
}

function More({ children, onClick }: { children: ReactNode; onClick: () => void }): ReactNode {
  return <Button small look="ghost" className="more" onClick={onClick}>{children}</Button>;
}

/** Live output: its end while it runs and afterwards, the whole of it when asked for. */
export function ShellBody({ item }: { item: ToolItem }): ReactNode {
  const [all, setAll] = useState(false);
  const { text, ended } = shellText(item);
  if (text === "" && ended === "") return <Nothing item={item} />;
  if (text === "") return <p className="tool-reason muted">{ended}</p>;
  const total = lineCount(text);
  const file = str(item.detail, "output_file");
  const lost = num(item.detail, "truncated_bytes");
  const unseen = item.durationMs === null && item.outputBytes > LIVE_LIMIT ? item.outputBytes : 0;
  const asides = [
    item.outputCut > 0 ? t("tools:cut", { size: bytes(item.outputCut) }) : "",
    unseen > 0 ? t("tools:soFar", { size: bytes(unseen) }) : "",
    ended,
    file === "" ? "" : `${lost > 0 ? t("tools:sawAllBut", { size: bytes(lost) }) : ""} ${t("tools:wholeIn")} \`${file}\``,
  ].filter(Boolean);
  const more = total > TAIL_LINES ? <More onClick={() => setAll(!all)}>{all ? t("tools:endOnly") : t("tools:allLines", { count: total })}</More> : null;
  const foot = more === null && asides.length === 0 ? null : (
    <>
      {more}
      {asides.map((words) => <span key={words} className="muted"><Sentence text={words} /></span>)}
    </>
  );
  return (
    <Frame text={text} label={t("tools:copyOutput")} foot={foot}>
      <pre className={all ? "output all" : "output"} tabIndex={0} aria-label={t("tools:output")}>
        {all ? <AnsiText text={text} /> : <AnsiText text={text} lastLines={TAIL_LINES} />}
      </pre>
    </Frame>
  );
}

function lineCount(text: string): number {
  let lines = text.endsWith("\n") ? 0 : 1;
  for (let index = text.indexOf("\n"); index !== -1; index = text.indexOf("\n", index + 1)) lines += 1;
  return lines;
}

/** An edit or a new file, as a diff once it is made and as text while it is written. */
export function ChangeBody({ item, diffs }: { item: ToolItem; diffs: FileDiff[] }): ReactNode {
  if (diffs.length > 0) return diffs.map((file) => <Changes key={file.path} file={file} />);
  if (item.state === "failed" || item.state === "denied") return <PlainBody item={item} />;
  const args = argsOf(item);
  const text = str(args, "content") || str(args, "new_string");
  if (text === "") return item.state === "ok" ? <PlainBody item={item} /> : null;
  return <LongText text={text} language={languageOf(str(args, "path"))} />;
}

/** The pattern where it stands in a line as it is written; what only a regular expression finds stays unmarked. */
function marked(text: string, pattern: string): ReactNode {
  const at = pattern === "" ? -1 : text.indexOf(pattern);
  if (at === -1) return text;
  return <>{text.slice(0, at)}<mark>{pattern}</mark>{text.slice(at + pattern.length)}</>;
}

export function HitsBody({ item }: { item: ToolItem }): ReactNode {
  const groups = groupHits(item.result);
  if (groups === null) return <PlainBody item={item} />;
  return (
    <div className="hits">
      {groups.map((group) => (
        <div key={group.path}>
          <div className="hits-path">{group.path}</div>
          {group.hits.map((hit) => (
            <div key={hit.line} className="hit">
              <span className="diff-number">{hit.line}</span>
              <span>{marked(hit.text, str(item.args, "pattern"))}</span>
            </div>
          ))}
        </div>
      ))}
    </div>
  );
}

/** A file as it was read, with its line numbers beside it rather than in it. */
export function ReadBody({ item }: { item: ToolItem }): ReactNode {
  const [all, setAll] = useState(false);
  const lines = item.state === "ok" ? numbered(item.result) : null;
  if (lines === null) return <PlainBody item={item} />;
  const shown = all ? lines : lines.slice(0, TAIL_LINES * 2);
  const path = str(item.args, "path");
  const hidden = shown.length < lines.length;
  return (
    <Frame text={lines.map((line) => line.text).join("\n")}
      foot={hidden ? <More onClick={() => setAll(true)}>{t("tools:allLines", { count: lines.length })}</More> : null}>
      <div className={all ? "source all" : "source"} tabIndex={0} role="group" aria-label={path}>
        <pre aria-hidden className="source-numbers">
          {shown.map((line) => line.number).join("\n")}
        </pre>
        <pre>
          <Code text={shown.map((line) => line.text).join("\n")} language={languageOf(path)} />
        </pre>
      </div>
    </Frame>
  );
}

function Nothing({ item }: { item: ToolItem }): ReactNode {
  return item.durationMs === null ? null : <p className="tool-reason muted">{t("tools:noOutput")}</p>;
}

export function PlainBody({ item }: { item: ToolItem }): ReactNode {
  const text = item.output || item.result;
  if (text === "") return <Nothing item={item} />;
  return <LongText text={text} language={item.state === "ok" ? languageOf(str(item.args, "path")) : ""} />;
}

function LongText({ text, language }: { text: string; language: string }): ReactNode {
  const [all, setAll] = useState(false);
  const total = lineCount(text);
  const shown = all || total <= TAIL_LINES * 2 ? text : text.split("\n", TAIL_LINES * 2).join("\n");
  const more = <More onClick={() => setAll(true)}>{t("tools:allLines", { count: total })}</More>;
  return (
    <Frame text={text} foot={shown === text ? null : more}>
      <pre className={all ? "output all" : "output"} tabIndex={0} aria-label={t("tools:text")}>
        <Code text={shown} language={language} />
      </pre>
    </Frame>
  );
}
